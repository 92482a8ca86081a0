"""Painting without hidden duplicates, against a slow version with bitmaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cellkit.rle import encode_crops
from cellkit.visible import keep_largest_piece, visible_cells

SIZE = (24, 30)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Up to eight rectangles and noise, and scores with ties."""
    count = draw(st.integers(0, 8))
    masks = np.zeros((count, *SIZE), bool)
    for k in range(count):
        x, y = draw(st.integers(0, 29)), draw(st.integers(0, 23))
        masks[k, y : y + draw(st.integers(1, 12)), x : x + draw(st.integers(1, 12))] = True
    noise = np.random.default_rng(draw(st.integers(0, 99))).random(masks.shape) < 0.02
    scores = np.array([draw(st.sampled_from([0.3, 0.5, 0.7, 0.9])) for _ in range(count)])
    return masks | noise, scores


def encode(masks: np.ndarray) -> list[dict]:
    zeros = [0] * len(masks)
    return encode_crops(list(masks), zeros, zeros, *SIZE)


@settings(max_examples=150, deadline=None)
@given(predictions(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_agrees_with_bitmaps(found: tuple[np.ndarray, np.ndarray], least: float) -> None:
    masks, scores = found
    taken = np.zeros(SIZE, bool)
    expected = []
    for k in np.argsort(scores, kind='stable')[::-1]:
        free = np.count_nonzero(masks[k] & ~taken)
        if free and free >= least * np.count_nonzero(masks[k]):
            expected.append(k)
            taken |= masks[k]
    expected = sorted(expected)
    label_map, kept = visible_cells(encode(masks), scores, SIZE, least)
    assert kept.tolist() == expected
    painted = np.zeros(SIZE, np.int32)
    for k in np.argsort(scores[expected], kind='stable'):
        painted[masks[expected][k]] = k + 1
    for k in range(1, len(kept) + 1):
        pieces, count = ndimage.label(painted == k, np.ones((3, 3)))
        own = label_map == k
        assert np.count_nonzero(own) == max(np.bincount(pieces.ravel())[1:])
        assert ndimage.label(own, np.ones((3, 3)))[1] == 1
        assert not (own & (painted != k)).any()
        assert count >= 1


@settings(max_examples=100, deadline=None)
@given(predictions(), st.sampled_from([0.4, 0.5, 0.6, 0.9]))
def test_a_score_threshold_may_come_before_or_after(
    found: tuple[np.ndarray, np.ndarray], threshold: float
) -> None:
    """What reaches it is the same in both orders, so one map serves all thresholds."""
    masks, scores = found
    chosen = np.flatnonzero(scores >= threshold)
    before, kept_before = visible_cells(encode(masks[chosen]), scores[chosen], SIZE)
    after, kept_after = visible_cells(encode(masks), scores, SIZE)
    above = scores[kept_after] >= threshold
    assert chosen[kept_before].tolist() == kept_after[above].tolist()
    lookup = np.concatenate(([0], np.where(above, np.cumsum(above), 0)))
    np.testing.assert_array_equal(before, lookup[after])


def test_a_second_outline_of_a_cell_goes() -> None:
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 5:15, 5:15] = True
    masks[1, 5:15, 8:15] = True  # inside the first
    masks[2, 5:15, 12:25] = True  # its neighbour, three columns shared
    label_map, kept = visible_cells(encode(masks), np.array([0.9, 0.6, 0.8]), SIZE)
    assert kept.tolist() == [0, 2]
    assert np.bincount(label_map.ravel()).tolist() == [24 * 30 - 200, 100, 100]


def test_nothing_found() -> None:
    label_map, kept = visible_cells([], np.zeros(0), SIZE)
    assert label_map.shape == SIZE
    assert not label_map.any()
    assert len(kept) == 0


def test_crumbs_go() -> None:
    label_map = np.zeros((8, 8), np.int32)
    label_map[0:3, 0:3], label_map[3, 3], label_map[6, 6], label_map[7, 0:2] = 1, 1, 1, 2
    keep_largest_piece(label_map, 2)
    assert label_map[3, 3] == 1  # over the corner: connected
    assert np.bincount(label_map.ravel()).tolist() == [64 - 12, 10, 2]


def test_the_higher_score_gets_the_shared_pixels() -> None:
    masks = np.zeros((3, *SIZE), bool)
    masks[0, :4, :3] = masks[1, :4, 2:5] = masks[2, 1:3, :6] = True
    label_map, kept = visible_cells(encode(masks), np.array([0.9, 0.5, 0.7]), SIZE, least=0)
    assert kept.tolist() == [0, 1, 2]
    assert label_map[0, :7].tolist() == [1, 1, 1, 2, 2, 0, 0]
    assert label_map[1, :7].tolist() == [1, 1, 1, 3, 3, 3, 0]


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match='must have one size'):
        visible_cells(encode(np.ones((1, *SIZE), bool)), np.ones(1), (30, 24))
