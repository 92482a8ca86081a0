"""One lane from prediction to value: a small record an image, then every value with intervals.

COCO's average precision takes all detections. Everything else takes the cells that a user gets:
detections at or above a score threshold, overlaps resolved by score and hidden ones left out
(:func:`cellkit.visible.visible_cells`). The record knows no threshold: dropping the cells below one
drops columns of its table of intersections and rows of its boundary terms, which gives the same
numbers as dropping their labels from the map. So one pass over the pixels serves training's
metrics, the choice of a threshold, evaluation, intervals and the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from cellkit.label_maps import areas_and_boxes
from cellkit.metrics.aggregated_jaccard import aji, aji_terms
from cellkit.metrics.average_precision import ImageMatches, coco_values, match_boxes, match_masks
from cellkit.metrics.bootstrap import LEAST_IMAGES, confidence_intervals, resampled_weights
from cellkit.metrics.boundary import BOUNDARY_TOLERANCE, boundary_f1, boundary_terms
from cellkit.metrics.counting import count_by_score, count_values, stable_threshold
from cellkit.metrics.error_analysis import Outcomes, explain
from cellkit.metrics.instances import (
    ABOVE_HALF,
    CELL_IOU_THRESHOLDS,
    detection_values,
    match_counts,
    panoptic_values,
)
from cellkit.metrics.pixel import pixel_counts, pixel_values
from cellkit.metrics.truth import TrueImage
from cellkit.overlaps import intersection_table
from cellkit.visible import visible_cells

# Fine near 1, where the scores of a trained detector lie.
SCORE_THRESHOLDS = (*(k / 100 for k in range(1, 100)), 0.995)
DEFAULT_THRESHOLD = 0.5

# Key, name, and how images and cells are averaged. Definitions: docs/evaluation.md.
VALUES = (
    ('coco/segm_mAP', 'mask AP, IoU 0.50:0.95', 'all detections of all images'),
    ('coco/segm_mAP_50', 'mask AP50', 'all detections of all images'),
    ('coco/segm_mAP_75', 'mask AP75', 'all detections of all images'),
    ('coco/bbox_mAP', 'box AP, IoU 0.50:0.95', 'all detections of all images'),
    ('coco/bbox_mAP_50', 'box AP50', 'all detections of all images'),
    ('coco/bbox_mAP_75', 'box AP75', 'all detections of all images'),
    ('pixel/dice', 'pixel Dice', 'mean over images'),
    ('pixel/dice_pooled', 'pixel Dice, pooled', 'all pixels'),
    ('pixel/iou', 'pixel IoU', 'mean over images'),
    ('pixel/iou_pooled', 'pixel IoU, pooled', 'all pixels'),
    ('count/relative_error', 'relative count error', 'sum of errors / cells'),
    ('count/relative_bias', 'relative count bias', 'error of the total'),
    ('count/mae', 'count error, cells an image', 'mean over images'),
    ('instance/f1_50', 'F1 at IoU 0.5', 'all cells'),
    ('instance/precision_50', 'precision at IoU 0.5', 'all cells'),
    ('instance/recall_50', 'recall at IoU 0.5', 'all cells'),
    ('instance/f1_75', 'F1 at IoU 0.75', 'all cells'),
    ('instance/f1_90', 'F1 at IoU 0.9', 'all cells'),
    ('instance/cell_ap_50', 'TP / (TP + FP + FN) at IoU 0.5', 'all cells'),
    ('instance/pq', 'panoptic quality', 'all cells'),
    ('instance/rq', '- recognition quality', 'all cells'),
    ('instance/sq', '- segmentation quality', 'all cells'),
    ('instance/aji', 'aggregated Jaccard index', 'mean over images'),
    ('instance/boundary_f1', 'boundary F1, 2 px', 'mean over images'),
)


class Detections(NamedTuple):
    """What a model predicts on one image.

    Attributes:
        rles: D COCO RLE dicts.
        scores: (D,) float64.
        boxes: (D, 4) float64, x, y, width, height in pixels.
    """

    rles: list[dict]
    scores: np.ndarray
    boxes: np.ndarray


class ImageCounts(NamedTuple):
    """What one image adds to the values at one score threshold; see the modules of the parts.

    Attributes:
        true: Number of true cells.
        found: Number of predicted cells.
        pixels: (3,) pixels in both unions, in the true one, in the predicted one.
        segm: Matches of masks, all areas.
        bbox: Matches of boxes, all areas.
        matches: (K, 4) TP, FP, FN, sum of IoUs at K IoU thresholds.
        panoptic: (4,) likewise for pairs with IoU > 0.5.
        aji: (2,) sums of intersections and of unions.
        boundary: (4,) boundary pixels near the other map's, and all, predicted then true.
    """

    true: int
    found: int
    pixels: np.ndarray
    segm: ImageMatches
    bbox: ImageMatches
    matches: np.ndarray
    panoptic: np.ndarray
    aji: np.ndarray
    boundary: np.ndarray


@dataclass(frozen=True)
class ImageRecord:
    """One image's truth and prediction without pixels and without a score threshold.

    Attributes:
        image_id: As in the annotation file.
        file_name: As in the annotation file.
        size: (H, W) in pixels.
        detections: Number of detections, whatever their score.
        scores: (P,) float64 of the visible cells.
        table: (T + 1, P + 1) int64 intersections of true and visible cells, pixels.
        boundary: (P + 1, 4) int64, see :func:`cellkit.metrics.boundary.boundary_terms`.
        segm: Matches of masks, in COCO's area ranges (the first is all).
        bbox: Matches of boxes, likewise.
        true_areas: (T,) int64 pixels of the true cells.
        true_boxes: (T, 4) int64, x1, y1, x2, y2 of the true cells.
        areas: (P,) int64 of the visible cells.
        boxes: (P, 4) int64 of the visible cells.
    """

    image_id: int
    file_name: str
    size: tuple[int, int]
    detections: int
    scores: np.ndarray
    table: np.ndarray
    boundary: np.ndarray
    segm: ImageMatches
    bbox: ImageMatches
    true_areas: np.ndarray
    true_boxes: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray

    @property
    def true(self) -> int:
        """Number of true cells."""
        return len(self.table) - 1

    def found(self, threshold: float) -> int:
        """Number of predicted cells at a score threshold."""
        return int(np.count_nonzero(self.scores >= threshold))

    def table_at(self, threshold: float) -> np.ndarray:
        """Intersections with the cells that reach a score threshold."""
        table = self.table[:, self._rows_at(threshold)]
        table[:, 0] += self.table.sum(1) - table.sum(1)  # the others are background
        return table

    def _rows_at(self, threshold: float) -> np.ndarray:
        """(P + 1,) bool, the background and the cells that reach a score threshold."""
        return np.concatenate(([True], self.scores >= threshold))

    def outcomes(self, threshold: float) -> Outcomes:
        """What became of the true cells and of the predicted ones that reach the threshold."""
        return explain(self.table_at(threshold))

    def counts(
        self, threshold: float, iou_thresholds: Sequence[float] = CELL_IOU_THRESHOLDS
    ) -> ImageCounts:
        """What the image adds to the values at a score threshold."""
        table = self.table_at(threshold)
        return ImageCounts(
            self.true,
            self.found(threshold),
            pixel_counts(self.table, self.scores, [threshold])[0],
            self.segm.of_all_areas(),
            self.bbox.of_all_areas(),
            match_counts(table, iou_thresholds),
            match_counts(table, [ABOVE_HALF])[0],
            aji_terms(table),
            self.boundary[self._rows_at(threshold)].sum(0),
        )


def measure_image(
    image_id: int,
    true: TrueImage,
    detections: Detections,
    boundary_tolerance: float = BOUNDARY_TOLERANCE,
) -> ImageRecord:
    """Reduce one image to its record; the tolerance of boundary F1 is in pixels."""
    rles, scores, boxes = detections
    pred_map, kept = visible_cells(rles, scores, true.size)
    true_map = true.label_map()
    number, visible = len(true.rles), scores[kept]
    true_areas, true_boxes = areas_and_boxes(true_map, number)
    pred_areas, pred_boxes = areas_and_boxes(pred_map, len(kept))
    return ImageRecord(
        image_id,
        true.file_name,
        true.size,
        len(scores),
        visible,
        intersection_table(true_map, pred_map, number, len(kept)),
        boundary_terms(true_map, pred_map, visible, boundary_tolerance),
        match_masks(rles, scores, true.rles, true.areas),
        match_boxes(boxes, scores, true.boxes, true.areas),
        true_areas[1:],
        true_boxes[1:],
        pred_areas[1:],
        pred_boxes[1:],
    )


def values(
    records: Sequence[ImageRecord], threshold: float, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Every value of a set of images.

    Args:
        records: Of N images, at least one.
        threshold: Score from which a detection counts.
        weights: (N,) how often each image counts, as in a bootstrap sample; once when None.

    Returns:
        Values by the keys that training logs: ``coco/segm_mAP`` (nan without a true cell),
        ``pixel/dice``, ``count/relative_error``, ``instance/pq`` and so on.
    """
    return _values([record.counts(threshold) for record in records], weights)


