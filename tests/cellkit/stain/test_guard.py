"""The guard's measures against peers and closed forms, and what it lets pass."""

from __future__ import annotations

import numpy as np
import pytest

from cellkit.stain import Guard, Quality
from cellkit.stain.guard import compare, entropy, median_contrast, structural_similarity
from cellkit.stain.maps import LabMap
from cellkit.stain.regions import find_regions, histogram
from tests.cellkit.stain.slides import smear


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 256, (60, 70)).astype(np.uint8)
    second = np.clip(first + rng.normal(5, 25, first.shape), 0, 255).astype(np.uint8)
    return first, second


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip('skimage.metrics')
    first, second = pair()
    expected = metrics.structural_similarity(
        first,
        second,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert structural_similarity(first, second) == pytest.approx(expected, abs=1e-4)


def test_ssim_of_flat_images_is_the_luminance_term() -> None:
    dark, light = np.full((20, 20), 100, np.uint8), np.full((20, 20), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert structural_similarity(dark, light) == pytest.approx(expected, abs=1e-4)
    assert structural_similarity(dark, dark) == pytest.approx(1, abs=1e-6)


def test_entropy_counts_bits() -> None:
    assert entropy(histogram(np.arange(256, dtype=np.uint8))) == pytest.approx(8)
    assert entropy(histogram(np.array([3, 3, 9, 9], np.uint8))) == pytest.approx(1)
    assert entropy(histogram(np.full(9, 7, np.uint8))) == 0


def test_contrast_is_background_less_foreground() -> None:
    grey = np.array([[200, 200, 50]], np.uint8)
    assert median_contrast(grey, grey < 100, grey > 100) == pytest.approx(150)


def test_flattened_picture_does_not_pass() -> None:
    image = smear()
    regions = find_regions(image, image.shape[0] * image.shape[1])
    flat = LabMap(np.diag([0.3, 1, 1]), np.array([60.0, 0, 0])).apply(image)
    quality = compare(image, flat, regions.foreground)
    assert quality.contrast < 0.5
    assert not Guard().passes(quality)
    same = compare(image, image, regions.foreground)
    assert (same.contrast, same.entropy) == (1, 1)
    assert same.ssim == pytest.approx(1, abs=1e-6)
    assert Guard().passes(same)


@pytest.mark.parametrize(
    ('quality', 'good'),
    [
        (Quality(0.95, 1.0, 1.0), True),
        (Quality(0.89, 1.0, 1.0), False),
        (Quality(0.95, 0.8, 1.0), False),
        (Quality(0.95, 1.25, 1.0), False),
        (Quality(0.95, 1.0, 0.8), False),
        (Quality(float('nan'), 1.0, 1.0), False),
    ],
)
def test_every_measure_can_refuse(quality: Quality, good: bool) -> None:
    assert Guard().passes(quality) is good
