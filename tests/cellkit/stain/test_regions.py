"""Counting in histograms."""

from __future__ import annotations

import numpy as np
import pytest

from cellkit.stain.regions import histogram, median_of_counts


def test_median_from_a_histogram() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (41, 101), dtype=np.uint8)
    mask = rng.random(values.shape) < 0.3
    assert np.array_equal(histogram(values, mask), np.bincount(values[mask], minlength=256))
    found = median_of_counts(histogram(values, mask))
    assert found == pytest.approx(np.median(values[mask]), abs=0.5)

    def median(*levels: int) -> float:
        return median_of_counts(histogram(np.array(levels, np.uint8)))

    assert median(*[40] * 10) == pytest.approx(40)
    assert median(*[10] * 5, *[20] * 5) == pytest.approx(10.5)
    assert np.isnan(median_of_counts(np.zeros(256)))
