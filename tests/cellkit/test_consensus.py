"""Merging views on run lengths, against a slow version with bitmaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from cellkit.consensus import SAME_CELL, consensus, flip_rles
from cellkit.rle import encode_crops

SIZE = (13, 17)


def encode(masks: np.ndarray) -> list[dict]:
    zeros = [0] * len(masks)
    return encode_crops(list(masks), zeros, zeros, *SIZE)


def decode(rle: dict) -> np.ndarray:
    return coco_mask.decode(rle).astype(bool)


@st.composite
def found_in_views(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks that overlap more or less, distinct scores, and the view of each."""
    count = draw(st.integers(1, 9))
    masks = np.zeros((count, *SIZE), bool)
    for k in range(count):
        x, y = draw(st.sampled_from([0, 1, 8])), draw(st.sampled_from([0, 2, 6]))
        masks[k, y : y + draw(st.integers(3, 7)), x : x + draw(st.integers(3, 9))] = True
    scores = np.array(draw(st.permutations(range(1, 10)))[:count]) / 16
    views = np.array([draw(st.integers(0, 2)) for _ in range(count)])
    return masks, scores, views


@settings(max_examples=200, deadline=None)
@given(found_in_views())
def test_agrees_with_bitmaps(found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    masks, scores, views = found
    groups: list[list[int]] = []
    for k in np.argsort(-scores):
        best, most = None, SAME_CELL
        for group in groups:
            leader = masks[group[0]]
            iou = np.count_nonzero(leader & masks[k]) / np.count_nonzero(leader | masks[k])
            if views[k] not in views[group] and (iou >= most if best is None else iou > most):
                best, most = group, iou
        if best is None:
            groups.append([k])
        else:
            best.append(k)
    groups.sort(key=lambda group: -scores[group].sum())
    boxes = np.random.default_rng(0).uniform(0, 9, (len(masks), 4))
    merged = consensus(encode(masks), scores, boxes, views, num_views=3)
    assert len(merged.rles) == len(groups)
    order = sorted(range(len(groups)), key=lambda k: (-merged.scores[k], k))
    assert order == list(range(len(groups)))
    expected = {}
    for group in groups:
        weight = scores[group]
        mask = np.tensordot(weight, masks[group], 1) >= weight.sum() / 2
        box = weight @ boxes[group] / weight.sum()
        expected[tuple(np.round(box, 9))] = mask, weight.sum() / 3, len(group) / 3
    for rle, score, box, agreement in zip(*merged, strict=True):
        mask, mean, share = expected[tuple(np.round(box, 9))]
        np.testing.assert_array_equal(decode(rle), mask)
        assert score == pytest.approx(mean)
        assert agreement == pytest.approx(share)


def test_equal_views_change_nothing() -> None:
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 2:7, 3:9], masks[1, :, 12:15] = True, True
    rles, scores = encode(masks), np.array([0.9, 0.4])
    boxes = np.array([[3.0, 2, 9, 7], [12, 0, 15, 13]])
    merged = consensus(rles * 4, np.tile(scores, 4), np.tile(boxes, (4, 1)), np.arange(8) // 2, 4)
    assert merged.rles == rles
    np.testing.assert_allclose(merged.scores, scores)
    np.testing.assert_allclose(merged.boxes, boxes)
    np.testing.assert_array_equal(merged.agreement, [1, 1])


def test_two_cells_of_one_view_stay_two() -> None:
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 2:9, 3:12], masks[1, 2:9, 4:12] = True, True
    merged = consensus(encode(masks), np.array([0.9, 0.8]), np.zeros((2, 4)), np.array([1, 1]), 2)
    assert merged.rles == encode(masks)
    np.testing.assert_allclose(merged.scores, [0.45, 0.4])


def test_nothing_found() -> None:
    merged = consensus([], np.zeros(0), np.zeros((0, 4)), np.zeros(0, int), 4)
    assert merged.rles == []
    assert merged.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ('direction', 'axes'), [('horizontal', 1), ('vertical', 0), ('diagonal', (0, 1))]
)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), filled=st.sampled_from([0.0, 0.2, 0.8, 1.0]))
def test_flips_as_bitmaps_do(
    direction: str, axes: int | tuple[int, int], seed: int, filled: float
) -> None:
    masks = np.random.default_rng(seed).random((3, *SIZE)) < filled
    flipped = [np.flip(mask, axes) for mask in masks]
    assert flip_rles(encode(masks), direction) == encode(flipped)


def test_unknown_direction_is_named() -> None:
    with pytest.raises(ValueError, match='not sideways'):
        flip_rles([], 'sideways')
