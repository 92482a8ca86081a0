"""From a detector's score to the probability that the detection is a cell, and how true it is.

A score of 0.9 is calibrated if nine in ten detections of that score are cells. One parameter makes
it so: the temperature T > 0 of ``p = 1 / (1 + exp(-logit(score) / T))``, fitted by maximum
likelihood on images that the model was not trained on (Guo et al., *On Calibration of Modern Neural
Networks*, ICML 2017). T > 1: the scores were too sure. The order of the scores stays.

    ECE     sum over B bins of (n_b / n) |mean probability_b - share of cells_b|

is the expected calibration error (Naeini et al., *Obtaining Well Calibrated Probabilities Using
Bayesian Binning*, AAAI 2015). The bins are equal-mass: the detections in order of probability, cut
into B runs as equally long as can be. With bins of equal width nearly all detections of a trained
detector lie in the last one, and the error is more biased (Roelofs et al., *Mitigating Bias in
Calibration Error Estimation*, AISTATS 2022). Even of a perfect probability the error is a little
above 0, by chance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

BINS = 10
NEAREST = 2.0**-12
"""A score this near to 0 or 1 counts as this near: in half precision nothing lies between 1 - 2^-11
and 1, so a score of 1 stands for all from halfway on."""
SHARPEST, FLATTEST = 20.0, 0.05  # of 1 / T


def calibrate(scores: np.ndarray, temperature: float) -> np.ndarray:
    """(N,) float64 probabilities of (N,) scores, 0..1."""
    return expit(_logits(scores) / temperature)


def fit_temperature(scores: np.ndarray, hits: np.ndarray) -> float:
    """The temperature of least negative log likelihood, between 0.05 and 20.

    The targets are Platt's, (n+ + 1) / (n+ + 2) for a hit and 1 / (n- + 2) for none, so that a few
    detections without an error don't make the probability 1 (Platt, *Probabilistic Outputs for
    Support Vector Machines*, 1999). The likelihood is concave in 1 / T: its slope has one zero.

    Args:
        scores: (N,) float, 0..1, at least one.
        hits: (N,) bool, which of the detections are cells.
    """
    hits = np.asarray(hits, bool)
    number = np.count_nonzero(hits)
    targets = np.where(hits, (number + 1) / (number + 2), 1 / (len(hits) - number + 2))
    logits = _logits(scores)

    def slope(inverse: float) -> float:
        return float((expit(inverse * logits) - targets) @ logits)

    if slope(FLATTEST) >= 0:
        return 1 / FLATTEST
    if slope(SHARPEST) <= 0:
        return 1 / SHARPEST
    return 1 / brentq(slope, FLATTEST, SHARPEST)


class Reliability(NamedTuple):
    """Equal-mass bins of detections, by ascending probability, (B,) each.

    Attributes:
        probability: Mean probability of a bin.
        share: Share of its detections that are cells.
        number: How many detections it holds.
    """

    probability: np.ndarray
    share: np.ndarray
    number: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error; nan without a detection."""
        if not len(self.number):
            return np.nan
        return float(np.average(np.abs(self.probability - self.share), weights=self.number))


def reliability(probabilities: np.ndarray, hits: np.ndarray, bins: int = BINS) -> Reliability:
    """How often detections are cells, by the probability that is given for it.

    Equal probabilities that a cut would part stay in the order in which they came.

    Args:
        probabilities: (N,) float, 0..1.
        hits: (N,) bool.
        bins: How many, at most N.
    """
    order = np.argsort(probabilities, kind='stable')
    runs = np.array_split(order, min(bins, len(order))) if len(order) else []
    columns = [(np.mean(probabilities[run]), np.mean(hits[run]), len(run)) for run in runs]
    mean, share, number = np.array(columns, float).reshape(-1, 3).T
    return Reliability(mean, share, number.astype(int))


def _logits(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(np.asarray(scores, float), NEAREST, 1 - NEAREST))
