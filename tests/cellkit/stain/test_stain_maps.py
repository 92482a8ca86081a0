"""The fast 8-bit maps against the float64 formulas, and those against other libraries."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellkit.stain import colour
from cellkit.stain.maps import DensityMap, LabMap

ALL_GREYS_AND_MORE = np.concatenate(
    [
        np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(256, 1, 3),
        np.random.default_rng(0).integers(0, 256, (256, 90, 3), dtype=np.uint8),
        np.random.default_rng(1).integers(0, 30, (256, 20, 3), dtype=np.uint8),
    ],
    axis=1,
)

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


def test_lab_is_that_of_scikit_image() -> None:
    skcolor = pytest.importorskip('skimage.color')
    image = ALL_GREYS_AND_MORE
    # Its white point differs from ours in the fifth digit.
    np.testing.assert_allclose(colour.rgb_to_lab(image), skcolor.rgb2lab(image), atol=0.02)


def test_lab_and_density_round_trip() -> None:
    image = ALL_GREYS_AND_MORE
    np.testing.assert_allclose(colour.lab_to_rgb(colour.rgb_to_lab(image)), image, atol=1e-2)
    white = np.array([230.0, 225.0, 210.0])
    density = colour.optical_density(image, white)
    np.testing.assert_allclose(colour.transmitted_light(density, white), image, atol=1e-9)
    np.testing.assert_allclose(density, colour.optical_density(image.astype(float), white))
    assert np.abs(colour.rgb_to_lab(image[:, 0])[:, 1:]).max() < 1e-9  # greys have no colour
