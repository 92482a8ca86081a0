"""Outlines give the mask back pixel for pixel, and are what shapely calls valid."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely import Polygon as Area
from skimage.draw import disk
from skimage.measure import euler_number

from cellkit.outlines import ellipse, fill, outline, outlines_of

masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))
offsets = st.integers(0, 3)


def whole(polygons, size: tuple[int, int]) -> np.ndarray:
    """A picture with the filled polygons."""
    crop, x, y = fill(polygons, size)
    picture = np.zeros(size, bool)
    picture[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return picture


@settings(max_examples=300, deadline=None)
@given(masks, offsets, offsets)
def test_any_mask_comes_back(mask, x, y) -> None:
    """Holes, pieces that touch at a corner, single pixels."""
    polygons = outline(mask, x, y)
    expected = np.pad(mask, ((y, 2), (x, 2)))
    np.testing.assert_array_equal(whole(polygons, expected.shape), expected)
    areas = []
    for shell, *holes in polygons:
        area = Area(shell, holes)
        assert area.is_valid
        assert area.exterior.is_ccw
        assert not any(ring.is_ccw for ring in area.interiors)
        areas.append(area.area)
        for ring in (shell, *holes):  # only corners: every step turns
            steps = np.diff(ring, axis=0, append=ring[:1])
            assert (np.count_nonzero(steps, axis=1) == 1).all()
            assert ((steps[:, 0] == 0) != (np.roll(steps, 1, axis=0)[:, 0] == 0)).all()
    assert sum(areas) == mask.sum()
    # Pieces and holes as scikit-image counts them: pixels joined at edges, holes at corners too.
    holes = sum(len(rings) - 1 for rings in polygons)
    assert len(polygons) - holes == euler_number(mask, 1) - _touching_holes(polygons)


def _touching_holes(polygons) -> int:
    """Holes that are one by their corners, or open to the outside there, but two rings here."""
    links = 0
    for rings in polygons:
        points = [tuple(point) for ring in rings for point in ring.tolist()]
        links += len(points) - len(set(points))
    return links


def test_one_pixel() -> None:
    (((ring),),) = outline(np.ones((1, 1), bool), 3, 5)
    assert ring.tolist() == [[3, 5], [4, 5], [4, 6], [3, 6]]


def test_a_ring_has_its_hole_and_what_lies_in_it_is_another_piece() -> None:
    mask = np.ones((5, 5), bool)
    mask[1:4, 1:4] = False
    mask[2, 2] = True
    first, second = outline(mask)
    assert [len(first), len(second)] == [2, 1]
    assert first[1].tolist() == [[1, 1], [1, 4], [4, 4], [4, 1]]


def test_outlines_of_a_label_map() -> None:
    label_map = np.array([[1, 1, 0], [3, 0, 3]])
    first, second, third = outlines_of(label_map, 3)
    assert [len(first), len(second), len(third)] == [1, 0, 2]
    np.testing.assert_array_equal(whole(third, (2, 3)), label_map == 3)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-4, 14), st.floats(-4, 14)), min_size=3, max_size=8),
    st.booleans(),
)
def test_a_pixel_is_inside_if_its_centre_is(points, reverse) -> None:
    """Against the crossings of a ray, centre by centre."""
    ring = np.array(points[::-1] if reverse else points)
    filled = whole([[ring]], (9, 11))
    for y in range(9):
        for x in range(11):
            crossings = 0
            for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                low, high = sorted((a, b), key=lambda point: point[1])
                if low[1] <= y + 0.5 < high[1]:
                    at = low[0] + (y + 0.5 - low[1]) * (high[0] - low[0]) / (high[1] - low[1])
                    if abs(at - x - 0.5) < 1e-9:  # on the line, up to rounding
                        break
                    crossings += at <= x + 0.5
            else:
                assert filled[y, x] == crossings % 2


def test_what_reaches_out_is_cut_and_what_lies_outside_is_empty() -> None:
    square = np.array([[-3, -2], [2, -2], [2, 1], [-3, 1]])
    crop, x, y = fill([[square]], (10, 10))
    assert (crop.shape, x, y, crop.all()) == ((1, 2), 0, 0, True)
    assert fill([[square - 20]], (10, 10))[0].size == 0
    assert fill([], (10, 10))[0].size == 0


@pytest.mark.parametrize('angle', [0, 30, 90])
def test_an_ellipse_measures_what_it_should(angle: float) -> None:
    (ring,) = ellipse(30.5, 30.5, 20, 10, angle)
    assert Area(ring).area == pytest.approx(np.pi * 200, rel=1e-3)
    right = ring[np.argmax(ring @ [np.cos(np.radians(angle)), np.sin(np.radians(angle))])]
    assert right - 30.5 == pytest.approx(
        [20 * np.cos(np.radians(angle)), 20 * np.sin(np.radians(angle))], abs=1e-6
    )
    if not angle:
        circle = whole([ellipse(30.5, 30.5, 20, 20)], (61, 61))
        expected = np.zeros((61, 61), bool)
        expected[disk((30, 30), 20)] = True
        assert np.count_nonzero(circle != expected) <= 4


def test_a_cell_takes_well_below_a_millisecond() -> None:
    y, x = np.mgrid[:120, :120]
    cell = np.hypot(x - 60, y - 60) < 50 + 3 * np.sin(np.arctan2(y - 60, x - 60) * 7)
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        polygons = outline(cell)
        fill(polygons, cell.shape)
        best = min(best, time.perf_counter() - start)
    assert best < 2e-3  # 0.4 ms on a quiet core
