"""COCO average precision, the same values as pycocotools in a fraction of its time.

One image is reduced to its matches, a few bits a detection; the values of any set of images follow
from those by sorting. So a precision-recall curve or a thousand bootstrap samples cost no second
matching, which is why this is not a call to a COCO library.

COCO's own headline AP stops at 100 detections an image; here the limit is the caller's.

Source of the definition: Lin et al., *Microsoft COCO*, ECCV 2014, and pycocotools' ``cocoeval.py``:
detections in order of falling score each take the free true object of highest IoU if that reaches
the threshold; AP is the mean of the interpolated precision at 101 recalls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from cellkit.rle import decode_runs

COCO_IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
COCO_AREAS = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 1000
COCO_VALUES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


class ImageMatches(NamedTuple):
    """The matches of one image's detections, for A area ranges and T IoU thresholds.

    Attributes:
        scores: (D,) float64, falling.
        matched: (A, T, D) bool, the detection has a true object.
        ignored: (A, T, D) bool, the detection counts neither for nor against.
        num_true: (A,) int64, true objects inside the area range.
    """

    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    num_true: np.ndarray

    def of_all_areas(self) -> ImageMatches:
        """The matches of the first area range alone, which holds every object."""
        return ImageMatches(self.scores, self.matched[:1], self.ignored[:1], self.num_true[:1])


def match_detections(
    iou: np.ndarray, scores: np.ndarray, areas: np.ndarray, true_areas: np.ndarray
) -> ImageMatches:
    """Match one image's detections of one class to its true objects.

    Args:
        iou: (D, G) float, IoU of every detection with every true object.
        scores: (D,) float.
        areas: (D,) float, pixels.
        true_areas: (G,) float, pixels.

    Returns:
        The matches in :data:`COCO_AREAS` and at :data:`COCO_IOU_THRESHOLDS`, detections sorted by
        falling score (equal scores keep their order).
    """
    scores = np.asarray(scores, float)
    order = np.argsort(-scores, kind='stable')
    iou = np.asarray(iou, float)[order]
    skipped = _outside_ranges(true_areas)
    thresholds = np.minimum(COCO_IOU_THRESHOLDS, 1 - 1e-10)[:, None]
    shape = (len(COCO_AREAS), len(thresholds))
    taken = np.zeros((*shape, iou.shape[1]), bool)
    matched = np.zeros((*shape, len(order)), bool)
    ignored = np.zeros_like(matched)
    rows, columns = np.indices(shape)
    for d in np.flatnonzero((iou >= thresholds.min()).any(1)):
        near = np.flatnonzero(iou[d] >= thresholds.min())[::-1]  # of equal IoUs COCO takes the last
        free = (iou[d, near] >= thresholds) & ~taken[..., near]
        # An object that counts goes before any that doesn't, whatever their IoUs.
        value = np.where(free, iou[d, near] + 2 * ~skipped[:, None, near], -1)
        pick = value.argmax(-1)
        found = np.take_along_axis(free, pick[..., None], -1)[..., 0]
        target = near[pick]
        taken[rows, columns, target] |= found
        matched[..., d] = found
        ignored[..., d] = found & skipped[rows, target]
    ignored |= ~matched & _outside_ranges(np.asarray(areas)[order])[:, None]
    return ImageMatches(scores[order], matched, ignored, (~skipped).sum(-1).astype(np.int64))


def _outside_ranges(areas: np.ndarray) -> np.ndarray:
    """(A, N) bool, an area lies outside a range."""
    areas = np.asarray(areas, float)
    low, high = np.array(COCO_AREAS).T[..., None]
    return (areas < low) | (areas > high)


def match_masks(
    rles: Sequence[dict], scores: np.ndarray, true_rles: Sequence[dict], true_areas: np.ndarray
) -> ImageMatches:
    """Match one image's predicted masks, COCO RLE dicts, to its true ones by mask IoU.

    Scores, areas and result are those of :func:`match_detections`.
    """
    # Not pycocotools' own area(): with NumPy 2 it fails on more than 255 masks.
    runs = decode_runs(rles)
    areas = np.bincount(runs.owners, runs.ends - runs.starts, minlength=len(rles))
    return match_detections(_iou(list(rles), list(true_rles)), scores, areas, true_areas)


def match_boxes(
    boxes: np.ndarray, scores: np.ndarray, true_boxes: np.ndarray, true_areas: np.ndarray
) -> ImageMatches:
    """Match one image's predicted boxes to its true ones by box IoU.

    Boxes are (D, 4) and (G, 4) float: x, y, width, height in pixels. A true object's area is that
    of its mask, as in COCO. See :func:`match_detections`.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    true_boxes = np.asarray(true_boxes, float).reshape(-1, 4)
    areas = boxes[:, 2] * boxes[:, 3]
    return match_detections(_iou(boxes, true_boxes), scores, areas, true_areas)


