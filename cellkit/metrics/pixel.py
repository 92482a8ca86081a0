"""Dice and IoU between the union of predicted and the union of true instances.

    Dice = 2 |A ∩ B| / (|A| + |B|)      IoU = |A ∩ B| / |A ∪ B|

Empty cases: two empty unions agree, both values are 1; if exactly one is empty both are 0.

Averaging: *mean* is the arithmetic mean of the images' values (every image counts the same);
*pooled* first sums the three pixel counts over all images (every pixel counts the same). Papers on
one data set use both and the two differ by a percent or more, so a value never stands without its
rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pixel_counts(table: np.ndarray, scores: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Pixel counts of one image at several score thresholds, from one table of intersections.

    Args:
        table: (T + 1, P + 1) intersections of the true label map with the predictions painted by
            score (:func:`cellkit.visible.visible_cells`).
        scores: (P,) float.
        thresholds: S score thresholds; a prediction takes part if its score >= the threshold.

    Returns:
        (S, 3) int64: pixels in both unions, in the true union, in the predicted union.
    """
    kept = np.asarray(scores, float)[None] >= np.asarray(thresholds, float)[:, None]
    both = kept @ table[1:, 1:].sum(0)
    pred = kept @ table[:, 1:].sum(0)
    true = np.full(len(kept), table[1:].sum())
    return np.stack([both, true, pred], axis=-1).astype(np.int64)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice, (...) float64, of (..., 3) pixels in both, in the true, in the predicted mask."""
    both, true, pred = np.moveaxis(np.asarray(counts, float), -1, 0)
    return _ratio(2 * both, true + pred)


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union (Jaccard index), (...) float64, of counts as in :func:`dice`."""
    both, true, pred = np.moveaxis(np.asarray(counts, float), -1, 0)
    return _ratio(both, true + pred - both)


def pixel_values(counts: np.ndarray, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Dice and IoU by both averaging rules.

    Args:
        counts: (N, ..., 3) pixel counts of N images.
        weights: (N,) how often each image counts, as in a bootstrap sample; once when None.

    Returns:
        ``dice``, ``iou`` (mean over images) and ``dice_pooled``, ``iou_pooled``, each (...)
        float64; nan if there are no images.
    """
    counts = np.asarray(counts, float)
    if not len(counts):
        unknown = np.full(counts.shape[1:-1], np.nan)
        return dict.fromkeys(('dice', 'iou', 'dice_pooled', 'iou_pooled'), unknown)
    pooled = np.tensordot(np.ones(len(counts)) if weights is None else weights, counts, 1)
    return {
        'dice': np.average(dice(counts), axis=0, weights=weights),
        'iou': np.average(iou(counts), axis=0, weights=weights),
        'dice_pooled': dice(pooled),
        'iou_pooled': iou(pooled),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 1.0)
