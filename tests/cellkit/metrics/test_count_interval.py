import numpy as np
import pytest
from scipy import stats

from cellkit.metrics.count_interval import (
    CountModel,
    Evidence,
    count_interval,
    evidence_of,
    fit_count_model,
)


def test_evidence_is_the_poisson_binomial_s_mean_and_variance():
    p = np.array([0.9, 0.5, 0.2])
    outcomes = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, -1)
    chance = np.prod(np.where(outcomes, p[:, None], 1 - p[:, None]), axis=0)
    mean = chance @ outcomes.sum(0)
    found = evidence_of(p)
    assert found.mean == pytest.approx(mean)
    assert found.variance == pytest.approx(chance @ (outcomes.sum(0) - mean) ** 2)


def test_the_interval_by_hand():
    model = CountModel(factor=1.1, dispersion=2.0, factor_variance=0.01, images=10)
    low, high = count_interval(model, [Evidence(40, 3), Evidence(60, 5)])
    half = stats.t.ppf(0.975, 9) * np.sqrt(2 * (8 + 0.1 * 100) + 0.01 * 100**2)
    assert (low, high) == (np.floor(110 - half), np.ceil(110 + half))


def test_the_fit_by_hand():
    evidence = [Evidence(10, 1)] * 5
    model = fit_count_model(evidence, [8, 10, 12, 14, 16])
    assert model.factor == pytest.approx(1.2)
    square = 40 * 5 / 4
    assert model.dispersion == pytest.approx(square / (5 * (1 + 0.2 * 10)))
    assert model.factor_variance == pytest.approx(square / 50**2)
    assert model.images == 5


def test_dispersion_is_never_less_than_that_of_independent_cells():
    assert fit_count_model([Evidence(50, 4)] * 6, [50] * 6).dispersion == 1


def test_no_detection_no_cells():
    model = fit_count_model([Evidence(50, 4)] * 6, [50] * 6)
    assert count_interval(model, [Evidence(0, 0)]) == (0, 0)
    assert count_interval(model, []) == (0, 0)


@pytest.mark.parametrize('number', [5, 14, 60])
def test_nineteen_in_twenty_images_and_batches_are_covered(number):
    """Over-dispersed counts: each image has its own share of missed and of true cells."""
    rng = np.random.default_rng(number)

    def draw(count):
        images = []
        for _ in range(count):
            p = rng.beta(9, 1, rng.integers(20, 120))
            shift = rng.normal(0, 0.04)  # of the whole image
            true = np.count_nonzero(rng.random(len(p)) < np.clip(p + shift, 0, 1))
            images.append((evidence_of(p), int(true + rng.poisson(0.03 * len(p)))))
        return images

    single, batch, too_narrow = [], [], []
    for _ in range(400):
        model = fit_count_model(*zip(*draw(number), strict=True))
        evidence, true = zip(*draw(8), strict=True)
        low, high = count_interval(model, evidence[:1])
        single.append(low <= true[0] <= high)
        low, high = count_interval(model, evidence)
        batch.append(low <= sum(true) <= high)
        naive = model._replace(dispersion=1.0, factor_variance=0.0, images=10**6)
        low, high = count_interval(naive, evidence)
        too_narrow.append(low <= sum(true) <= high)
    assert 0.92 <= np.mean(single) <= 0.99
    assert 0.92 <= np.mean(batch) <= 0.99
    assert np.mean(too_narrow) < 0.9  # what independent cells would give
