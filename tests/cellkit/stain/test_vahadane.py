"""Vahadane's dictionary, concentrations and map."""

from __future__ import annotations

import numpy as np
import pytest

from cellkit.stain import StainNormalizer, colour, vahadane
from tests.cellkit.stain.slides import STAINS, angles, foreground_density, tissue


@pytest.mark.parametrize('seed', range(3))
def test_vahadane_recovers_known_stains(seed: int) -> None:
    density = foreground_density(tissue(STAINS, seed))
    assert max(angles(vahadane.stain_matrix(density), STAINS)) < 5


def test_vahadane_is_the_same_in_every_run_and_for_any_order_of_pixels() -> None:
    density = foreground_density(tissue(STAINS, 1))
    first = vahadane.stain_matrix(density)
    assert np.array_equal(first, vahadane.stain_matrix(density))
    shuffled = np.random.default_rng(0).permutation(density)
    np.testing.assert_allclose(vahadane.stain_matrix(shuffled), first, atol=1e-6)


def test_sparse_concentrations_minimise_the_lasso() -> None:
    rng = np.random.default_rng(0)
    density = np.abs(rng.normal(0.5, 0.5, (200, 3)))
    matrix, sparsity = STAINS, 0.1
    codes = vahadane.sparse_concentrations(density, matrix)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(0, 3, 301)], indexing='ij'), -1).reshape(-1, 2)

    def loss(points: np.ndarray, codes: np.ndarray) -> np.ndarray:
        residual = points - codes @ matrix.T
        return 0.5 * (residual**2).sum(axis=-1) + sparsity * codes.sum(axis=-1)

    best_on_grid = np.array([loss(d, grid).min() for d in density])
    ours = loss(density, codes)
    assert (codes >= 0).all()
    assert (codes == 0).any()
    assert (ours <= best_on_grid + 1e-12).all()


def test_published_map_goes_part_of_the_way_in_density_and_takes_bgr() -> None:
    image = tissue(STAINS, 0)
    states = [
        StainNormalizer('vahadane', limits=None, guard=None).fit(tissue(STAINS, seed))
        for seed in (0, 5)
    ]
    full = vahadane.SparseMap(*states)
    assert np.array_equal(full.blend(0.0).apply(image), image)
    before, half, after = (
        colour.optical_density(m.exact(image)) for m in (full.blend(0), full.blend(0.5), full)
    )
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(half, (before + after) / 2, atol=1e-9)
    bgr = full.apply(np.ascontiguousarray(image[..., ::-1]), 'bgr')
    assert np.array_equal(bgr[..., ::-1], full.apply(image))
