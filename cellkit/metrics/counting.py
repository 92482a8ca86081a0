"""How far the number of predicted cells is from the number of true ones.

With p_i predicted and t_i true cells in image i of N:

    mae             mean of |p_i - t_i|                                  cells an image
    relative_error  sum of |p_i - t_i| / sum of t_i                      the headline value
    relative_error_per_image   mean of |p_i - t_i| / t_i over images with t_i > 0
    bias            mean of (p_i - t_i); above 0: too many are counted   cells an image
    relative_bias   sum of (p_i - t_i) / sum of t_i: the error of the total, where images cancel

Empty cases: where a denominator is 0 the value is 0 if nothing was predicted either, else inf.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def count_by_score(scores: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """(S,) int64, how many of the (P,) scores reach each of S thresholds."""
    ordered = np.sort(np.asarray(scores, float))
    return len(ordered) - np.searchsorted(ordered, np.asarray(thresholds, float), side='left')


def count_values(
    true: np.ndarray, pred: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The values that the module's docstring defines.

    Args:
        true: (N,) number of true cells of each image.
        pred: (N, ...) number of predicted cells of each image, e.g. for several score thresholds.
        weights: (N,) how often each image counts, as in a bootstrap sample; once when None.

    Returns:
        Each value as (...) float64; nan if there are no images.
    """
    pred = np.asarray(pred, float)
    true = np.asarray(true, float).reshape((-1,) + (1,) * (pred.ndim - 1))
    if not len(true):
        return dict.fromkeys(
            ('mae', 'relative_error', 'relative_error_per_image', 'bias', 'relative_bias'),
            np.full(pred.shape[1:], np.nan),
        )
    weights = np.ones(len(true)) if weights is None else np.asarray(weights, float)
    error = pred - true
    total, signed, absolute = (
        np.tensordot(weights, item, 1) for item in (true, error, np.abs(error))
    )
    occupied = (true.reshape(len(true)) > 0) & (weights > 0)
    if occupied.any():
        shares = np.abs(error[occupied]) / true[occupied]
        per_image = np.average(shares, axis=0, weights=weights[occupied])
    else:
        per_image = _relative(absolute, total)
    return {
        'mae': absolute / weights.sum(),
        'relative_error': _relative(absolute, total),
        'relative_error_per_image': per_image,
        'bias': signed / weights.sum(),
        'relative_bias': _relative(signed, total),
    }


def _relative(error: np.ndarray, total: np.ndarray) -> np.ndarray:
    empty = np.where(error == 0, 0.0, np.copysign(np.inf, error))
    return np.where(total > 0, error / np.where(total > 0, total, 1), empty)
