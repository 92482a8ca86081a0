import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.metrics.counting import count_by_score, count_values


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
