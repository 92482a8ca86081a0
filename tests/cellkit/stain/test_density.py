"""What Macenko and Vahadane have in common."""

from __future__ import annotations

import numpy as np
import pytest

from cellkit.stain import CannotNormalise, StainNormalizer
from cellkit.stain.density import densities, describe, has_two_stains, rotation
from cellkit.stain.regions import find_regions
from tests.cellkit.stain.slides import STAINS, smear, tissue


def test_smear_has_one_stain_and_tissue_two() -> None:
    assert not has_two_stains(StainNormalizer('macenko').fit(smear()))
    assert has_two_stains(StainNormalizer('macenko').fit(tissue(STAINS)))


def test_rotation_is_the_smallest_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        start, end = (v / np.linalg.norm(v) for v in rng.random((2, 3)))
        turned = rotation(start, end)
        np.testing.assert_allclose(turned @ start, end, atol=1e-12)
        np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-12)
        axis = np.cross(start, end)
        np.testing.assert_allclose(turned @ axis, axis, atol=1e-12)


def test_foreground_without_density_or_direction_has_no_stain() -> None:
    image = tissue(STAINS)
    regions = find_regions(image, image.size // 3)
    stained, _ = densities(regions)
    amounts = np.ones((len(stained), 2))
    describe(stained, STAINS, amounts, STAINS[:, 0], regions)
    for density, direction in ((0.01 * stained, STAINS[:, 0]), (stained, np.zeros(3))):
        with pytest.raises(CannotNormalise, match='no stain'):
            describe(density, STAINS, amounts, direction, regions)
