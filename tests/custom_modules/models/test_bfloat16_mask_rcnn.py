"""Networks in bfloat16, everything between them in float32."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[3]


def build(bfloat16: bool) -> torch.nn.Module:
    init_default_scope('mmdet')
    config = Config.fromfile(ROOT / 'configs/bccd_hybrid_mask_rcnn_cpu.py')
    torch.manual_seed(0)
    return MODELS.build(config.model | dict(bfloat16=bfloat16)).eval()


@pytest.fixture(scope='module')
def outputs() -> dict[bool, list]:
    """What each network hands over, with and without bfloat16, and the weights' own precision."""
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    sample = DetDataSample(metainfo=dict(img_shape=(64, 96), scale_factor=(1.0, 1.0)))
    found = {}
    for bfloat16 in (False, True):
        model = build(bfloat16)
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
        found[bfloat16] = [inside, seen]
    return found


def test_networks_compute_in_bfloat16(outputs: dict) -> None:
    assert {out.dtype for out in outputs[True][0][:2]} == {torch.bfloat16}
    assert {out.dtype for out in outputs[False][0]} == {torch.float32}


def test_what_they_hand_over_is_float32(outputs: dict) -> None:
    assert len(outputs[True][1]) >= 4 + 8 + 2 + 1
    assert {out.dtype for out in outputs[True][1]} == {torch.float32}


def test_both_precisions_agree(outputs: dict) -> None:
    """Up to the first proposals: later ones may be ranked otherwise."""
    for low, full in zip(outputs[True][1][:12], outputs[False][1][:12], strict=True):
        assert (low - full).norm() <= 0.05 * full.norm() + 1e-3
        assert not torch.equal(low, full)


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
        changes = dict(bfloat16=False, channels_last=channels_last)
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
