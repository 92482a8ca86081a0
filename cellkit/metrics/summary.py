"""All instance figures of a data set from one small record an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..overlaps import intersection_table
from .aggregated_jaccard import aji, aji_terms
from .boundary import boundary_counts, boundary_figures
from .instances import (
    ABOVE_HALF,
    IOU_THRESHOLDS,
    detection_figures,
    match_counts,
    panoptic_figures,
)

BOUNDARY_TOLERANCE = 2.0


class InstanceCounts(NamedTuple):
    """What one image adds to the instance figures.

    Attributes:
        matches: (K, 4) TP, FP, FN, sum of IoUs at K IoU thresholds.
        panoptic: (4,) likewise for pairs with IoU > 0.5.
        aji: (2,) sums of intersections and of unions.
        boundary: (4,) boundary pixels near the other map's, and all, predicted then true.
    """

    matches: np.ndarray
    panoptic: np.ndarray
    aji: np.ndarray
    boundary: np.ndarray


def instance_counts(
    true_map: np.ndarray,
    pred_map: np.ndarray,
    num_true: int | None = None,
    num_pred: int | None = None,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    boundary_tolerance: float = BOUNDARY_TOLERANCE,
) -> InstanceCounts:
    """Compare the label maps of one image.

    Args:
        true_map: (H, W) int, 0 background, 1..T.
        pred_map: (H, W) int, 0 background, 1..P, overlaps resolved by score.
        num_true: T; the greatest label when None.
        num_pred: P, counting predictions that others cover wholly; the greatest label when None.
        iou_thresholds: K thresholds.
        boundary_tolerance: Pixels.

    Returns:
        The image's record.
    """
    table = intersection_table(true_map, pred_map, num_true, num_pred)
    return InstanceCounts(
        match_counts(table, iou_thresholds),
        match_counts(table, [ABOVE_HALF])[0],
        aji_terms(table),
        boundary_counts(true_map, pred_map, boundary_tolerance),
    )


def instance_figures(
    records: Sequence[InstanceCounts],
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Figures of a data set.

    Args:
        records: Of N images.
        iou_thresholds: The K thresholds that the records were made with.
        weights: (N,) how often each image counts, as in a bootstrap sample; once when None.

    Returns:
        ``precision_50``, ``recall_50``, ``f1_50``, ``cell_ap_50`` and so on for each threshold,
        ``cell_ap`` (mean over the thresholds), ``pq``, ``rq``, ``sq``, ``aji_pooled``: of counts
        summed over the images; ``aji`` and ``boundary_f1``: means over the images. Nothing if
        there are no images.
    """
    if not len(records):
        return {}
    weights = np.ones(len(records)) if weights is None else np.asarray(weights, float)
    stacked = [np.stack(parts).astype(float) for parts in zip(*records, strict=True)]
    matches, panoptic, terms, edges = stacked
    detection = detection_figures(np.tensordot(weights, matches, 1))
    figures = {
        f'{name}_{round(100 * threshold):02d}': float(values[k])
        for k, threshold in enumerate(iou_thresholds)
        for name, values in detection.items()
    }
    figures['cell_ap'] = float(detection['cell_ap'].mean())
    figures |= {k: float(v) for k, v in panoptic_figures(weights @ panoptic).items()}
    figures['aji'] = float(np.average(aji(terms), weights=weights))
    figures['aji_pooled'] = float(aji(weights @ terms))
    boundary = boundary_figures(edges)['boundary_f1']
    figures['boundary_f1'] = float(np.average(boundary, weights=weights))
    return figures
