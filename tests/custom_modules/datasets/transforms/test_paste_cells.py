"""Copies lie on top, what they cover is cut, areas add up."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.errors import UserError
from custom_modules import PasteCells
from tests.custom_modules.datasets.transforms.drawn import assert_consistent, results, seeded

SHAPE = (160, 220)


@settings(max_examples=50, deadline=None)
@given(
    data=st.integers(0, 500),
    seed=st.integers(0, 10_000),
    overlap=st.sampled_from([0.0, 0.3, 1.0]),
    least=st.sampled_from([0.0, 0.5, 0.9]),
)
def test_cells_are_cut_by_copies_and_nothing_else(
    data: int, seed: int, overlap: float, least: float
) -> None:
    before = results(data, SHAPE, 14)
    out = seeded(PasteCells(1.0, 8, overlap, least), copy.deepcopy(before), seed)
    assert_consistent(out)
    old, new = before['gt_masks'], out['gt_masks']
    copies = new.ids > old.ids.max()
    # A cell's pixels are its own from before, or a copy's, and there is no third kind.
    kept = new.label_map == old.label_map
    assert (new.label_map[~kept] > old.ids.max()).all()
    # What each old cell has lost is what copies have of it now.
    sizes = np.bincount(new.label_map.ravel(), minlength=256)
    on_top = np.bincount(old.label_map[~kept], minlength=256)
    np.testing.assert_array_equal(sizes[old.ids] + on_top[old.ids], old.areas)
    # The dropped are those with too little left; their order stays.
    wanted = (sizes[old.ids] > 0) & (sizes[old.ids] >= least * old.areas)
    np.testing.assert_array_equal(new.ids[~copies], old.ids[wanted])
    # Copies are of whole cells that count, and the image changes nowhere else.
    labels = out['gt_bboxes_labels'][copies]
    assert not before['gt_ignore_flags'][labels].any()
    areas = np.asarray(old.areas)[labels]
    assert (new.areas[copies] >= least * areas).all()
    assert (new.areas[copies] <= areas).all()
    if overlap == 0:
        assert wanted.all()
        np.testing.assert_array_equal(new.areas[copies], areas)
    boxes = old.get_bboxes('hbox').tensor.numpy()[labels]
    assert (boxes[:, :2] > 0).all()
    assert (boxes[:, 2:] < SHAPE[::-1]).all()
    if not copies.any():
        assert new.label_map.max() > old.ids.max() or np.array_equal(out['img'], before['img'])


def test_copies_are_made_and_darken() -> None:
    made, before = 0, results(1, SHAPE, 6)
    for seed in range(10):
        out = seeded(PasteCells(1.0, 8), copy.deepcopy(before), seed)
        copies = out['gt_masks'].ids > before['gt_masks'].ids.max()
        made += int(copies.sum())
        pasted = np.isin(out['gt_masks'].label_map, out['gt_masks'].ids[copies])
        if copies.any():
            assert out['img'][pasted].mean() < before['img'][pasted].mean() - 40
    assert made > 20


def test_several_copies_can_bury_a_cell_which_is_dropped_then() -> None:
    lost = 0
    for seed in range(20):
        before = results(seed, SHAPE, 14)
        out = seeded(PasteCells(1.0, 30, 1.0, 0.5), copy.deepcopy(before), seed)
        lost += len(set(before['gt_masks'].ids) - set(out['gt_masks'].ids))
    assert lost


def test_the_seed_decides_and_the_input_stays() -> None:
    given = results(1, SHAPE)
    image, label_map = given['img'], given['gt_masks'].label_map
    kept = image.copy(), label_map.copy()
    one, two = (seeded(PasteCells(1.0), dict(given), 4) for _ in range(2))
    np.testing.assert_array_equal(one['img'], two['img'])
    np.testing.assert_array_equal(one['gt_masks'].label_map, two['gt_masks'].label_map)
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(label_map, kept[1])
    assert (one['img'] != image).any()


def test_pictures_without_a_cell_to_copy_pass() -> None:
    assert_consistent(seeded(PasteCells(1.0), results(num=0), 0))
    ignored = results()
    ignored['gt_ignore_flags'][:] = True
    out = seeded(PasteCells(1.0), dict(ignored), 0)
    np.testing.assert_array_equal(out['img'], ignored['img'])


@pytest.mark.parametrize(
    'wrong', [dict(prob=-1), dict(most=0), dict(overlap=2), dict(min_visible=3)]
)
def test_a_wrong_setting_is_named(wrong: dict) -> None:
    with pytest.raises(UserError, match=rf'PasteCells\.{next(iter(wrong))}'):
        PasteCells(**wrong)
