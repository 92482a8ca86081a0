"""An interval for the number of cells in images, from the probabilities of the detections.

Detection c of an image is a cell with probability p_c, so with S = sum of p_c and V = sum of
p_c (1 - p_c) the number of cells found has mean S and, for independent detections, variance V
(Poisson binomial). Validation images, where the true number t is known, say what this leaves out:

    missed cells      t is r S on average, r = sum of t / sum of S over the validation images
    over-dispersion   an image's errors go together (focus, stain, a clump): the variance of t is
                      phi (V + max(r - 1, 0) S), the cells not found counted as a Poisson variable;
                      phi = sum of (t - r S)^2 / sum of these variances, times N / (N - 1) for the
                      fit of r, and never less than 1
    r is estimated    the ratio estimator's variance, N / (N - 1) sum of (t - r S)^2 / (sum of S)^2
                      (Cochran, *Sampling Techniques*, 1977, 6.4); it doesn't average out in a batch

The interval of K images is r S ± t (phi (V + ...) + S^2 var r)^(1/2), S and V summed over them,
with Student's t for N - 1 degrees of freedom, rounded outwards to whole cells. It holds for images
like those of validation: another microscope may be off in a way that none of them shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95


class Evidence(NamedTuple):
    """What the probabilities of detections say of their number; adds up over images.

    Attributes:
        mean: Sum of the probabilities.
        variance: Sum of p (1 - p).
    """

    mean: float
    variance: float


def evidence_of(probabilities: np.ndarray) -> Evidence:
    """The evidence of an image's detections, (N,) probabilities."""
    p = np.asarray(probabilities, float)
    return Evidence(float(p.sum()), float((p * (1 - p)).sum()))


class CountModel(NamedTuple):
    """What validation images say of counts; the module has the formulas.

    Attributes:
        factor: r.
        dispersion: phi.
        factor_variance: Variance of the estimate of r.
        images: N.
    """

    factor: float
    dispersion: float
    factor_variance: float
    images: int


def fit_count_model(evidence: Sequence[Evidence], true: Sequence[int]) -> CountModel:
    """Fit to N validation images.

    Args:
        evidence: Of each image, two at least; one of them must have a detection.
        true: Its number of cells.
    """
    number, total = len(true), sum(item.mean for item in evidence)
    factor = sum(true) / total
    square = sum((t - factor * e.mean) ** 2 for t, e in zip(true, evidence, strict=True))
    square *= number / (number - 1)
    expected = sum(_variance(factor, item) for item in evidence)
    dispersion = max(square / expected, 1.0) if expected > 0 else 1.0
    return CountModel(factor, dispersion, square / total**2, number)


def count_interval(
    model: CountModel, evidence: Sequence[Evidence], level: float = LEVEL
) -> tuple[int, int]:
    """Interval for the number of cells in all the images together, low and high end included.

    Args:
        model: Of images like these.
        evidence: Of each image.
        level: How often the true number lies in such an interval.
    """
    total = Evidence(sum(item.mean for item in evidence), sum(item.variance for item in evidence))
    variance = model.dispersion * _variance(model.factor, total)
    variance += model.factor_variance * total.mean**2
    half = stats.t.ppf((1 + level) / 2, model.images - 1) * math.sqrt(variance)
    centre = model.factor * total.mean
    return max(math.floor(centre - half), 0), math.ceil(centre + half)


def _variance(factor: float, evidence: Evidence) -> float:
    return evidence.variance + max(factor - 1, 0) * evidence.mean