def _iou(found: Sequence, true: Sequence) -> np.ndarray:
    """(D, G) IoU of masks or boxes."""
    if not len(found) or not len(true):
        return np.zeros((len(found), len(true)))
    return coco_mask.iou(found, true, [0] * len(true))


class Curves(NamedTuple):
    """Precision of a set of images as a function of recall.

    Attributes:
        precision: (A, T, 101) float64 interpolated precision at recalls 0, 0.01 ... 1; nan where
            there is no true object.
        scores: (A, T, 101) float64, score at which each recall is reached; 0 where it never is.
        recall: (A, T) float64, greatest recall; nan where there is no true object.
    """

    precision: np.ndarray
    scores: np.ndarray
    recall: np.ndarray


def precision_recall(
    images: Sequence[ImageMatches],
    weights: Sequence[float] | None = None,
    max_detections: int = MAX_DETECTIONS,
) -> Curves:
    """Precision-recall curves of a set of images.

    Args:
        images: Matches of N images with the same area ranges.
        weights: (N,) how often each image is counted, as in a bootstrap sample; once when None.
        max_detections: Only so many of each image's detections of highest score take part.

    Returns:
        The curves.

    Raises:
        ValueError: If there are no images.
    """
    if not len(images):
        raise ValueError('average precision needs at least one image')
    weights = np.ones(len(images)) if weights is None else np.asarray(weights, float)
    kept = [image.scores[:max_detections] for image in images]
    scores = np.concatenate(kept)
    order = np.argsort(-scores, kind='stable')
    scores = scores[order]
    weight = np.repeat(weights, [len(image) for image in kept])[order]
    matched, ignored = (
        np.concatenate([flags[..., :max_detections] for flags in parts], -1)[..., order]
        for parts in zip(*((image.matched, image.ignored) for image in images), strict=True)
    )
    num_true = weights @ np.array([image.num_true for image in images])

    counted = np.where(ignored, 0, weight)
    true_positives = np.cumsum(matched * counted, -1)
    detections = np.cumsum(counted, -1)
    precision = true_positives / (detections + np.spacing(1))
    precision = np.maximum.accumulate(precision[..., ::-1], -1)[..., ::-1]
    areas, thresholds, number = matched.shape
    curves = np.full((areas, thresholds, len(RECALLS)), np.nan)
    at_scores = np.zeros_like(curves)
    greatest = np.full((areas, thresholds), np.nan)
    for a in np.flatnonzero(num_true):
        curves[a] = 0
        for t in range(thresholds):
            recall = true_positives[a, t] / num_true[a]
            place = np.searchsorted(recall, RECALLS, side='left')
            place = place[: np.searchsorted(place, number)]  # of the recalls that are reached
            curves[a, t, : len(place)] = precision[a, t, place]
            at_scores[a, t, : len(place)] = scores[place]
            greatest[a, t] = recall[-1] if number else 0
    return Curves(curves, at_scores, greatest)


def coco_values(
    images: Sequence[ImageMatches],
    weights: Sequence[float] | None = None,
    max_detections: int = MAX_DETECTIONS,
) -> dict[str, float]:
    """Average precision of a set of images under COCO's names.

    Args:
        images: Matches of N images.
        weights: See :func:`precision_recall`.
        max_detections: See :func:`precision_recall`.

    Returns:
        The :data:`COCO_VALUES`: ``mAP`` is the mean over the ten IoU thresholds; ``mAP_s``,
        ``mAP_m`` and ``mAP_l``, of objects below 32² pixels, up to 96² and above, are missing if
        the matches are those of all areas alone. Each in 0..1; nan where there is no true object.
    """
    precision = precision_recall(images, weights, max_detections).precision.mean(-1)
    values = dict(zip(('mAP', 'mAP_s', 'mAP_m', 'mAP_l'), precision.mean(-1), strict=False))
    for threshold, name in ((0.5, 'mAP_50'), (0.75, 'mAP_75')):
        values[name] = precision[0, int(np.argmin(np.abs(COCO_IOU_THRESHOLDS - threshold)))]
    return {name: float(values[name]) for name in COCO_VALUES if name in values}
