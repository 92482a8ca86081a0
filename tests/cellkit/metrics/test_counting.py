import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellkit.metrics.counting import count_by_score, count_values, stable_threshold


def test_figures_by_hand():
    figures = count_values(np.array([10, 40, 0]), np.array([12, 34, 1]))
    assert figures['mae'] == pytest.approx((2 + 6 + 1) / 3)
    assert figures['relative_error'] == pytest.approx((2 + 6 + 1) / 50)
    assert figures['relative_error_per_image'] == pytest.approx((2 / 10 + 6 / 40) / 2)
    assert figures['bias'] == pytest.approx((2 - 6 + 1) / 3)
    assert figures['relative_bias'] == pytest.approx((2 - 6 + 1) / 50)


def test_errors_of_opposite_sign_cancel_in_the_bias_only():
    figures = count_values(np.array([10, 10]), np.array([15, 5]))
    assert figures['bias'] == figures['relative_bias'] == 0
    assert figures['relative_error'] == 0.5


def test_empty_cases_are_as_documented():
    assert count_values(np.zeros(2), np.zeros(2))['relative_error'] == 0
    figures = count_values(np.zeros(2), np.array([0, 3]))
    assert figures['relative_error'] == figures['relative_bias'] == np.inf
    assert figures['relative_error_per_image'] == np.inf
    assert np.isnan(count_values(np.zeros(0), np.zeros((0, 4)))['mae']).all()


@given(st.lists(st.integers(0, 10)), st.lists(st.integers(0, 10), min_size=1))
def test_counts_include_the_threshold_itself(scores, thresholds):
    counted = count_by_score(np.array(scores) / 10, np.array(thresholds) / 10)
    assert counted.tolist() == [sum(s >= t for s in scores) for t in thresholds]


def test_as_good_is_what_errs_at_most_one_standard_error_more():
    true = np.array([10, 10])
    # At 0.5 the images err by 2 and 0 cells: mean 1, standard deviation sqrt(2), so the standard
    # error of the sum is sqrt(2) * sqrt(2) = 2: as good is what errs by up to 4 cells.
    found = np.array([[15, 13, 12, 11, 8], [10, 11, 10, 9, 7]])
    chosen = stable_threshold(true, found, (0.3, 0.4, 0.5, 0.6, 0.7))
    # At 0.3 they err by 5 cells in all, at 0.4 by 4, at 0.6 by 2, at 0.7 by 5. Of the samples a
    # quarter, the first image twice, chooses 0.6, a quarter, the second twice, 0.3 or 0.5, the
    # others 0.5 or 0.6: the mean is 0.525.
    assert chosen == (0.5, 0.4, 0.6)


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        ([[7, 5, 5, 5, 2]], (0.7, 0.4, 0.8)),  # one image: the middle of those that err least
        ([[9, 5, 5, 5, 0]] * 3, (0.7, 0.4, 0.8)),  # images that agree have no standard error
        ([[5, 5, 5, 5, 5]] * 3, (0.4, 0.1, 0.9)),  # the middle is 0.5, however many lie above
        ([[4, 4, 4, 4, 4]] * 3, (0.4, 0.1, 0.9)),
        ([[5, 6, 9, 5, 5]], (0.8, 0.1, 0.9)),  # two valleys: never the hill between them
    ],
)
def test_what_is_chosen_in_plain_cases(found, expected):
    chosen = stable_threshold(np.full(len(found), 5), np.array(found), (0.1, 0.4, 0.7, 0.8, 0.9))
    assert chosen == expected


def test_without_a_true_cell_what_finds_least_is_best():
    # Samples of the second image alone, a quarter, choose the middle of 2 ... 4, the others 3.5.
    chosen = stable_threshold(np.zeros(2), np.array([[3, 1, 0, 0], [2, 0, 0, 0]]), (1, 2, 3, 4))
    assert chosen == (3, 3, 4)


@st.composite
def counted_images(draw):
    """True cells (N,), found cells (N, S) that fall with the threshold, thresholds (S,)."""
    images, number = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    true = draw(arrays(np.int64, images, elements=st.integers(0, 30)))
    lost = draw(arrays(np.int64, (images, number), elements=st.integers(0, 5)))
    more = draw(arrays(np.int64, (images, 1), elements=st.integers(0, 10)))
    ticks = st.lists(st.integers(1, 1000), min_size=number, max_size=number, unique=True)
    found = np.maximum(true[:, None] + more - np.cumsum(lost, 1), 0)
    return true, found, np.sort(draw(ticks)) / 1000


@given(counted_images(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_invariants_of_the_chosen_threshold(counted, random):
    true, found, thresholds = counted
    chosen = stable_threshold(true, found, thresholds)
    errors = np.abs(found - true[:, None])
    total = errors.sum(0)
    assert set(chosen) <= set(thresholds)
    assert chosen.low <= chosen.value <= chosen.high
    best = thresholds[total == total.min()]
    assert chosen.low <= best.min() <= best.max() <= chosen.high
    at = {end: total[np.flatnonzero(thresholds == end)[0]] for end in chosen}
    if len(true) == 1:
        assert set(at.values()) == {total.min()}
    elif len(set(true)) == 1:  # the ratio's standard error is then the mean's
        margin = (np.sqrt(len(true)) * errors[:, total == total.min()].std(0, ddof=1)).max()
        assert max(at.values()) <= total.min() + margin + 1e-9
        beyond = (thresholds < chosen.low) | (thresholds > chosen.high)
        assert (total[beyond] > total.min() + margin - 1e-9).all()
    # Neither the order of images or thresholds nor a threshold that is there twice matters.
    images = random.sample(range(len(true)), len(true))
    columns = random.sample(range(len(thresholds)), len(thresholds))
    columns.append(random.choice(columns))
    again = stable_threshold(true[images], found[np.ix_(images, columns)], thresholds[columns])
    assert again == chosen
