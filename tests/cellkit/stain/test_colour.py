"""The float64 formulas against other libraries and their inverses."""

from __future__ import annotations

import numpy as np
import pytest

from cellkit.stain import colour
from tests.cellkit.stain.slides import ALL_GREYS_AND_MORE


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
