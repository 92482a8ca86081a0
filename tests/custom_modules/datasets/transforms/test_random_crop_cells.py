"""Cells of which too little is left in a crop are dropped, all others stay exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from custom_modules import RandomCropCells


def squares(corners: list[tuple[int, int]], side: int = 10, size: int = 60) -> dict:
    """Pipeline results with squares at the given corners (x, y)."""
    masks = np.zeros((len(corners), size, size), np.uint8)
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[y : y + side, x : x + side] = 1
    masks = BitmapMasks(masks, size, size)
    return dict(
        img=np.zeros((size, size, 3), np.uint8),
        img_shape=(size, size),
        gt_masks=masks,
        gt_bboxes=HorizontalBoxes(masks.get_bboxes('hbox').tensor),
        gt_bboxes_labels=np.zeros(len(corners), int),
        gt_ignore_flags=np.zeros(len(corners), bool),
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), min_visible=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_keeps_exactly_the_cells_with_enough_left(seed: int, min_visible: float) -> None:
    corners = [(x, y) for x in (0, 12, 24, 36, 48) for y in (0, 12, 24, 36, 48)]
    crop = RandomCropCells((30, 30), min_visible, recompute_bbox=True, allow_negative_crop=True)
    np.random.seed(seed)  # noqa: NPY002 (what RandomCrop draws from)
    out = crop.transform(squares(corners))
    areas = out['gt_masks'].areas
    assert (areas >= max(min_visible * 100, 1)).all()
    np.random.seed(seed)  # noqa: NPY002
    everything = RandomCropCells(
        (30, 30), 0.0, recompute_bbox=True, allow_negative_crop=True
    ).transform(squares(corners))
    expected = everything['gt_masks'].masks[everything['gt_masks'].areas >= min_visible * 100]
    np.testing.assert_array_equal(out['gt_masks'].masks, expected)
    boxes = out['gt_bboxes'].tensor
    assert len(boxes) == len(out['gt_bboxes_labels']) == len(out['gt_ignore_flags']) == len(areas)
    np.testing.assert_array_equal((boxes[:, 2:] - boxes[:, :2]).prod(1).numpy(), areas)
    assert 'gt_instances_ids' not in out


def test_a_crop_of_slivers_only_is_refused_or_negative() -> None:
    """A crop as wide as a fifth of the one cell never shows half of it."""
    results = squares([(0, 0)], side=60)
    assert RandomCropCells((20, 20), 0.5).transform(results) is None
    out = RandomCropCells((20, 20), 0.5, allow_negative_crop=True).transform(
        squares([(0, 0)], side=60)
    )
    assert len(out['gt_masks']) == len(out['gt_bboxes']) == 0


def test_min_visible_is_a_fraction() -> None:
    with pytest.raises(ValueError, match='min_visible'):
        RandomCropCells((20, 20), 50)
