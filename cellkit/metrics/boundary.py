"""Boundary F1: how well the outlines of the instances agree, within a tolerance in pixels.

A boundary pixel is a pixel of an instance with one of its four neighbours inside the image outside
that instance; so where two cells touch, both have a boundary there, and where the image's border
cuts a cell there is none.

    precision  share of predicted boundary pixels within the tolerance of a true one (Euclidean)
    recall     share of true boundary pixels within the tolerance of a predicted one
    F1         harmonic mean of the two; 0 if both are 0

Averaging: mean of the images' F1. Empty cases: no boundary in either map: 1; in exactly one: 0.

Source: Csurka et al., *What is a good evaluation measure for semantic segmentation?*, BMVC 2013,
applied to instance maps.
"""

from __future__ import annotations

import cv2
import numpy as np


def boundary_mask(label_map: np.ndarray) -> np.ndarray:
    """Mark the boundary pixels of all instances.

    Args:
        label_map: (H, W) int, 0 background.

    Returns:
        (H, W) bool.
    """
    edge = np.zeros(label_map.shape, bool)
    beside = label_map[:, 1:] != label_map[:, :-1]
    below = label_map[1:] != label_map[:-1]
    edge[:, 1:] |= beside
    edge[:, :-1] |= beside
    edge[1:] |= below
    edge[:-1] |= below
    return edge & (label_map > 0)


def boundary_counts(true_map: np.ndarray, pred_map: np.ndarray, tolerance: float) -> np.ndarray:
    """Count boundary pixels and those that lie near the other map's boundary.

    Args:
        true_map: (H, W) int label map.
        pred_map: (H, W) int label map.
        tolerance: Greatest Euclidean distance in pixels; time grows with its square.

    Returns:
        (4,) int64: predicted boundary pixels near a true one, all predicted ones, true ones near a
        predicted one, all true ones.
    """
    true, pred = boundary_mask(true_map), boundary_mask(pred_map)
    reach = int(tolerance)
    offset = np.arange(-reach, reach + 1) ** 2
    disc = (offset[:, None] + offset <= tolerance**2).astype(np.uint8)
    near_true, near_pred = (cv2.dilate(mask.view(np.uint8), disc) for mask in (true, pred))
    masks = (pred & near_true, pred, true & near_pred, true)
    return np.array([np.count_nonzero(mask) for mask in masks], np.int64)


def boundary_figures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of boundaries.

    Args:
        counts: (..., 4) as :func:`boundary_counts` gives them.

    Returns:
        ``boundary_precision``, ``boundary_recall``, ``boundary_f1``, each (...) float64 in 0..1.
    """
    near_pred, pred, near_true, true = np.moveaxis(np.asarray(counts, float), -1, 0)
    nothing = (pred == 0) & (true == 0)
    precision = np.where(nothing, 1.0, near_pred / np.maximum(pred, 1))
    recall = np.where(nothing, 1.0, near_true / np.maximum(true, 1))
    total = precision + recall
    f1 = np.where(total > 0, 2 * precision * recall / np.where(total > 0, total, 1), 0.0)
    return {'boundary_precision': precision, 'boundary_recall': recall, 'boundary_f1': f1}
