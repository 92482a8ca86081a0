import numpy as np
import pytest
from scipy.stats import bootstrap

from cellkit.metrics.bootstrap import confidence_intervals, resampled_weights
from cellkit.metrics.counting import count_values
from cellkit.metrics.pixel import pixel_values


def test_intervals_agree_with_scipy():
    values = np.random.default_rng(1).gamma(3, size=40)
    weights = resampled_weights(40, 4000, seed=2)
    ours = confidence_intervals(lambda w: {'mean': np.average(values, weights=w)}, weights)['mean']
    peer = bootstrap((values,), np.mean, method='percentile', n_resamples=4000, rng=3)
    assert ours == pytest.approx(tuple(peer.confidence_interval), abs=0.05 * values.std())


def test_samples_are_repeatable_and_of_full_size():
    weights = resampled_weights(7, 50, seed=4)
    assert (weights.sum(1) == 7).all()
    np.testing.assert_array_equal(weights, resampled_weights(7, 50, seed=4))
    assert (weights != resampled_weights(7, 50, seed=5)).any()


def test_weights_stand_for_repeated_images():
    rng = np.random.default_rng(0)
    counts, true, pred = rng.integers(1, 50, (6, 3)), rng.integers(0, 3, 6), rng.integers(0, 9, 6)
    counts[:, 0] = counts.min(1)
    for weights in resampled_weights(6, 20):
        repeated = np.repeat(np.arange(6), weights)
        pairs = [
            (pixel_values(counts, weights), pixel_values(counts[repeated])),
            (count_values(true, pred, weights), count_values(true[repeated], pred[repeated])),
        ]
        for weighted, expected in pairs:
            assert weighted.keys() == expected.keys()
            for name, value in weighted.items():
                assert value == pytest.approx(expected[name]), name


def test_infinite_figures_are_left_out():
    weights = np.array([[1, 1], [2, 0]])
    ends = confidence_intervals(lambda w: {'a': np.inf if w[1] else 3.0, 'b': np.inf}, weights)
    assert ends['a'] == (3, 3)
    assert np.isnan(ends['b']).all()
