"""Networks in half precision, everything between them in float32."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from benchmarks.model import batch as crops
from custom_modules.models.mixed_precision import PRECISIONS, fast_precision
from custom_modules.models.mixed_precision_mask_rcnn import MixedPrecisionMaskRCNN

ROOT = Path(__file__).parents[3]


def build(**changes: str) -> MixedPrecisionMaskRCNN:
    init_default_scope('mmdet')
    config = Config.fromfile(ROOT / 'configs/bccd_hybrid_mask_rcnn_cpu.py')
    torch.manual_seed(0)
    return MODELS.build(config.model | changes).eval()


@pytest.fixture(scope='module')
def outputs() -> dict[str, list]:
    """What each network hands over in each precision, and what the backbone computes in."""
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    sample = DetDataSample(metainfo=dict(img_shape=(64, 96), scale_factor=(1.0, 1.0)))
    found = {}
    for precision in PRECISIONS:
        model = build(precision=precision)
        seen: list = []
        inside: list = []
        model.neck.register_forward_hook(lambda m, i, o, seen=seen: seen.extend(o))
        model.rpn_head.register_forward_hook(lambda m, i, o, seen=seen: seen.extend(o[0] + o[1]))
        for name in ('bbox_head', 'mask_head'):
            head = getattr(model.roi_head, name)
            head.register_forward_hook(
                lambda m, i, o, seen=seen: seen.extend([o] if torch.is_tensor(o) else o)
            )
        model.backbone.register_forward_hook(lambda m, i, o, inside=inside: inside.extend(o))
        with torch.no_grad():
            model(image, [sample], mode='tensor')
        found[precision] = [inside, seen]
    return found


@pytest.mark.parametrize('precision', PRECISIONS)
def test_networks_compute_in_it_and_hand_over_float32(outputs: dict, precision: str) -> None:
    inside, seen = outputs[precision]
    assert {out.dtype for out in inside[:2]} == {getattr(torch, precision)}
    assert len(seen) >= 4 + 6 + 2 + 1  # neck, proposals at three levels, boxes, masks
    assert {out.dtype for out in seen} == {torch.float32}


@pytest.mark.parametrize(('precision', 'error'), [('bfloat16', 0.05), ('float16', 0.01)])
def test_precisions_agree(outputs: dict, precision: str, error: float) -> None:
    """Up to the first proposals: later ones may be ranked otherwise."""
    for low, full in zip(outputs[precision][1][:10], outputs['float32'][1][:10], strict=True):
        assert (low - full).norm() <= error * full.norm() + 1e-3
        assert not torch.equal(low, full)


@pytest.mark.parametrize(
    ('bfloat16', 'capability', 'precision'),
    [
        (True, (9, 0), 'bfloat16'),  # H100
        (True, (8, 0), 'bfloat16'),  # A100
        (False, (7, 5), 'float16'),  # T4
        (False, (7, 0), 'float16'),  # V100
        (False, (6, 1), 'float32'),  # GTX 1080: multiplies float16 at 1/64 of the rate
    ],
)
def test_the_hardware_decides(
    bfloat16: bool, capability: tuple, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda including_emulation: bfloat16)
    monkeypatch.setattr('torch.cuda.get_device_capability', lambda: capability)
    fast_precision.cache_clear()
    model = build()
    assert model.precision_on('cuda') == precision
    assert model.precision_on('mps') == 'float32'  # the device of the input, not the best one
    fast_precision.cache_clear()


def test_float16_trains_only_where_the_loss_is_scaled() -> None:
    model = build(precision='float16')
    assert model._dtype('cpu') == torch.float32
    with torch.no_grad():
        assert model._dtype('cpu') == torch.float16
    with torch.autocast('cpu', torch.float16):  # as in AmpOptimWrapper
        assert model._dtype('cpu') == torch.float16


def test_an_amp_wrapper_means_what_it_says_unless_a_precision_is_given() -> None:
    for outer in (torch.bfloat16, torch.float16):
        with torch.autocast('cpu', outer):
            assert build()._dtype('cpu') == outer
            for precision in PRECISIONS:
                assert build(precision=precision)._dtype('cpu') == getattr(torch, precision)


def test_scaled_float16_gradients_are_float32_s() -> None:
    """One training step with loss scaling, as AmpOptimWrapper makes it."""
    found = []
    batch = crops(size=(128, 160), images=1, pitch=32)
    for precision in ('float32', 'float16'):
        model = build(precision=precision)
        scaler = torch.amp.GradScaler('cpu', init_scale=1024.0)
        torch.manual_seed(1)  # the samplers draw
        with torch.autocast('cpu', torch.float16):
            losses = model(**model.data_preprocessor(batch, True), mode='loss')
            total, _ = model.parse_losses(losses)
        assert {value.dtype for value in (total, *losses['loss_rpn_cls'])} == {torch.float32}
        scaler.scale(total).backward()
        gradients = [p.grad / 1024 for p in model.parameters() if p.grad is not None]
        found.append(torch.cat([gradient.flatten() for gradient in gradients]))
    assert torch.isfinite(found[1]).all()
    assert torch.cosine_similarity(*found, dim=0) > 0.98


def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.precision is 'fp8': it must be"):
        build(precision='fp8')


@pytest.mark.parametrize(('old', 'new'), [(True, 'bfloat16'), (False, 'float32')])
def test_runs_of_version_0_1_load(old: bool, new: str) -> None:
    model = build(type='BFloat16MaskRCNN', bfloat16=old)
    assert model.precision == new


def test_memory_format_changes_no_loss_and_no_gradient(tiny_data: Path) -> None:
    """MMCV's RoIAlign reads NHWC maps as if they were NCHW: the model would learn from noise."""
    config = Config.fromfile(ROOT / 'configs/bccd_hybrid_mask_rcnn_cpu.py')
    dataset = config.test_dataloader.dataset
    dataset.update(data_root=str(tiny_data), indices=1)
    dataset.pipeline = [step for step in dataset.pipeline if step.type != 'Resize']
    data = pseudo_collate([DATASETS.build(dataset)[0]])
    found = []
    for channels_last in (False, True):
        torch.manual_seed(0)
        changes = dict(precision='float32', channels_last=channels_last)
        model = MODELS.build(config.model | changes).train()
        kernel = model.backbone.stem[1].conv.weight
        assert kernel.is_contiguous(memory_format=torch.channels_last) == channels_last
        torch.manual_seed(1)  # the samplers draw
        losses = model(**model.data_preprocessor(data, True), mode='loss')
        total, parts = model.parse_losses(losses)
        total.backward()
        found.append(
            torch.cat(
                [torch.tensor([v for k, v in parts.items() if 'loss' in k]), kernel.grad.flatten()]
            )
        )
    losses, gradients = zip(*(item.tensor_split([-kernel.numel()]) for item in found), strict=True)
    torch.testing.assert_close(*losses, rtol=0.01, atol=0.01)
    # Rounding, magnified by batch norm over one small image.
    assert torch.cosine_similarity(*gradients, dim=0) > 0.995
