"""A label map at another size: the label under each new pixel's centre, to the tie."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.label_maps import resize

SIDES = st.integers(1, 40)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_the_label_under_the_centre(old: tuple[int, int], new: tuple[int, int]) -> None:
    label_map = np.arange(old[0] * old[1]).reshape(old)
    found = resize(label_map, new)
    assert found.shape == new
    for place, axis in zip(np.unravel_index(found, old), (0, 1), strict=True):
        # In halves of an old pixel's new-th part: the centre lies in the pixel or on its left edge.
        centres = np.expand_dims((2 * np.arange(new[axis]) + 1) * old[axis], 1 - axis)
        inside = centres - 2 * place * new[axis]
        assert (inside >= 0).all()
        assert (inside < 2 * new[axis]).all()


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32, np.int64])
def test_type_stays_and_the_same_size_is_the_same_map(dtype: type) -> None:
    label_map = np.arange(12, dtype=dtype).reshape(3, 4)
    assert resize(label_map, (5, 2)).dtype == dtype
    assert resize(label_map, (3, 4)) is label_map


@pytest.mark.parametrize('size', [(768, 1024), (614, 819), (960, 1280), (1200, 1600)])
def test_cells_stay_where_the_image_has_them(size: tuple[int, int]) -> None:
    """Against the image, resized by its centres; the corners' labels lie half a pixel off."""
    rows, columns = np.ogrid[:1200, :1600]
    disc = ((rows - 611.3) ** 2 + (columns - 803.7) ** 2 < 52.0**2).astype(np.uint8)
    image = cv2.resize(disc.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(_centroid(resize(disc, size)) - _centroid(image)).max() < 0.15
    corners = cv2.resize(disc, size[::-1], interpolation=cv2.INTER_NEAREST)
    if size != disc.shape:
        assert (_centroid(corners) - _centroid(image)).min() > 0.35


def _centroid(weights: np.ndarray) -> np.ndarray:
    """(y, x), pixels."""
    return np.array([(weights * grid).sum() for grid in np.indices(weights.shape)]) / weights.sum()
