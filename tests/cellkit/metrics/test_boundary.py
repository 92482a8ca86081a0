import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.metrics.boundary import boundary_f1, boundary_mask, boundary_terms


def boundary_counts(true, pred, tolerance):
    """Counts of all predicted cells, whatever their scores."""
    return boundary_terms(true, pred, np.ones(pred.max(initial=0)), tolerance).sum(0)


def slow_boundary(label_map):
    """Pixel by pixel, straight from the definition."""
    height, width = label_map.shape
    points = []
    for y, x in np.argwhere(label_map > 0):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [(j, i) for j, i in around if 0 <= j < height and 0 <= i < width]
        if any(label_map[place] != label_map[y, x] for place in inside):
            points.append((y, x))
    return np.array(points, float).reshape(-1, 2)


def near(points, others, tolerance):
    gaps = np.linalg.norm(points[:, None] - others[None], axis=-1)
    return int((gaps <= tolerance + 1e-9).any(1).sum())


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 1.5, 2, 3]))
def test_counts_agree_with_all_distances(seed, tolerance):
    rng = np.random.default_rng(seed)
    true, pred = (
        np.kron(rng.integers(0, 4, (4, 5)), np.ones((3, 3), int)) * (rng.random((12, 15)) < 0.97)
        for _ in range(2)
    )
    first, second = slow_boundary(pred), slow_boundary(true)
    assert set(map(tuple, np.argwhere(boundary_mask(pred)))) == set(map(tuple, first.astype(int)))
    expected = [near(first, second, tolerance), len(first)]
    expected += [near(second, first, tolerance), len(second)]
    assert boundary_counts(true, pred, tolerance).tolist() == expected


def test_shift_by_three_pixels_by_hand():
    true = np.zeros((60, 60), int)
    true[20:40, 20:40] = 1
    counts = boundary_counts(true, np.roll(true, 3, 1), 2)
    # Top and bottom: 19 of 20 each; left side: 2 beside either corner; right side: none.
    assert counts.tolist() == [42, 76, 42, 76]
    assert boundary_f1(counts) == pytest.approx(42 / 76)
    assert boundary_f1(boundary_counts(true, np.roll(true, 3, 1), 3)) == 1


def test_the_border_of_the_image_is_no_boundary_and_touching_cells_have_one():
    whole = np.ones((5, 6), int)
    assert not boundary_mask(whole).any()
    whole[:, 3:] = 2
    assert np.flatnonzero(boundary_mask(whole)[0]).tolist() == [2, 3]


def test_empty_cases_are_as_documented():
    empty, half = np.zeros((5, 6), int), np.eye(6, dtype=int)[:5]
    assert boundary_f1(boundary_counts(empty, empty, 2)) == 1
    assert boundary_f1(boundary_counts(half, empty, 2)) == 0
    assert boundary_f1(boundary_counts(empty, half, 2)) == 0


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 3]), st.sampled_from([0.0, 0.3, 0.5]))
def test_terms_add_up_to_the_counts_at_every_threshold(seed, tolerance, threshold):
    """Sums of kept rows are what dropping the labels from the map first would give."""
    rng = np.random.default_rng(seed)
    true, pred = (np.kron(rng.integers(0, 6, (4, 5)), np.ones((3, 3), int)) for _ in range(2))
    scores = rng.integers(0, 4, 5) / 5  # with ties
    kept = scores >= threshold
    terms = boundary_terms(true, pred, scores, tolerance)
    dropped = np.concatenate(([0], np.where(kept, np.arange(1, 6), 0)))[pred]
    expected = boundary_terms(true, dropped, np.ones(5), tolerance).sum(0)
    assert terms[np.concatenate(([True], kept))].sum(0).tolist() == expected.tolist()
