"""Detection and segmentation quality of instances: F1, average precision, panoptic quality.

Instances are paired one to one (:func:`cellkit.overlaps.optimal_matching`); a pair with IoU at or
above the threshold is a true positive (TP), a predicted instance without one a false positive (FP),
a true one without a false negative (FN).

    precision          TP / (TP + FP)
    recall             TP / (TP + FN)
    F1                 2 TP / (2 TP + FP + FN)
    average precision  TP / (TP + FP + FN)     as the cell field defines it: Data Science Bowl 2018,
                                               stardist's "accuracy", cellpose's AP. Not COCO's AP.
    panoptic quality   PQ = RQ · SQ            Kirillov et al., *Panoptic Segmentation*, CVPR 2019
      recognition      RQ = TP / (TP + FP / 2 + FN / 2)      with pairs of IoU > 0.5
      segmentation     SQ = mean IoU of the pairs

Averaging: counts are summed over the images, then the ratio is taken: every cell counts the same.

Empty cases: neither true nor predicted instances: every value is 1. Otherwise a value without a
true positive is 0 (as in stardist).

Overlapping predictions are resolved by score before (:func:`cellkit.visible.visible_cells`). A
prediction that others cover wholly is still a prediction, and so a false positive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellkit.overlaps import iou_matrix, optimal_matching

CELL_IOU_THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
ABOVE_HALF = np.nextafter(0.5, 1)  # panoptic quality wants IoU > 0.5


def match_counts(table: np.ndarray, iou_thresholds: Sequence[float]) -> np.ndarray:
    """Count one image's true and false positives and false negatives.

    Args:
        table: (T + 1, P + 1) intersections.
        iou_thresholds: K thresholds.

    Returns:
        (K, 4) float64: TP, FP, FN, and the sum of the pairs' IoUs.
    """
    iou = iou_matrix(table)
    num_true, num_pred = iou.shape
    counts = np.zeros((len(iou_thresholds), 4))
    for row, threshold in zip(counts, iou_thresholds, strict=True):
        pairs = optimal_matching(iou, threshold)
        found = len(pairs[0])
        row[:] = found, num_pred - found, num_true - found, iou[pairs].sum()
    return counts


def detection_values(counts: np.ndarray) -> dict[str, np.ndarray]:
    """``precision``, ``recall``, ``f1`` and ``cell_ap``, each (...) float64.

    Args:
        counts: (..., 4) summed TP, FP, FN and IoUs of :func:`match_counts`.
    """
    tp, fp, fn, _ = np.moveaxis(np.asarray(counts, float), -1, 0)
    nothing = tp + fp + fn == 0
    return {
        'precision': _ratio(tp, tp + fp, nothing),
        'recall': _ratio(tp, tp + fn, nothing),
        'f1': _ratio(2 * tp, 2 * tp + fp + fn, nothing),
        'cell_ap': _ratio(tp, tp + fp + fn, nothing),
    }


def panoptic_values(counts: np.ndarray) -> dict[str, np.ndarray]:
    """``pq``, ``rq`` and ``sq``, each (...) float64.

    Args:
        counts: (..., 4) as in :func:`detection_values`, of pairs with IoU :data:`ABOVE_HALF`.
    """
    tp, fp, fn, total = np.moveaxis(np.asarray(counts, float), -1, 0)
    nothing = tp + fp + fn == 0
    rq = _ratio(tp, tp + fp / 2 + fn / 2, nothing)
    sq = _ratio(total, tp, nothing)
    return {'pq': rq * sq, 'rq': rq, 'sq': sq}


def _ratio(part: np.ndarray, whole: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0, 1 where there was nothing to find and nothing found."""
    return np.where(nothing, 1.0, np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0))
