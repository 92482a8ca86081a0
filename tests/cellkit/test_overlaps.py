import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.overlaps import (
    intersection_table,
    iou_matrix,
    keep_labels,
    optimal_matching,
)


@st.composite
def label_map_pairs(draw):
    """Two label maps of one size with gaps in their labels, and their numbers of labels."""
    size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    nums = draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps = [rng.integers(0, num + 1, size).astype(np.int32) for num in nums]
    return (*maps, *nums)


@given(label_map_pairs())
def test_intersections_and_iou_are_those_of_single_masks(sample):
    true_map, pred_map, num_true, num_pred = sample
    table = intersection_table(true_map, pred_map, num_true, num_pred)
    iou = iou_matrix(table)
    assert table.sum() == true_map.size
    for t in range(num_true + 1):
        for p in range(num_pred + 1):
            first, second = true_map == t, pred_map == p
            assert table[t, p] == (first & second).sum()
            if t and p:
                union = (first | second).sum()
                assert iou[t - 1, p - 1] == ((first & second).sum() / union if union else 0)


@given(label_map_pairs(), st.integers(0, 63))
def test_dropped_labels_become_background_and_the_others_move_up(sample, bits):
    _, label_map, _, number = sample
    keep = np.array([bits >> k & 1 for k in range(number)], bool)
    kept_map, kept = keep_labels(label_map, keep)
    assert kept == keep.sum()
    expected = np.zeros_like(label_map)
    for new, old in enumerate(np.flatnonzero(keep), start=1):
        expected[label_map == old + 1] = new
    np.testing.assert_array_equal(kept_map, expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5))
def test_matching_finds_most_pairs_then_most_iou(seed, num_true, num_pred):
    rng = np.random.default_rng(seed)
    iou = rng.integers(0, 5, (num_true, num_pred)) / 4
    rows, columns = optimal_matching(iou, 0.5)
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert (iou[rows, columns] >= 0.5).all()

    def best(row, used):
        if row == num_true:
            return 0, 0.0
        options = [best(row + 1, used)]
        for column in set(range(num_pred)) - used:
            if iou[row, column] >= 0.5:
                pairs, total = best(row + 1, used | {column})
                options.append((pairs + 1, total + iou[row, column]))
        return max(options)

    assert (len(rows), iou[rows, columns].sum()) == pytest.approx(best(0, set()))


def test_wrong_shapes_and_labels_are_refused():
    zeros = np.zeros((3, 4), np.int32)
    with pytest.raises(ValueError, match="can't be compared"):
        intersection_table(zeros, zeros.T)
    with pytest.raises(ValueError, match=r'must lie in 0\.\.1'):
        intersection_table(zeros + 2, zeros, num_true=1)
