"""A config with test-time augmentation, as the tools run it."""

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config

from tools.runs.views import with_views

PIPELINE = [
    dict(type='mmdet.LoadImageFromNDArray'),
    dict(type='mmdet.Resize', scale=(40, 30), keep_ratio=True),
    dict(type='LoadLabelMap'),
    dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'scale_factor')),
]


def config(**more: object) -> Config:
    dataset = dict(type='RepeatDataset', dataset=dict(type='CocoDataset', pipeline=PIPELINE))
    return Config(dict(model=dict(type='Net'), test_dataloader=dict(dataset=dataset), **more))


def test_four_flips_of_what_the_test_pipeline_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config()
    changed = with_views(before)
    assert before.model.type == 'Net'
    assert changed.model.type == 'ConsensusTTAModel'
    assert changed.model.module.type == 'Net'
    steps = changed.test_dataloader.dataset.dataset.pipeline
    picture = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    views = Compose(steps)({'img': picture, 'img_id': 3})
    flips = [(), (1,), (0,), (0, 1)]
    for image, sample, axes in zip(views['inputs'], views['data_samples'], flips, strict=True):
        np.testing.assert_array_equal(image.numpy().transpose(1, 2, 0), np.flip(picture, axes))
        assert sample.flip == bool(axes)
        assert sample.img_id == 3


def test_the_configs_own_views_come_first() -> None:
    own = [dict(type='Views')]
    changed = with_views(config(tta_model=dict(type='Mine', far=1), tta_pipeline=own))
    assert changed.model == dict(type='Mine', far=1, module=dict(type='Net'))
    assert changed.test_dataloader.dataset.dataset.pipeline == own
