"""Curves lie where the cells are, at any scale."""

import numpy as np
import pytest

from cellkit.contours import SHIFT, contours_of


@pytest.mark.parametrize('scale', [0.5, 1.0, 3.0])
def test_a_curve_is_the_ring_of_a_cell_s_pixels(scale: float) -> None:
    label_map = np.zeros((40, 50), np.uint8)
    label_map[10:20, 15:35] = 5
    label_map[10:20, 35:45] = 6
    (curve,) = contours_of(label_map, 5, np.array([15, 10, 35, 20]), scale=scale)
    points = curve / (1 << SHIFT)
    ends = [(low + 0.5) * scale - 0.5 for low in (15, 10, 34, 19)]
    found = [*points.min(axis=0), *points.max(axis=0)]
    np.testing.assert_allclose(found, ends, atol=1 / (1 << SHIFT))
