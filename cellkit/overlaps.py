"""Overlap of two label maps: intersections, IoU, and the best one-to-one pairs.

Every pixel and matching metric of the project follows from one table of intersections per image.
"""

from __future__ import annotations

import numpy as np


def intersection_table(
    true_map: np.ndarray,
    pred_map: np.ndarray,
    num_true: int | None = None,
    num_pred: int | None = None,
) -> np.ndarray:
    """Count the pixels that every true and every predicted instance share, in one pass.

    Args:
        true_map, pred_map: (H, W) int, 0 background, labels 1..T and 1..P.
        num_true, num_pred: T and P; the greatest label when None.

    Returns:
        (T + 1, P + 1) int64; entry [t, p] is the number of pixels with labels t and p, row and
        column 0 the background. Row and column sums are the areas.

    Raises:
        ValueError: The maps differ in shape or hold a label outside 0..T or 0..P.
    """
    if true_map.shape != pred_map.shape:
        raise ValueError(f"label maps of {true_map.shape} and {pred_map.shape} can't be compared")
    rows, columns = _count(true_map, num_true) + 1, _count(pred_map, num_pred) + 1
    pairs = np.multiply(true_map, columns, dtype=np.int32 if rows * columns < 2**31 else np.int64)
    pairs += pred_map
    return np.bincount(pairs.ravel(), minlength=rows * columns).reshape(rows, columns)


def _count(label_map: np.ndarray, num: int | None) -> int:
    """The number of labels, checked against the map."""
    low, high = (int(label_map.min()), int(label_map.max())) if label_map.size else (0, 0)
    num = high if num is None else num
    if low < 0 or high > num:
        raise ValueError(f'labels must lie in 0..{num}, the map holds {low}..{high}')
    return num


def keep_labels(label_map: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, int]:
    """Drop labels 1..N of an (H, W) label map of which (N,) ``keep`` is False.

    Returns:
        (H, W) int32 label map, 0 background, 1..K in the same order; and K, the number kept.
    """
    lookup = np.concatenate(([0], np.where(keep, np.cumsum(keep), 0))).astype(np.int32)
    return lookup[label_map], int(keep.sum())


def iou_matrix(table: np.ndarray) -> np.ndarray:
    """(T, P) float64 IoU of every pair, from (T + 1, P + 1) intersections; 0 without a pixel."""
    shared = table[1:, 1:]
    union = table[1:].sum(1)[:, None] + table[:, 1:].sum(0)[None] - shared
    return shared / np.maximum(union, 1)


def optimal_matching(iou: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Pair true and predicted instances one to one: most pairs first, then the greatest sum of IoU.

    A pair of the (T, P) ``iou`` needs at least ``threshold``, which is above 0. This is the rule of
    stardist's ``matching`` and of cellpose's ``metrics.average_precision``. Above a threshold of
    0.5 instances that don't overlap have only one such pairing.

    Returns:
        Indices of the true and of the predicted instances, (M,) int64 each, element k pair k.
    """
    from scipy.optimize import linear_sum_assignment  # late: slow to import

    good = iou >= threshold
    rows, columns = np.flatnonzero(good.any(1)), np.flatnonzero(good.any(0))
    if not len(rows):
        return rows, columns
    part, good = iou[np.ix_(rows, columns)], good[np.ix_(rows, columns)]
    # A pair counts 1 and its IoU at most 1 / (2 n): n IoUs together never outweigh one more pair.
    gain = np.where(good, 1 + part / (2 * min(part.shape)), 0)
    first, second = linear_sum_assignment(gain, maximize=True)
    real = good[first, second]
    return rows[first[real]], columns[second[real]]
