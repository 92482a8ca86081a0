"""Dice and IoU between the union of predicted and the union of true instances.

    Dice = 2 |A ∩ B| / (|A| + |B|)      IoU = |A ∩ B| / |A ∪ B|

Empty cases: two empty unions agree, both figures are 1; if exactly one is empty both are 0.

Averaging: *mean* is the arithmetic mean of the images' figures (every image counts the same);
*pooled* first sums the three pixel counts over all images (every pixel counts the same). Papers on
one data set use both and the two differ by a percent or more, so a figure never stands without its
rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..overlaps import intersection_table


def pixel_counts(table: np.ndarray, scores: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Pixel counts of one image at several score thresholds, from one table of intersections.

    Args:
        table: (T + 1, P + 1) intersections of the true label map with the predictions painted by
            score (:func:`cellkit.overlaps.paint_by_score`).
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


def counts_by_score(
    true_map: np.ndarray, pred_map: np.ndarray, scores: np.ndarray, thresholds: Sequence[float]
) -> np.ndarray:
    """Pixel counts of one image at several score thresholds, in one pass over its pixels.

    Args:
        true_map: (H, W) int label map, 0 background.
        pred_map: (H, W) int label map, 0 background, 1..P, painted by score.
        scores: (P,) float, of labels 1..P.
        thresholds: S score thresholds; a prediction takes part if its score >= the threshold.

    Returns:
        (S, 3) int64: pixels in both unions, in the true union, in the predicted union.
    """
    # As integers of 8 bits the true union is a quarter of the label map to read.
    covered = np.not_equal(true_map, 0).view(np.uint8)
    return pixel_counts(intersection_table(covered, pred_map, 1, len(scores)), scores, thresholds)


def mask_counts(true_mask: np.ndarray, pred_mask: np.ndarray) -> np.ndarray:
    """Pixel counts of one pair of masks.

    Args:
        true_mask: (H, W) bool.
        pred_mask: (H, W) bool.

    Returns:
        (3,) int64: pixels in both, in the true, in the predicted mask.

    Raises:
        ValueError: If the shapes differ.
    """
    if true_mask.shape != pred_mask.shape:
        raise ValueError(f"masks of {true_mask.shape} and {pred_mask.shape} can't be compared")
    masks = (true_mask & pred_mask, true_mask, pred_mask)
    return np.array([np.count_nonzero(mask) for mask in masks], np.int64)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice coefficient; 1 if both masks are empty.

    Args:
        counts: (..., 3) pixels in both, in the true, in the predicted mask.

    Returns:
        (...) float64 in 0..1.
    """
    both, true, pred = np.moveaxis(np.asarray(counts, float), -1, 0)
    return _ratio(2 * both, true + pred)


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union (Jaccard index); 1 if both masks are empty.

    Args:
        counts: (..., 3) pixels in both, in the true, in the predicted mask.

    Returns:
        (...) float64 in 0..1.
    """
    both, true, pred = np.moveaxis(np.asarray(counts, float), -1, 0)
    return _ratio(both, true + pred - both)


def pixel_figures(counts: np.ndarray, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Both figures by both averaging rules.

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
