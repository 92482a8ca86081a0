"""COCO average precision, the same figures as pycocotools in a fraction of its time.

One image is reduced to its matches, a few bits a detection; the figures of any set of images follow
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

from ..rle import decode_runs

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
ALL_AREAS = ((0.0, 1e10),)
COCO_AREAS = (*ALL_AREAS, (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))


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


def match_detections(
    iou: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    true_areas: np.ndarray,
    crowd: np.ndarray | None = None,
    iou_thresholds: np.ndarray = IOU_THRESHOLDS,
    area_ranges: Sequence[tuple[float, float]] = COCO_AREAS,
) -> ImageMatches:
    """Match one image's detections of one class to its true objects.

    Args:
        iou: (D, G) float, IoU of every detection with every true object.
        scores: (D,) float.
        areas: (D,) float, pixels.
        true_areas: (G,) float, pixels.
        crowd: (G,) bool, regions that take any number of detections and count for nothing.
        iou_thresholds: (T,) float.
        area_ranges: A pairs of least and greatest area in pixels.

    Returns:
        The matches, detections sorted by falling score (equal scores keep their order).
    """
    order = np.argsort(-np.asarray(scores, float), kind='stable')
    iou = np.asarray(iou, float)[order]
    num_true = iou.shape[1]
    crowd = np.zeros(num_true, bool) if crowd is None else np.asarray(crowd, bool)
    skipped = crowd | _outside(np.asarray(true_areas, float), area_ranges)  # (A, G)
    thresholds = np.minimum(iou_thresholds, 1 - 1e-10)[:, None]  # (T, 1)
    shape = (len(area_ranges), len(thresholds))
    taken = np.zeros((*shape, num_true), bool)
    matched = np.zeros((*shape, len(order)), bool)
    ignored = np.zeros_like(matched)
    rows, columns = np.indices(shape)
    for d in np.flatnonzero((iou >= thresholds.min()).any(1)):
        near = np.flatnonzero(iou[d] >= thresholds.min())[::-1]  # of equal IoUs COCO takes the last
        free = (iou[d, near] >= thresholds) & (~taken[..., near] | crowd[near])
        # An object that counts goes before any that doesn't, whatever their IoUs.
        value = np.where(free, iou[d, near] + 2 * ~skipped[:, None, near], -1)
        pick = value.argmax(-1)
        found = np.take_along_axis(free, pick[..., None], -1)[..., 0]
        target = near[pick]
        taken[rows, columns, target] |= found
        matched[..., d] = found
        ignored[..., d] = found & skipped[rows, target]
    ignored |= ~matched & _outside(np.asarray(areas, float)[order], area_ranges)[:, None]
    return ImageMatches(
        np.asarray(scores, float)[order], matched, ignored, (~skipped).sum(-1).astype(np.int64)
    )


def _outside(areas: np.ndarray, area_ranges: Sequence[tuple[float, float]]) -> np.ndarray:
    """(A, N) bool, an area lies outside a range."""
    low, high = np.asarray(area_ranges, float).T[..., None]
    return (areas < low) | (areas > high)


def match_masks(
    rles: Sequence[dict],
    scores: np.ndarray,
    true_rles: Sequence[dict],
    true_areas: np.ndarray,
    max_dets: int = 1000,
    **options,
) -> ImageMatches:
    """Match one image's predicted masks to its true ones by mask IoU.

    Args:
        rles: D COCO RLE dicts.
        scores: (D,) float.
        true_rles: G COCO RLE dicts.
        true_areas: (G,) float, pixels.
        max_dets: Only so many detections of highest score take part.
        **options: ``crowd``, ``iou_thresholds``, ``area_ranges`` of :func:`match_detections`.

    Returns:
        The matches.
    """
    keep = np.argsort(-np.asarray(scores, float), kind='stable')[:max_dets]
    rles = [rles[k] for k in keep]
    # Not pycocotools' own area(): with NumPy 2 it fails on more than 255 masks.
    runs = decode_runs(rles)
    areas = np.bincount(runs.owners, runs.ends - runs.starts, minlength=len(rles))
    iou = _iou(rles, list(true_rles), options.get('crowd'))
    return match_detections(iou, np.asarray(scores)[keep], areas, true_areas, **options)


def match_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    true_boxes: np.ndarray,
    true_areas: np.ndarray,
    max_dets: int = 1000,
    **options,
) -> ImageMatches:
    """Match one image's predicted boxes to its true ones by box IoU.

    Args:
        boxes: (D, 4) float, x, y, width, height in pixels.
        scores: (D,) float.
        true_boxes: (G, 4) float, likewise.
        true_areas: (G,) float, pixels; COCO takes the area of the mask.
        max_dets: Only so many detections of highest score take part.
        **options: ``crowd``, ``iou_thresholds``, ``area_ranges`` of :func:`match_detections`.

    Returns:
        The matches.
    """
    keep = np.argsort(-np.asarray(scores, float), kind='stable')[:max_dets]
    boxes = np.asarray(boxes, float).reshape(-1, 4)[keep]
    true_boxes = np.asarray(true_boxes, float).reshape(-1, 4)
    iou = _iou(boxes, true_boxes, options.get('crowd'))
    areas = boxes[:, 2] * boxes[:, 3]
    return match_detections(iou, np.asarray(scores)[keep], areas, true_areas, **options)


def _iou(found: Sequence, true: Sequence, crowd: np.ndarray | None) -> np.ndarray:
    """(D, G) IoU of masks or boxes; with a crowd region: the share of the detection inside it."""
    if not len(found) or not len(true):
        return np.zeros((len(found), len(true)))
    crowd = np.zeros(len(true), bool) if crowd is None else crowd
    return coco_mask.iou(found, true, [int(flag) for flag in crowd])


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
    images: Sequence[ImageMatches], weights: Sequence[float] | None = None
) -> Curves:
    """Precision-recall curves of a set of images.

    Args:
        images: Matches of N images with the same area ranges and thresholds.
        weights: (N,) how often each image is counted, as in a bootstrap sample; once when None.

    Returns:
        The curves.

    Raises:
        ValueError: If there are no images.
    """
    if not len(images):
        raise ValueError('average precision needs at least one image')
    weights = np.ones(len(images)) if weights is None else np.asarray(weights, float)
    scores = np.concatenate([image.scores for image in images])
    order = np.argsort(-scores, kind='stable')
    weight = np.repeat(weights, [len(image.scores) for image in images])[order]
    matched = np.concatenate([image.matched for image in images], -1)[..., order]
    ignored = np.concatenate([image.ignored for image in images], -1)[..., order]
    num_true = weights @ np.array([image.num_true for image in images])
    return _interpolate(scores[order], weight, matched, ignored, num_true)


def _interpolate(
    scores: np.ndarray,
    weight: np.ndarray,
    matched: np.ndarray,
    ignored: np.ndarray,
    num_true: np.ndarray,
) -> Curves:
    """Curves from detections of all images in order of falling score."""
    counted = np.where(ignored, 0, weight)
    true_positives = np.cumsum(matched * counted, -1)
    detections = np.cumsum(counted, -1)
    precision = true_positives / (detections + np.spacing(1))
    precision = np.maximum.accumulate(precision[..., ::-1], -1)[..., ::-1]
    areas, thresholds, number = matched.shape
    curves = np.full((areas, thresholds, len(RECALLS)), np.nan)
    at_scores = np.zeros_like(curves)
    greatest = np.full((areas, thresholds), np.nan)
    for a, total in enumerate(num_true):
        if not total:
            continue
        for t in range(thresholds):
            recall = true_positives[a, t] / total
            place = np.searchsorted(recall, RECALLS, side='left')
            reached = place < number
            curves[a, t] = 0
            curves[a, t, reached] = precision[a, t, place[reached]]
            at_scores[a, t, reached] = scores[place[reached]]
            greatest[a, t] = recall[-1] if number else 0
    return Curves(curves, at_scores, greatest)


def average_precision(
    images: Sequence[ImageMatches], weights: Sequence[float] | None = None
) -> np.ndarray:
    """Average precision of a set of images.

    Args:
        images: Matches of N images.
        weights: See :func:`precision_recall`.

    Returns:
        (A, T) float64 in 0..1; nan for an area range without a true object. The mean over the ten
        COCO thresholds is "mAP".
    """
    return precision_recall(images, weights).precision.mean(-1)
