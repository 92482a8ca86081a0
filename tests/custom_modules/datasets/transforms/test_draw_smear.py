"""A drawn smear takes the place of a loaded one, now and then."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from custom_modules import DrawSmear, SyntheticSmears
from tests.custom_modules.datasets.transforms.drawn import results, seeded

ROOT = Path(__file__).parents[4]
FIELD = dict(size=(160, 120), scale=(512, 384))


def test_the_field_is_one_of_the_data_set_s_and_nothing_of_the_loaded_one_is_left() -> None:
    loaded = results(0, (100, 90), 9) | {'scale_factor': (0.5, 0.5), 'flip': True}
    out = seeded(DrawSmear(**FIELD), copy.deepcopy(loaded), 3)
    again = SyntheticSmears(length=1 << 31, **FIELD)[out['img_id']]
    assert out.keys() == again.keys()
    assert np.array_equal(out['img'], again['img'])
    assert np.array_equal(out['gt_masks'].label_map, again['gt_masks'].label_map)
    assert out['img'].shape == (120, 160, 3)
    assert len(out['gt_masks']) > 0


def test_a_seed_gives_one_field_and_another_another() -> None:
    draw = DrawSmear(**FIELD)
    first, same, other = (seeded(draw, {}, seed)['img_id'] for seed in (1, 1, 2))
    assert first == same != other


def test_half_of_the_config_s_samples_are_drawn() -> None:
    init_default_scope('mmdet')
    config = Config.fromfile(ROOT / 'configs/bccd_hybrid_mask_rcnn_cpu_few.py')
    choice = config.train_dataloader.dataset.pipeline[0]
    choice.transforms = [[], [dict(type='DrawSmear', **FIELD)]]
    step = TRANSFORMS.build(choice)
    drawn = ['img_id' in seeded(step, {}, seed) for seed in range(200)]
    assert 70 < sum(drawn) < 130


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match='SyntheticSmears'):
        DrawSmear(size=(0, 10))
