"""Errors by hand, and that the causes add up to the false positives and negatives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellkit.metrics.error_analysis import (
    ALONE,
    FOUND,
    MERGED,
    POOR_OUTLINE,
    SPLIT,
    explain,
    neighbours,
)
from cellkit.metrics.instances import match_counts
from cellkit.overlaps import intersection_table


def outcomes(true: np.ndarray, predicted: np.ndarray) -> tuple[list[int], list[int]]:
    result = explain(intersection_table(true, predicted))
    return result.true.tolist(), result.predicted.tolist()


def rectangles(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    label_map = np.zeros((60, 120), np.int32)
    for k, (x1, y1, x2, y2) in enumerate(boxes, 1):
        label_map[y1:y2, x1:x2] = k
    return label_map


def test_one_of_each() -> None:
    true = rectangles(
        (0, 0, 20, 20),  # found
        (30, 0, 50, 20),  # merged with the next
        (50, 0, 70, 20),
        (80, 0, 100, 20),  # split in halves
        (0, 30, 20, 50),  # missed
        (30, 30, 50, 50),  # found with half its outline off
    )
    predicted = rectangles(
        (1, 0, 20, 20),
        (30, 0, 70, 21),  # an IoU just below 0.5 with either
        (80, 0, 90, 19),
        (90, 0, 100, 19),
        (41, 30, 61, 50),
        (90, 40, 100, 55),  # spurious
    )
    true_outcomes, predicted_outcomes = outcomes(true, predicted)
    assert true_outcomes == [FOUND, MERGED, MERGED, SPLIT, ALONE, POOR_OUTLINE]
    assert predicted_outcomes == [FOUND, MERGED, SPLIT, SPLIT, POOR_OUTLINE, ALONE]


def test_a_large_cell_that_swallows_a_small_one_is_found_and_the_small_one_merged() -> None:
    true = rectangles((0, 0, 30, 30), (30, 0, 40, 10))
    assert outcomes(true, rectangles((0, 0, 40, 30))) == ([FOUND, MERGED], [FOUND])


def test_a_crumb_in_a_found_cell_is_a_piece_of_it() -> None:
    predicted = rectangles((0, 0, 30, 22), (0, 22, 30, 30))
    assert outcomes(rectangles((0, 0, 30, 30)), predicted) == ([FOUND], [FOUND, SPLIT])


def test_nothing_there() -> None:
    empty, one = rectangles(), rectangles((5, 5, 9, 9))
    assert outcomes(empty, empty) == ([], [])
    assert outcomes(one, empty) == ([ALONE], [])
    assert outcomes(empty, one) == ([], [ALONE])


MAPS = st.lists(st.integers(0, 4), min_size=36, max_size=36).map(
    lambda values: np.array(values, np.int32).reshape(6, 6)
)


@given(MAPS, MAPS)
def test_causes_add_up(true: np.ndarray, predicted: np.ndarray) -> None:
    table = intersection_table(true, predicted, 4, 4)
    result = explain(table)
    hits, extra, lost, _ = match_counts(table, [0.5])[0]
    assert np.count_nonzero(result.true == FOUND) == hits
    assert np.count_nonzero(result.predicted == FOUND) == hits
    assert np.count_nonzero(result.true != FOUND) == lost
    assert np.count_nonzero(result.predicted != FOUND) == extra
    outlines = [np.count_nonzero(part == POOR_OUTLINE) for part in result]
    assert outlines[0] == outlines[1]


@given(MAPS)
def test_truth_and_prediction_change_places(label_map: np.ndarray) -> None:
    """Seen from the other side a merge is a split."""
    table = intersection_table(label_map, np.roll(label_map, 1, 1), 4, 4)
    there, back = explain(table), explain(table.T)
    assert np.array_equal(there.true == FOUND, back.predicted == FOUND)
    assert np.array_equal(there.predicted == FOUND, back.true == FOUND)


def test_neighbours_within_the_radius() -> None:
    points = np.array([[0, 0], [3, 4], [100, 0]], float)
    assert neighbours(points, points, 5).tolist() == [2, 2, 1]
    assert neighbours(points, np.zeros((0, 2)), 5).tolist() == [0, 0, 0]
    assert neighbours(np.zeros((0, 2)), points, 5).tolist() == []
