"""Shape figures against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.shapes import COLUMNS, shape_values


def ellipse(a: float, b: float, angle: float = 0.0, size: int = 160, at=(80.0, 80.0)) -> np.ndarray:
    """Label map of one ellipse with half axes a >= b, its centre at (x, y)."""
    y, x = np.mgrid[:size, :size] - np.array(at[::-1])[:, None, None]
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    return ((along / a) ** 2 + (across / b) ** 2 <= 1).astype(np.int32)


@pytest.mark.parametrize('radius', [10, 25, 60])
def test_disc(radius: int) -> None:
    figures = shape_values(ellipse(radius, radius))
    assert figures['area'][0] == pytest.approx(np.pi * radius**2, rel=0.02)
    assert figures['equivalent_diameter'][0] == pytest.approx(2 * radius, rel=0.01)
    assert figures['eccentricity'][0] < 0.05
    assert 1 - 0.7 / radius <= figures['circularity'][0] <= 1
    assert (figures['centroid_x'][0], figures['centroid_y'][0]) == pytest.approx((80, 80))
    assert [figures[k][0] for k in ('x', 'y', 'width', 'height')] == [
        80 - radius, 80 - radius, 2 * radius + 1, 2 * radius + 1,
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.floats(25, 60), st.floats(0.35, 0.95), st.floats(0, np.pi), st.floats(75, 85),
    st.floats(75, 85),
)  # fmt: skip
def test_ellipse(a: float, ratio: float, angle: float, x: float, y: float) -> None:
    figures = shape_values(ellipse(a, ratio * a, angle, at=(x, y)))
    assert figures['area'][0] == pytest.approx(np.pi * a * a * ratio, rel=0.02)
    assert figures['eccentricity'][0] == pytest.approx(np.sqrt(1 - ratio**2), abs=0.03)
    assert figures['centroid_x'][0] == pytest.approx(x, abs=0.2)
    assert figures['centroid_y'][0] == pytest.approx(y, abs=0.2)
    # Ramanujan's perimeter of an ellipse
    b = ratio * a
    h = ((a - b) / (a + b)) ** 2
    perimeter = np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))
    expected = 4 * np.pi * np.pi * a * b / perimeter**2
    assert figures['circularity'][0] == pytest.approx(expected, rel=0.08)


def test_a_line_is_far_from_a_disc() -> None:
    line = np.zeros((20, 60), np.int32)
    line[10, 5:55] = 1
    figures = shape_values(line)
    assert figures['eccentricity'][0] > 0.999
    assert figures['circularity'][0] < 0.15


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 30), st.integers(0, 20), st.integers(1, 31), st.integers(1, 21),
    st.integers(1, 4),
)  # fmt: skip
def test_touching_the_border(x: int, y: int, width: int, height: int, border: int) -> None:
    label_map = np.zeros((21, 31), np.int32)
    label_map[y : y + height, x : x + width] = 5
    rows, columns = np.nonzero(label_map)
    inside = (rows >= border) & (rows < 21 - border) & (columns >= border) & (columns < 31 - border)
    assert shape_values(label_map, border)['touches_border'].tolist() == [not inside.all()]


def test_several_cells_and_a_missing_label() -> None:
    label_map = np.zeros((30, 30), np.int32)
    label_map[2:5, 3:9], label_map[20:30, 10:12] = 4, 2
    figures = shape_values(label_map)
    assert tuple(figures) == COLUMNS
    assert figures['label'].tolist() == [2, 4]
    assert figures['area'].tolist() == [20, 18]
    assert figures['touches_border'].tolist() == [True, False]
    assert (figures['centroid_x'][1], figures['centroid_y'][1]) == (5.5, 3)


def test_no_cells() -> None:
    figures = shape_values(np.zeros((4, 5), np.int32))
    assert all(len(values) == 0 for values in figures.values())
    assert figures['touches_border'].dtype == bool
    assert figures['area'].dtype == np.int64


def test_wrong_shape() -> None:
    with pytest.raises(ValueError, match='must be'):
        shape_values(np.zeros((2, 3, 4), np.int32))


@pytest.mark.parametrize('seed', range(4))
def test_as_scikit_image_measures(seed: int) -> None:
    """Also cells of one pixel, in several pieces and with holes."""
    measure = pytest.importorskip('skimage.measure')
    rng = np.random.default_rng(seed)
    label_map = rng.integers(0, 6, (rng.integers(1, 40), rng.integers(1, 40)))
    label_map[:, ::2] = rng.integers(8, 12, label_map[:, ::2].shape)
    label_map[0, 0] = 20  # a pixel alone
    names = ('label', 'num_pixels', 'centroid', 'eccentricity', 'perimeter_crofton')
    peer = measure.regionprops_table(label_map, properties=names)
    found = shape_values(label_map)
    np.testing.assert_array_equal(found['label'], peer['label'])
    np.testing.assert_array_equal(found['area'], peer['num_pixels'])
    np.testing.assert_allclose(found['centroid_x'], peer['centroid-1'])
    np.testing.assert_allclose(found['centroid_y'], peer['centroid-0'])
    np.testing.assert_allclose(found['eccentricity'], peer['eccentricity'], atol=1e-7)
    round_ = 4 * np.pi * peer['num_pixels'] / np.maximum(peer['perimeter_crofton'], 1e-9) ** 2
    np.testing.assert_allclose(found['circularity'], np.minimum(round_, 1))
