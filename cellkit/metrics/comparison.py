"""Which of two predictions of the same images is better, by how much, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cellkit.metrics.bootstrap import paired_differences, resampled_weights
from cellkit.metrics.records import ImageRecord, values_by_weights

BIASES = ('count/relative_bias',)
"""Compared by their size: of -3 % and +3 % neither is better."""
STANDARD_ERRORS = 2.0
"""That the means of two kinds of runs must be apart to be told apart."""
SMALLER_IS_BETTER = ('count/relative_error', 'count/mae', *BIASES)


class Comparison(NamedTuple):
    """One value of the two.

    Attributes:
        first: Of the one.
        second: Of the other.
        difference: First less second; of biases, of their sizes.
        low: Low end of its 95 % interval.
        high: High end.
        better: Share of the bootstrap samples in which the first is better; equal ones count half.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    better: float

    @property
    def differ(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def compare(
    first: tuple[Sequence[ImageRecord], float],
    second: tuple[Sequence[ImageRecord], float],
    samples: int,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Comparison]:
    """Compare every value, with a paired bootstrap over the images.

    Args:
        first: Records of N images, and the score from which a detection counts.
        second: The same of the same images in the same order.
        samples: Number of bootstrap samples, drawn with ``seed``, at least one.
        progress: Wraps the samples, for a progress bar.

    Returns:
        By the keys of :func:`cellkit.metrics.records.values`.

    Raises:
        ValueError: The images are not the same.
    """
    ids = [[record.image_id for record in records] for records, _ in (first, second)]
    if ids[0] != ids[1]:
        raise ValueError('records of other images, or in another order')
    one, other = (values_by_weights(*way) for way in (first, second))
    sizes, other_sizes = _by_size(one), _by_size(other)
    weights = progress(resampled_weights(len(ids[0]), samples, seed))
    found = paired_differences(sizes, other_sizes, weights)
    once = np.ones(len(ids[0]))
    values, others, less, more = (ask(once) for ask in (one, other, sizes, other_sizes))
    result = {}
    for name, (low, high, greater) in found.items():
        better = 1 - greater if name in SMALLER_IS_BETTER else greater
        difference = less[name] - more[name]
        result[name] = Comparison(values[name], others[name], difference, low, high, better)
    return result


def _by_size(
    values_of: Callable[[np.ndarray], dict[str, float]],
) -> Callable[[np.ndarray], dict[str, float]]:
    def sizes(weights: np.ndarray) -> dict[str, float]:
        found = values_of(weights)
        return found | {name: abs(found[name]) for name in BIASES}

    return sizes


def difference_of_means(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """How much more the mean of independent runs is than that of others, and the standard error.

    Of fewer than two runs of either the error is NaN. Welch's: the variances need not be alike.
    """
    spreads = [
        statistics.variance(each) / len(each) if len(each) > 1 else math.nan
        for each in (before, after)
    ]
    return statistics.fmean(after) - statistics.fmean(before), math.sqrt(sum(spreads))
