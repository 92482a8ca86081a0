"""Aggregated Jaccard index (AJI).

Every true instance is joined with the predicted one of greatest IoU, which several true ones may
share. AJI is the sum of the pairs' intersections over the sum of their unions, to which are added
the areas of true instances that overlap no prediction and of predictions that nobody chose. It
punishes false positives by their area and merged cells twice.

Averaging: ``aji`` is the mean over images, as it is usually reported; ``aji_pooled`` sums both
terms over the images first. Empty case: neither true nor predicted pixels: 1.

Source: Kumar et al., *A Dataset and a Technique for Generalized Nuclear Segmentation for
Computational Pathology*, IEEE TMI 2017, algorithm 1.
"""

from __future__ import annotations

import numpy as np

from cellkit.overlaps import iou_matrix


def aji_terms(table: np.ndarray) -> np.ndarray:
    """One image's (2,) int64 sums of intersections and of unions, pixels.

    Args:
        table: (T + 1, P + 1) intersections (:func:`cellkit.overlaps.intersection_table`).
    """
    iou = iou_matrix(table)
    true_area, pred_area = table[1:].sum(1), table[:, 1:].sum(0)
    if iou.shape[1] == 0:
        return np.array([0, true_area.sum()], np.int64)
    best = iou.argmax(1)
    joined = np.flatnonzero(iou[np.arange(len(best)), best] > 0)
    best = best[joined]
    shared = table[1:, 1:][joined, best]
    unions = true_area[joined] + pred_area[best] - shared
    alone = true_area.sum() - true_area[joined].sum()
    unused = pred_area.sum() - pred_area[np.unique(best)].sum()
    return np.array([shared.sum(), unions.sum() + alone + unused], np.int64)


def aji(terms: np.ndarray) -> np.ndarray:
    """AJI, (...) float64, of (..., 2) sums of intersections and of unions, pixels."""
    shared, union = np.moveaxis(np.asarray(terms, float), -1, 0)
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 1.0)
