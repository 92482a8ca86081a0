import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from cellkit.metrics.calibration import calibrate, fit_temperature, reliability

pairs = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(st.floats(0.001, 0.999), st.floats(0.1, 10))
def test_temperature_divides_the_logit(score, temperature):
    (p,) = calibrate(np.array([score]), temperature)
    # The odds to the power of 1 / T; the logit of a p near 1 would have lost its digits.
    yes, no = score ** (1 / temperature), (1 - score) ** (1 / temperature)
    assert p == pytest.approx(yes / (yes + no), rel=1e-9)


def test_a_score_that_half_precision_rounds_to_1_is_not_certain():
    low, high = calibrate(np.array([0.0, 1.0]), 2.0)
    assert low == pytest.approx(1 - high)
    assert high == pytest.approx(expit(logit(1 - 2**-12) / 2))


@given(pairs)
def test_the_fit_has_the_least_loss_of_a_search(found):
    scores, hits = np.array([s for s, _ in found]), np.array([h for _, h in found])
    n = hits.sum()
    targets = np.where(hits, (n + 1) / (n + 2), 1 / (len(hits) - n + 2))

    def loss(inverse: float) -> float:
        p = np.clip(calibrate(scores, 1 / inverse), 1e-300, 1 - 1e-16)
        return -np.sum(targets * np.log(p) + (1 - targets) * np.log1p(-p))

    grid = np.geomspace(0.05, 20, 200)
    peer = minimize_scalar(loss, bounds=(0.05, 20), method='bounded').fun
    assert loss(1 / fit_temperature(scores, hits)) <= min(peer, *map(loss, grid)) + 1e-6


def test_a_known_temperature_is_found_again():
    rng = np.random.default_rng(0)
    scores = rng.beta(4, 1, 40_000)
    hits = rng.random(40_000) < expit(logit(scores) / 1.7)
    assert fit_temperature(scores, hits) == pytest.approx(1.7, abs=0.05)
    assert reliability(calibrate(scores, 1.7), hits).error < 0.01 < reliability(scores, hits).error


def test_without_an_error_the_probability_stays_below_one():
    scores, hits = np.full(100, 0.9), np.ones(100, bool)
    (p,) = calibrate(scores[:1], fit_temperature(scores, hits))
    assert p == pytest.approx(101 / 102)  # Platt's target


def test_reliability_by_hand():
    found = reliability(np.array([0.9, 0.1, 0.8, 0.2]), np.array([True, False, True, True]), 2)
    np.testing.assert_allclose(found.probability, [0.15, 0.85])
    np.testing.assert_allclose(found.share, [0.5, 1])
    assert found.number.tolist() == [2, 2]
    assert found.error == pytest.approx((0.35 + 0.15) / 2)


@given(pairs, st.integers(1, 12))
def test_bins_are_of_equal_mass_and_agree_with_a_slow_reference(found, bins):
    scores, hits = np.array([s for s, _ in found]), np.array([h for _, h in found])
    ordered = sorted(zip(scores, hits, strict=True), key=lambda pair: pair[0])
    left, error = len(ordered), 0.0
    for number in reliability(scores, hits, bins).number:
        run, ordered = ordered[:number], ordered[number:]
        error += abs(sum(s for s, _ in run) - sum(h for _, h in run)) / left
    result = reliability(scores, hits, bins)
    assert ordered == []
    assert result.number.max() - result.number.min() <= 1
    assert len(result.number) == min(bins, left)
    assert result.error == pytest.approx(error)


def test_nothing_has_no_error_to_measure():
    assert np.isnan(reliability(np.zeros(0), np.zeros(0, bool)).error)
