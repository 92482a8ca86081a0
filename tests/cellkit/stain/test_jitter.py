"""Stain jitter in optical density."""

from __future__ import annotations

import numpy as np
import pytest

from cellkit.stain import colour
from cellkit.stain.jitter import GIEMSA, jitter, jitter_map
from tests.cellkit.stain.slides import smear

WHITE = np.array([228.0, 229.0, 226.0])
NONE = np.zeros(3)


def test_basis_has_unit_columns_the_third_at_right_angles() -> None:
    np.testing.assert_allclose(np.linalg.norm(GIEMSA, axis=0), 1)
    np.testing.assert_allclose(GIEMSA[:, :2].T @ GIEMSA[:, 2], 0, atol=1e-12)


def test_concentrations_scale_and_shift() -> None:
    amounts = np.random.default_rng(0).uniform(0, 1, (50, 3))
    levels = colour.transmitted_light(amounts @ GIEMSA.T, WHITE)
    scale, shift = np.array([0.2, -0.1, 0.3]), np.array([0.05, -0.02, 0.01])
    mapped = jitter_map(WHITE, scale, shift).exact(levels)
    expected = colour.transmitted_light((amounts * (1 + scale) + shift) @ GIEMSA.T, WHITE)
    np.testing.assert_allclose(mapped, expected, atol=1e-9)


def test_nothing_changes_without_perturbation() -> None:
    image = smear()
    assert np.array_equal(jitter(image, NONE, NONE).image, image)


def test_scale_changes_the_cells_and_not_the_background() -> None:
    image = smear()
    result = jitter(image, np.array([0.2, 0.2, 0.2]), NONE)
    assert result.applied
    background = np.median(image[image[..., 1] > 200], axis=0)
    np.testing.assert_allclose(np.median(result.image[image[..., 1] > 200], axis=0), background)
    assert result.image[image[..., 1] < 120].mean() < image[image[..., 1] < 120].mean() - 5


def test_azure_and_eosin_move_the_hue_opposite_ways() -> None:
    image = smear()
    cells = image[..., 1] < 120

    def a_star(scale: list[float]) -> float:
        mapped = jitter(image, np.array(scale), NONE).image
        return float(colour.rgb_to_lab(mapped[cells])[:, 1].mean())

    plain = a_star([0, 0, 0])
    assert a_star([0.2, 0, 0]) < plain - 0.2  # more azure: greener
    assert a_star([0, 0.2, 0]) > plain + 1  # more eosin: redder


def test_bgr() -> None:
    image = smear()
    scale, shift = np.array([0.2, -0.1, 0.1]), np.array([0.02, 0.0, 0.01])
    rgb = jitter(image, scale, shift).image.astype(int)
    bgr = jitter(np.ascontiguousarray(image[..., ::-1]), scale, shift, 'bgr').image
    assert np.abs(bgr[..., ::-1] - rgb).max() <= 1


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((30, 30, 3), np.uint8),
        np.full((30, 30), 9, np.uint8),
        np.full((30, 30, 3), np.nan, np.float32),
    ],
    ids=['black', 'grey', 'nan'],
)
def test_impossible_image_comes_back_unchanged(image: np.ndarray) -> None:
    result = jitter(image, NONE + 0.1, NONE)
    assert result.image is image
    assert not result.applied
    assert result.reason
