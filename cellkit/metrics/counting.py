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
from typing import NamedTuple

import numpy as np

from cellkit.metrics.bootstrap import resampled_weights

BOOTSTRAP_SAMPLES = 1000


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


class StableThreshold(NamedTuple):
    """A score threshold, and the least and the greatest of those that count as well."""

    value: float
    low: float
    high: float


def stable_threshold(
    true: np.ndarray, found: np.ndarray, thresholds: Sequence[float]
) -> StableThreshold:
    """The score threshold that the images agree on, of those that count as well as the best one.

    The threshold of least error is a lottery where the error hardly changes with the threshold:
    one cell more or less in one image moves it far. Two old remedies steady it.

    *Which ones are as good*: all whose error is within one standard error of the least one, the
    "one standard error rule" (Breiman, Friedman, Olshen and Stone, *Classification and Regression
    Trees*, 1984, section 3.4.3). The standard error, over images, is that of a ratio estimate
    (Cochran, *Sampling Techniques*, 1977, chapter 6)::

        error = sum of e_i / sum of t_i
        standard error = sqrt(N / (N - 1) * sum of (e_i - error * t_i)**2) / sum of t_i

    It is that of the least error itself, not of each threshold's difference from it: a difference
    in a few cells of neighbouring thresholds has next to no standard error, one between thresholds
    far apart a large one, so that by differences good neighbours drop out while bad thresholds,
    which few images cannot tell from the best one, stay in.

    *Which one of them*: the one nearest to the mean of what bootstrap samples of the images would
    choose by least error alone (bagging: Breiman, *Machine Learning* 24, 1996), where the choice of
    a sample with several equally good thresholds is the middle between their ends. Those within
    one standard error need not be neighbours; the nearest one is good where the mean itself, say
    between two valleys of the curve, is not.

    The same images give the same threshold, in whatever order they and the thresholds come.

    Args:
        true: (N,) number of true cells of each image, at least one image.
        found: (N, S) number of predicted cells of each image at each threshold.
        thresholds: S score thresholds, at least one; their spacing doesn't matter.

    Returns:
        All three are among ``thresholds``. One image has no standard error: only those are as good
        then that err as little as the best. So it is where no image errs. Without a true cell the
        sum of errors decides.
    """
    thresholds = np.asarray(thresholds, float)
    descending = np.argsort(-thresholds)  # of two equally near ones the greater is taken
    thresholds = thresholds[descending]
    true = np.asarray(true, float)
    errors = np.abs(np.asarray(found, float)[:, descending] - true[:, None])
    in_order = np.lexsort((*errors.T, true))  # so that the samples don't depend on their order
    true, errors = true[in_order], errors[in_order]

    total = errors.sum(0)
    best = total == total.min()
    # Of several best ones the greatest margin, which takes in what is as good as any of them.
    as_good = total <= total.min() + _standard_error(true, errors[:, best]).max()

    sampled = resampled_weights(len(true), BOOTSTRAP_SAMPLES) @ errors
    least = sampled == sampled.min(1, keepdims=True)
    ends = (np.where(least, thresholds, np.inf).min(1), np.where(least, thresholds, -np.inf).max(1))
    target = np.mean(ends)

    kept = thresholds[as_good]
    nearest = np.argmin(np.abs(kept - target).round(9))  # or rounding errors would break ties
    return StableThreshold(float(kept[nearest]), float(kept[-1]), float(kept[0]))


def _standard_error(true: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(...) standard error, in cells, of the summed errors (N, ...) of images of (N,) true cells.

    That of the relative error, times the number of true cells, which may be 0.
    """
    number = len(errors)
    if number == 1:
        return np.zeros(errors.shape[1:])
    share = true / true.sum() if true.any() else np.full(number, 1 / number)
    rest = errors - np.multiply.outer(share, errors.sum(0))
    return np.sqrt(number / (number - 1) * (rest**2).sum(0))


def _relative(error: np.ndarray, total: np.ndarray) -> np.ndarray:
    empty = np.where(error == 0, 0.0, np.copysign(np.inf, error))
    return np.where(total > 0, error / np.where(total > 0, total, 1), empty)
