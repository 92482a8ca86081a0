"""The memory of a training step: against a real step, and against what was reported of a GPU."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch.autograd.graph import saved_tensors_hooks

from benchmarks.model import batch
from custom_modules.engine.training_memory import (
    kept_gib,
    largest_image,
    training_memory,
    training_size,
)

CONFIGS = Path(__file__).parents[3] / 'configs'
SIZE = (960, 1024)


@pytest.fixture(scope='module')
def vitb() -> dict:
    return Config.fromfile(CONFIGS / 'bccd_vitb_mask_rcnn.py').model


@pytest.mark.parametrize(
    ('images', 'half', 'recompute', 'reported'),
    [
        (16, True, False, 34.0),
        (16, False, False, 56.9),
        (16, True, True, 13.4),
        (16, False, True, 17.0),
        (4, True, False, 8.8),
        (4, False, False, 13.6),
        (4, True, True, 4.4),
        (4, False, True, 5.7),
    ],
)
def test_as_reported_of_the_main_configuration(
    vitb: dict, images: int, half: bool, recompute: bool, reported: float
) -> None:
    """The report was of MMDetection's stock heads."""
    vitb = copy.deepcopy(vitb)
    vitb.roi_head.bbox_head.update(type='Shared2FCBBoxHead', norm_cfg=None)
    vitb.roi_head.mask_head.norm_cfg = None
    assert kept_gib(vitb, images, SIZE, half, recompute) == pytest.approx(reported, rel=0.15)


def test_as_a_real_step_of_the_small_configuration() -> None:
    """In float32; what autograd really keeps on a CPU, sampled cells included."""
    config = Config.fromfile(CONFIGS / 'bccd_hybrid_mask_rcnn_cpu.py').model
    config.update(precision='float32', channels_last=False)
    torch.manual_seed(0)
    network = MODELS.build(config).train()
    weights = {w.untyped_storage().data_ptr() for w in network.parameters()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    data = network.data_preprocessor(batch((384, 512), 2), True)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = network(**data, mode='loss')
    assert losses
    real = sum(kept.values()) + 16 * sum(w.numel() for w in network.parameters())
    counted = kept_gib(config, 2, (384, 512), False, False) * 2**30
    assert counted == pytest.approx(real, rel=0.1)


def test_memory_goes_with_the_images(vitb: dict) -> None:
    memory = training_memory(vitb, (256, 256), True, True)
    assert memory.of(5) == pytest.approx(kept_gib(vitb, 5, (256, 256), True, True), rel=0.01)


def test_counting_leaves_no_trace(vitb: dict) -> None:
    before = dict(vitb)
    kept_gib(vitb, 1, (64, 64), True, True)
    assert dict(vitb) == before
    assert not torch.is_autocast_enabled('cuda')
    assert not torch.cuda.is_initialized()
    assert torch.ones(2).sum() == 2


def test_images_are_padded_as_the_preprocessor_does(vitb: dict) -> None:
    sizes = (97, 33), (128, 64)
    small, padded = (kept_gib(vitb, 1, size, False, False) for size in sizes)
    assert small == padded


@pytest.mark.parametrize(
    ('steps', 'size'),
    [
        ([], None),
        ([dict(type='Resize', scale=(1024, 768))], (768, 1024)),
        ([dict(type='RandomCropCells', crop_size=(512, 384))], (384, 512)),
        ([dict(type='RandomResize', scale=(1024, 768), ratio_range=(0.8, 1.25))], (960, 1280)),
        (
            [
                dict(type='RandomResize', scale=(1024, 768), ratio_range=(0.8, 1.25)),
                dict(type='RandomCropCells', crop_size=(1024, 1024)),
            ],
            (960, 1024),
        ),
        ([dict(type='RandomResize', scale=[(64, 32), (96, 48)])], (48, 96)),
        (
            [
                dict(
                    type='RandomChoice',
                    transforms=[
                        [dict(type='Resize', scale=(90, 20))],
                        [dict(type='DrawSmear', size=(64, 32))],
                    ],
                ),
                dict(type='RandomCropCells', crop_size=(80, 80)),
            ],
            (32, 80),
        ),
        (
            [
                dict(type='Resize', scale=(64, 32)),
                dict(type='RandomChoice', transforms=[dict(type='RandomFlip'), []]),
            ],
            (32, 64),
        ),
        ([dict(type='RandomChoice', transforms=[dict(type='RandomFlip')])], None),
    ],
)
def test_the_largest_image_of_a_pipeline(steps: list[dict], size: tuple[int, int] | None) -> None:
    assert largest_image(steps) == size


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_every_config_can_be_counted(path: Path) -> None:
    config = Config.fromfile(path)
    size = training_size(config)
    assert min(size) >= 288
    memory = training_memory(config.model, size, True, False)
    assert memory.fixed > 0
    assert 0.04 < memory.image < 8  # ViT-L takes 4.3, UNI2-h 7.4
