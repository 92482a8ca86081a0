"""Boundary F1: how well the outlines of the instances agree, within a tolerance in pixels.

A boundary pixel is a pixel of an instance with one of its four neighbours inside the image outside
that instance; so where two cells touch, both have a boundary there, and where the image's border
cuts a cell there is none.

    precision  share of predicted boundary pixels within the tolerance of a true one (Euclidean)
    recall     share of true boundary pixels within the tolerance of a predicted one
    F1         harmonic mean of the two; 0 if both are 0

Averaging: mean of the images' F1. Empty cases: no boundary in either map: 1; in exactly one: 0.

Source: Csurka et al., *What is a good evaluation measure for semantic segmentation?*, BMVC 2013,
applied to label maps.
"""

from __future__ import annotations

import cv2
import numpy as np

BOUNDARY_TOLERANCE = 2.0


def boundary_mask(label_map: np.ndarray) -> np.ndarray:
    """(H, W) bool, the boundary pixels of all instances of an (H, W) int label map."""
    edge = np.zeros(label_map.shape, bool)
    beside = label_map[:, 1:] != label_map[:, :-1]
    below = label_map[1:] != label_map[:-1]
    edge[:, 1:] |= beside
    edge[:, :-1] |= beside
    edge[1:] |= below
    edge[:-1] |= below
    return edge & (label_map > 0)


def boundary_terms(
    true_map: np.ndarray,
    pred_map: np.ndarray,
    scores: np.ndarray,
    tolerance: float = BOUNDARY_TOLERANCE,
) -> np.ndarray:
    """Boundary pixels of one image, split so that they add up at every score threshold.

    A cell's boundary stays the same when others are dropped, so its pixels are counted once and for
    all. A true boundary pixel is counted for the best-scored of the predicted cells near it: one of
    them reaches a threshold if and only if that one does.

    Args:
        true_map: (H, W) int label map.
        pred_map: (H, W) int label map, 0 background, 1..P.
        scores: (P,) float, of labels 1..P.
        tolerance: Greatest Euclidean distance in pixels; time grows with its square.

    Returns:
        (P + 1, 4) int64: predicted boundary pixels near a true one, all predicted ones, true ones
        near a predicted one, all true ones. The counts of a set of predicted cells are the sum of
        their labels' rows and row 0.
    """
    number = len(scores)
    reach = int(tolerance)
    offset = np.arange(-reach, reach + 1) ** 2
    disc = (offset[:, None] + offset <= tolerance**2).astype(np.uint8)
    true, pred = boundary_mask(true_map), boundary_mask(pred_map)
    near_true = cv2.dilate(true.view(np.uint8), disc).view(bool)
    by_score = np.concatenate(([0], 1 + np.argsort(scores, kind='stable')))  # labels
    ranks = np.empty(number + 1, np.uint16 if number < 1 << 16 else np.float32)  # cv2: no int32
    ranks[by_score] = np.arange(number + 1)
    best = cv2.dilate(np.where(pred, ranks[pred_map], ranks.dtype.type(0)), disc)[true]
    terms = np.zeros((number + 1, 4), np.int64)
    terms[:, 0] = np.bincount(pred_map[pred & near_true], minlength=number + 1)
    terms[:, 1] = np.bincount(pred_map[pred], minlength=number + 1)
    terms[by_score, 2] = np.bincount(best.astype(np.int64), minlength=number + 1)
    terms[0, 2:] = 0, np.count_nonzero(true)
    return terms


def boundary_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of boundaries, (...) float64, of (..., 4) sums of :func:`boundary_terms`."""
    near_pred, pred, near_true, true = np.moveaxis(np.asarray(counts, float), -1, 0)
    nothing = (pred == 0) & (true == 0)
    precision = np.where(nothing, 1.0, near_pred / np.maximum(pred, 1))
    recall = np.where(nothing, 1.0, near_true / np.maximum(true, 1))
    total = precision + recall
    return np.where(total > 0, 2 * precision * recall / np.where(total > 0, total, 1), 0.0)
