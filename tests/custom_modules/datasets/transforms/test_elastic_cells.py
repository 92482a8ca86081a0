"""Bending loses no cell."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.errors import UserError
from custom_modules import ElasticCells
from tests.custom_modules.datasets.transforms.drawn import assert_consistent, results, seeded


@settings(max_examples=40, deadline=None)
@given(data=st.integers(0, 500), seed=st.integers(0, 10_000))
def test_no_cell_is_lost_and_none_appears(data: int, seed: int) -> None:
    before = results(data)
    large = np.asarray(before['gt_masks'].areas) >= 30
    out = seeded(ElasticCells(1.0, 40, 6), copy.deepcopy(before), seed)
    assert_consistent(out)
    assert set(np.flatnonzero(large)) <= set(out['gt_bboxes_labels'])
    before_edge = np.unique(before['gt_masks'].label_map[0])
    assert set(np.unique(out['gt_masks'].label_map[0])) <= set(before_edge)


def test_image_and_masks_bend_alike() -> None:
    given = results(2)
    given['img'] = np.repeat(given['gt_masks'].label_map[..., None] > 0, 3, 2) * np.uint8(200)
    out = seeded(ElasticCells(1.0, 40, 6), given, 0)
    differ = (out['img'][..., 0] >= 100) != (out['gt_masks'].label_map > 0)
    assert differ.mean() < 0.004  # the nearest pixel against a blend


def test_the_seed_decides() -> None:
    one, two, other = (seeded(ElasticCells(1.0, 40, 6), results(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one['img'], two['img'])
    np.testing.assert_array_equal(one['gt_masks'].label_map, two['gt_masks'].label_map)
    assert (one['img'] != other['img']).any()
    unchanged = seeded(ElasticCells(0.0), results(), 1)
    np.testing.assert_array_equal(unchanged['img'], results()['img'])


def test_overlapping_masks_bend_likewise() -> None:
    given = results(4)
    given['gt_masks'] = given['gt_masks'].to_bitmap()
    out, mapped = (seeded(ElasticCells(1.0, 40, 6), one, 1) for one in (given, results(4)))
    np.testing.assert_array_equal(out['gt_masks'].masks, mapped['gt_masks'].to_ndarray())


@pytest.mark.parametrize('wrong', [dict(prob=2), dict(spacing=1), dict(shift=-1)])
def test_a_wrong_setting_is_named(wrong: dict) -> None:
    with pytest.raises(UserError, match=rf'ElasticCells.*{next(iter(wrong))}'):
        ElasticCells(**wrong)
