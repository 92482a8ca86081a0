"""Test-time augmentation: a config whose model sees each picture in several views."""

from __future__ import annotations

import copy
from typing import Any

from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config, ConfigDict

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip')


def with_views(config: Config) -> Config:
    """The config with ``tta_model`` around its model and ``tta_pipeline`` in place of the test one.

    `mim test --tta` does the same. A config without them, as an older run's, gets the model that
    merges masks and four flips of what its own test pipeline makes.
    """
    config = copy.deepcopy(config)
    around = config.get('tta_model') or dict(type='ConsensusTTAModel')
    pipeline = config.get('tta_pipeline') or flips_of(get_test_pipeline_cfg(config))
    config.model = ConfigDict(**around, module=config.model)
    dataset = config.test_dataloader.dataset
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.pipeline = pipeline
    return config


def flips_of(pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A test pipeline that gives four views: as it is, and flipped along each axis and both."""
    flips = [dict(type='RandomFlip', prob=0.0)]
    for direction in ('horizontal', 'vertical', 'diagonal'):
        flips.append(dict(type='RandomFlip', prob=1.0, direction=direction))
    kept = [step for step in pipeline[:-1] if not str(step['type']).endswith('LoadLabelMap')]
    pack = copy.deepcopy(pipeline[-1])
    pack['meta_keys'] = (*META_KEYS, 'flip_direction')
    return [*copy.deepcopy(kept), dict(type='TestTimeAug', transforms=[flips, [pack]])]
