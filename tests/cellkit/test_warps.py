"""Elastic deformation: nothing leaves the picture, nothing folds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.warps import elastic_grid, warp


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    spacing=st.floats(2, 60),
    shift=st.floats(0, 100),
)
def test_maps_the_picture_onto_itself(
    seed: int, height: int, width: int, spacing: float, shift: float
) -> None:
    x, y = elastic_grid(np.random.default_rng(seed), (height, width), spacing, shift)
    assert x.dtype == y.dtype == np.float32
    assert x.shape == y.shape == (height, width)
    np.testing.assert_allclose(x[:, 0], 0, atol=1e-3)
    np.testing.assert_allclose(x[:, -1], width - 1, atol=1e-3)
    np.testing.assert_allclose(y[0], 0, atol=1e-3)
    np.testing.assert_allclose(y[-1], height - 1, atol=1e-3)
    turn = np.gradient(x, axis=1) * np.gradient(y, axis=0)
    turn -= np.gradient(x, axis=0) * np.gradient(y, axis=1)
    assert turn.min() > 0  # the sides of no pixel change places


def test_no_shift_is_no_change_and_labels_stay_labels() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 50, 3), np.uint8)
    np.testing.assert_array_equal(warp(image, *elastic_grid(rng, (40, 50), 10, 0)), image)
    labels = rng.choice(np.array([0, 7, 300], np.uint16), (40, 50))
    warped = warp(labels, *elastic_grid(rng, (40, 50), 20, 3), nearest=True)
    assert set(np.unique(warped)) <= {0, 7, 300}
    assert (warped != labels).any()