def intervals(
    records: Sequence[ImageRecord],
    threshold: float,
    samples: int,
    seed: int = 0,
    level: float = 0.95,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, tuple[float, float]]:
    """Bootstrap confidence intervals of every value, over images.

    Args:
        records: Of N images.
        threshold: Score from which a detection counts.
        samples: Number of bootstrap samples, drawn with ``seed``.
        level: Share of the samples inside an interval.
        progress: Wraps the samples, for a progress bar.

    Returns:
        Low and high end by the keys of :func:`values`; nothing for fewer images than
        :data:`~cellkit.metrics.bootstrap.LEAST_IMAGES`.
    """
    if len(records) < LEAST_IMAGES:
        return {}
    weights = progress(resampled_weights(len(records), samples, seed))
    return confidence_intervals(values_by_weights(records, threshold), weights, level)


def values_by_weights(
    records: Sequence[ImageRecord], threshold: float
) -> Callable[[np.ndarray], dict[str, float]]:
    """:func:`values` as a function of the weights, for many bootstrap samples."""
    return partial(_values, [record.counts(threshold) for record in records])


def _values(counts: Sequence[ImageCounts], weights: np.ndarray | None = None) -> dict[str, float]:
    result = {}
    for kind in ('segm', 'bbox'):
        precision = coco_values([getattr(image, kind) for image in counts], weights)
        result |= {f'coco/{kind}_{name}': value for name, value in precision.items()}
    pixels = pixel_values(np.stack([image.pixels for image in counts]), weights)
    true, found = np.array([image[:2] for image in counts]).T
    counted = count_values(true, found, weights)
    result |= {f'pixel/{name}': float(value) for name, value in pixels.items()}
    result |= {f'count/{name}': float(value) for name, value in counted.items()}
    matched = instance_values(counts, weights=weights)
    return result | {f'instance/{name}': value for name, value in matched.items()}


