"""What went wrong with each cell: missed, merged, split, badly outlined, spurious.

Values say how many cells are wrong, this says why. Cells are paired one to one at an IoU threshold
as for F1 (:mod:`cellkit.metrics.instances`); every cell without a partner then gets one cause, the
first of these that applies:

    merged        a prediction covers more than half of this true cell and of another one
    split         more than half of each of two or more predictions lies in this true cell
    poor outline  a partner without a cause of its own overlaps it with an IoU of at least 0.1, as
                  the "localization error" of Bolya et al., *TIDE*, ECCV 2020
    missed        none of these, of a true cell
    spurious      none of these, of a prediction

So the causes of the true cells add up to the false negatives and those of the predictions to the
false positives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from cellkit.overlaps import iou_matrix, optimal_matching

FOUND, POOR_OUTLINE, SPLIT, MERGED, ALONE = range(5)
TRUE_OUTCOMES = ('found', 'poor outline', 'split', 'merged', 'missed')
PREDICTED_OUTCOMES = ('found', 'poor outline', 'piece of a split cell', 'merging', 'spurious')

HALF = 0.5
LEAST_IOU = 0.1


class Outcomes(NamedTuple):
    """What became of the cells of one image.

    Attributes:
        true: (T,) int64 index into :data:`TRUE_OUTCOMES`.
        predicted: (P,) int64 index into :data:`PREDICTED_OUTCOMES`.
    """

    true: np.ndarray
    predicted: np.ndarray


def explain(table: np.ndarray, iou_threshold: float = 0.5) -> Outcomes:
    """Give every cell of one image its outcome.

    Args:
        table: (T + 1, P + 1) intersections (:func:`cellkit.overlaps.intersection_table`).
        iou_threshold: Least IoU of a cell that is found.
    """
    iou, shared = iou_matrix(table), table[1:, 1:]
    covers = shared > HALF * table[1:].sum(1)[:, None]  # of a true cell, by one prediction at most
    inside = shared > HALF * table[:, 1:].sum(0)[None]  # of a prediction, in one true cell at most
    merging = covers.sum(0) >= 2
    splitting = inside.sum(1) >= 2
    true = np.full(len(iou), ALONE)
    predicted = np.full(iou.shape[1], ALONE)
    true[splitting] = SPLIT
    predicted[inside[splitting].any(0)] = SPLIT
    true[covers[:, merging].any(1)] = MERGED
    predicted[merging] = MERGED
    pairs = optimal_matching(iou, iou_threshold)
    true[pairs[0]] = FOUND
    predicted[pairs[1]] = FOUND

    rows, columns = np.flatnonzero(true == ALONE), np.flatnonzero(predicted == ALONE)
    near = optimal_matching(iou[np.ix_(rows, columns)], LEAST_IOU)
    true[rows[near[0]]] = POOR_OUTLINE
    predicted[columns[near[1]]] = POOR_OUTLINE
    return Outcomes(true, predicted)


def neighbours(points: np.ndarray, others: np.ndarray, radius: float) -> np.ndarray:
    """How crowded it is around each point.

    Args:
        points: (N, 2) float, pixels.
        others: (M, 2) float, pixels.
        radius: Pixels.

    Returns:
        (N,) int64, how many of the others lie within the radius; a point that is one of them
        counts itself.
    """
    if not len(points) or not len(others):
        return np.zeros(len(points), np.int64)
    found = cKDTree(others).query_ball_point(points, radius, return_length=True)
    return np.asarray(found, np.int64)
