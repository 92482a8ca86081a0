"""The fast 8-bit maps against the float64 formulas."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellkit.stain.maps import DensityMap, LabMap
from tests.cellkit.stain.slides import ALL_GREYS_AND_MORE

near_identity = arrays(np.float64, (3, 3), elements=st.floats(-0.3, 0.3)).map(
    lambda a: np.eye(3) + a
)

whites = arrays(np.float64, 3, elements=st.floats(120, 255))

colour_maps = st.one_of(
    st.builds(LabMap, near_identity, arrays(np.float64, 3, elements=st.floats(-20, 20))),
    st.builds(DensityMap, near_identity, whites, whites),
)


def rounded(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(int)


@settings(max_examples=40, deadline=None)
@given(colour_map=colour_maps)
def test_fast_map_is_within_one_grey_level_of_float64(colour_map: LabMap | DensityMap) -> None:
    fast = colour_map.apply(ALL_GREYS_AND_MORE).astype(int)
    exact = colour_map.exact(ALL_GREYS_AND_MORE)
    difference = np.abs(fast - rounded(exact))
    assert difference.max() <= 1
    at_a_half = np.abs(exact - np.floor(exact) - 0.5) < 2e-3
    assert (difference[~at_a_half] == 0).all()


@settings(max_examples=15, deadline=None)
@given(colour_map=colour_maps)
def test_bgr_is_rgb_with_the_channels_swapped(colour_map: LabMap | DensityMap) -> None:
    image = ALL_GREYS_AND_MORE
    bgr = colour_map.apply(np.ascontiguousarray(image[..., ::-1]), 'bgr')[..., ::-1]
    difference = np.abs(bgr.astype(int) - colour_map.apply(image))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02  # values at a half


@settings(max_examples=20, deadline=None)
@given(colour_map=colour_maps)
def test_strength_zero_is_the_identity_and_one_the_map(colour_map: LabMap | DensityMap) -> None:
    image = ALL_GREYS_AND_MORE
    assert np.array_equal(colour_map.blend(0.0).apply(image), image)
    np.testing.assert_allclose(
        colour_map.blend(1.0).exact(image), colour_map.exact(image), atol=1e-9
    )


@pytest.mark.parametrize('threads', [0, 1, 3])
def test_result_does_not_depend_on_threads(threads: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (217, 333, 3), dtype=np.uint8)
    colour_map = LabMap(np.diag([1.1, 0.9, 1.2]), np.array([1.0, 2.0, -3.0]))
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        expected = colour_map.apply(image)
        cv2.setNumThreads(threads)
        assert np.array_equal(colour_map.apply(image), expected)
    finally:
        cv2.setNumThreads(before)


def test_map_takes_a_view_that_is_not_contiguous() -> None:
    image = np.random.default_rng(3).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    colour_map = DensityMap(np.eye(3) * 1.2, np.full(3, 230.0), np.full(3, 240.0))
    view = image[::2, ::3, :3]
    assert np.array_equal(colour_map.apply(view), colour_map.apply(view.copy()))