def instance_values(
    counts: Sequence[ImageCounts],
    iou_thresholds: Sequence[float] = CELL_IOU_THRESHOLDS,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Values of instances.

    Args:
        counts: Of N images, at least one.
        iou_thresholds: The K thresholds that the counts were made with.
        weights: (N,) how often each image counts, as in a bootstrap sample; once when None.

    Returns:
        ``precision_50``, ``recall_50``, ``f1_50``, ``cell_ap_50`` and so on for each threshold,
        ``cell_ap`` (mean over the thresholds), ``pq``, ``rq``, ``sq``, ``aji_pooled``: of counts
        summed over the images; ``aji`` and ``boundary_f1``: means over the images.
    """
    weights = np.ones(len(counts)) if weights is None else np.asarray(weights, float)
    matches, panoptic, terms, edges = (
        np.stack([getattr(image, name) for image in counts]).astype(float)
        for name in ('matches', 'panoptic', 'aji', 'boundary')
    )
    detection = detection_values(np.tensordot(weights, matches, 1))
    result = {
        f'{name}_{round(100 * threshold):02d}': float(found[k])
        for k, threshold in enumerate(iou_thresholds)
        for name, found in detection.items()
    }
    result['cell_ap'] = float(detection['cell_ap'].mean())
    result |= {name: float(value) for name, value in panoptic_values(weights @ panoptic).items()}
    result['aji'] = float(np.average(aji(terms), weights=weights))
    result['aji_pooled'] = float(aji(weights @ terms))
    result['boundary_f1'] = float(np.average(boundary_f1(edges), weights=weights))
    return result


class ThresholdChoice(NamedTuple):
    """A score threshold and what it was chosen from.

    Attributes:
        value: The threshold.
        low: The least threshold that counts as well as the best one within one standard error.
        high: The greatest one.
        thresholds: (S,) all that were tried.
        relative_error: (S,) relative count error at each.
        dice_pooled: (S,) pooled Dice at each.
    """

    value: float
    low: float
    high: float
    thresholds: list[float]
    relative_error: list[float]
    dice_pooled: list[float]


def choose_threshold(
    records: Sequence[ImageRecord],
    thresholds: Sequence[float] = SCORE_THRESHOLDS,
    default: float = DEFAULT_THRESHOLD,
) -> ThresholdChoice:
    """The threshold to count with: :func:`cellkit.metrics.counting.stable_threshold`.

    Args:
        records: Of validation images, never of those that are reported; at least one.
        thresholds: S score thresholds, in any order.
        default: The choice, and its range, where nothing was predicted at any of them.
    """
    true = np.array([record.true for record in records])
    found = np.stack([count_by_score(record.scores, thresholds) for record in records])
    pixels = np.stack([pixel_counts(r.table, r.scores, thresholds) for r in records])
    error = count_values(true, found)['relative_error'].tolist()
    dice = pixel_values(pixels)['dice_pooled'].tolist()
    chosen = stable_threshold(true, found, thresholds) if found.any() else (default,) * 3
    return ThresholdChoice(*chosen, list(thresholds), error, dice)
