"""The whole evaluation of a data set: one small record an image, then every figure with intervals.

COCO's average precision takes all detections. Everything else takes the cells that a user gets:
detections at or above a score threshold, overlaps resolved by score and hidden ones left out
(:func:`cellkit.visible.visible_cells`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..overlaps import keep_labels
from ..visible import visible_cells
from .average_precision import (
    ALL_AREAS,
    IOU_THRESHOLDS,
    ImageMatches,
    average_precision,
    match_boxes,
    match_masks,
)
from .bootstrap import confidence_intervals, resampled_weights
from .counting import best_threshold, count_by_score, count_figures
from .ground_truth import TrueImage
from .pixel import counts_by_score, pixel_figures
from .summary import BOUNDARY_TOLERANCE, InstanceCounts, instance_counts, instance_figures

# Fine near 1, where the scores of a trained detector lie.
SCORE_THRESHOLDS = (*(k / 100 for k in range(1, 100)), 0.995)
DEFAULT_THRESHOLD = 0.5


class ImageRecord(NamedTuple):
    """What one image adds to the figures, at S score thresholds.

    Attributes:
        image_id: As in the annotation file.
        file_name: As in the annotation file.
        detections: Number of detections, whatever their score.
        true: Number of true cells.
        found: (S,) int64, predicted cells.
        pixels: (S, 3) int64, pixels in both unions, in the true one, in the predicted one.
        segm: Matches of masks.
        bbox: Matches of boxes.
        instances: Matching counts at the first threshold; None if they were not asked for.
    """

    image_id: int
    file_name: str
    detections: int
    true: int
    found: np.ndarray
    pixels: np.ndarray
    segm: ImageMatches
    bbox: ImageMatches
    instances: InstanceCounts | None


def measure_image(
    image_id: int,
    true: TrueImage,
    predicted: Sequence[dict],
    thresholds: Sequence[float],
    instances: bool = True,
    boundary_tolerance: float = BOUNDARY_TOLERANCE,
) -> ImageRecord:
    """Reduce one image to its record.

    Args:
        image_id: As in the annotation file.
        true: The image's annotations.
        predicted: Its COCO results, dicts with ``segmentation`` (RLE), ``bbox`` (x, y, width,
            height in pixels) and ``score``.
        thresholds: S score thresholds.
        instances: Whether to match instances, at the first threshold.
        boundary_tolerance: Of boundary F1, in pixels.

    Returns:
        The record.
    """
    rles = [item['segmentation'] for item in predicted]
    scores = np.array([item['score'] for item in predicted], float)
    boxes = np.array([item['bbox'] for item in predicted], float).reshape(-1, 4)
    pred_map, kept = visible_cells(rles, scores, true.size)
    true_map = true.label_map()
    counts = None
    if instances:
        chosen_map, number = keep_labels(pred_map, scores[kept] >= thresholds[0])
        counts = instance_counts(
            true_map,
            chosen_map,
            len(true.rles),
            number,
            boundary_tolerance=boundary_tolerance,
        )
    return ImageRecord(
        image_id,
        true.file_name,
        len(scores),
        len(true.rles),
        count_by_score(scores[kept], thresholds),
        counts_by_score(true_map, pred_map, scores[kept], thresholds),
        match_masks(rles, scores, true.rles, true.areas, area_ranges=ALL_AREAS),
        match_boxes(boxes, scores, true.boxes, true.areas, area_ranges=ALL_AREAS),
        counts,
    )


def figures(records: Sequence[ImageRecord], weights: np.ndarray | None = None) -> dict[str, float]:
    """Every figure of a set of images at the records' first threshold.

    Args:
        records: Of N images.
        weights: (N,) how often each image counts, as in a bootstrap sample; once when None.

    Returns:
        Figures by the keys that training logs: ``coco/segm_mAP`` (nan without a true cell),
        ``pixel/dice``, ``count/relative_error``, ``instance/pq`` and so on.
    """
    result = {}
    for kind in ('segm', 'bbox'):
        matches = [getattr(record, kind) for record in records]
        precision = average_precision(matches, weights)[0]
        result[f'coco/{kind}_mAP'] = float(precision.mean())
        for threshold, name in ((0.5, 'mAP_50'), (0.75, 'mAP_75')):
            at = int(np.argmin(np.abs(IOU_THRESHOLDS - threshold)))
            result[f'coco/{kind}_{name}'] = float(precision[at])
    pixels = pixel_figures(np.stack([record.pixels[0] for record in records]), weights)
    counts = count_figures(
        np.array([record.true for record in records]),
        np.array([record.found[0] for record in records]),
        weights,
    )
    result |= {f'pixel/{name}': float(value) for name, value in pixels.items()}
    result |= {f'count/{name}': float(value) for name, value in counts.items()}
    if all(record.instances is not None for record in records):
        matched = instance_figures([record.instances for record in records], weights=weights)
        result |= {f'instance/{name}': value for name, value in matched.items()}
    return result


def intervals(
    records: Sequence[ImageRecord],
    samples: int,
    seed: int = 0,
    level: float = 0.95,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, tuple[float, float]]:
    """Bootstrap confidence intervals of every figure, over images.

    Args:
        records: Of N images.
        samples: Number of bootstrap samples.
        seed: Of the random numbers.
        level: Share of the samples inside an interval.
        progress: Wraps the samples, for a progress bar.

    Returns:
        Low and high end by the keys of :func:`figures`.
    """
    weights = resampled_weights(len(records), samples, seed)
    return confidence_intervals(lambda row: figures(records, row), progress(weights), level)


def at_threshold(records: Sequence[ImageRecord], index: int) -> list[ImageRecord]:
    """Records at one of the thresholds that they were measured at, without instance matching.

    Args:
        records: Measured at S thresholds.
        index: Of the threshold.

    Returns:
        Records with that threshold alone, to be given to :func:`figures`.
    """
    chosen = slice(index, index + 1)
    return [
        record._replace(found=record.found[chosen], pixels=record.pixels[chosen], instances=None)
        for record in records
    ]


class ThresholdChoice(NamedTuple):
    """A score threshold and what it was chosen from.

    Attributes:
        value: The threshold.
        thresholds: (S,) all that were tried.
        relative_error: (S,) relative count error at each.
        dice_pooled: (S,) pooled Dice at each.
    """

    value: float
    thresholds: list[float]
    relative_error: list[float]
    dice_pooled: list[float]


def choose_threshold(
    records: Sequence[ImageRecord], thresholds: Sequence[float] = SCORE_THRESHOLDS
) -> ThresholdChoice:
    """The threshold of least relative count error, ties by the greatest pooled Dice.

    Args:
        records: Of validation images, measured at ``thresholds``.
        thresholds: S score thresholds.

    Returns:
        The choice; 0.5 if nothing was predicted at any of them.
    """
    true = np.array([record.true for record in records])
    found = np.stack([record.found for record in records])
    error = count_figures(true, found)['relative_error']
    dice = pixel_figures(np.stack([record.pixels for record in records]))['dice_pooled']
    value = DEFAULT_THRESHOLD
    if found.any():
        value = float(thresholds[best_threshold(thresholds, error, dice)])
    return ThresholdChoice(value, list(thresholds), error.tolist(), dice.tolist())
