"""The methods against known stains, their papers and the promise not to over-normalise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cellkit.stain import METHODS, Limits, StainNormalizer, colour, macenko, papers, vahadane
from cellkit.stain.density import angle, has_two_stains, rotation
from cellkit.stain.guard import compare
from cellkit.stain.regions import find_regions

# torchstain 1.4.1, MacenkoNormalizer(backend="torch").fit() on `slides.tissue(seed=0)`:
# tests/cellkit/stain/peer_figures.py prints it.
TORCHSTAIN = np.array([[0.57113, 0.20219], [0.71418, 0.79981], [0.40466, 0.56517]])


def foreground_density(image: np.ndarray) -> np.ndarray:
    regions = find_regions(image, image.shape[0] * image.shape[1])
    return colour.optical_density(regions.stained, regions.white)


def angles(found: np.ndarray, known: np.ndarray) -> list[float]:
    return [angle(found[:, k], known[:, k]) for k in (0, 1)]


def fitted(method: str, reference: np.ndarray, **options: Any) -> StainNormalizer:
    normalizer = StainNormalizer(method, **options)
    normalizer.fit(reference)
    return normalizer


def typical_lab(image: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    return np.median(colour.rgb_to_lab(image[foreground]), axis=0)


@pytest.mark.parametrize('seed', range(3))
def test_macenko_recovers_known_stains_and_agrees_with_torchstain(slides: Any, seed: int) -> None:
    density = foreground_density(slides.tissue(slides.stains, seed))
    found = macenko.stain_matrix(density)
    assert max(angles(found, slides.stains)) < 2
    assert max(angles(TORCHSTAIN, slides.stains)) < 2
    assert max(angles(found, TORCHSTAIN)) < 2


@pytest.mark.parametrize('seed', range(3))
def test_vahadane_recovers_known_stains(slides: Any, seed: int) -> None:
    density = foreground_density(slides.tissue(slides.stains, seed))
    assert max(angles(vahadane.stain_matrix(density), slides.stains)) < 5


def test_vahadane_is_the_same_in_every_run_and_for_any_order_of_pixels(slides: Any) -> None:
    density = foreground_density(slides.tissue(slides.stains, 1))
    first = vahadane.stain_matrix(density)
    assert np.array_equal(first, vahadane.stain_matrix(density))
    shuffled = np.random.default_rng(0).permutation(density)
    np.testing.assert_allclose(vahadane.stain_matrix(shuffled), first, atol=1e-6)


def test_sparse_concentrations_minimise_the_lasso(slides: Any) -> None:
    rng = np.random.default_rng(0)
    density = np.abs(rng.normal(0.5, 0.5, (200, 3)))
    matrix, sparsity = slides.stains, 0.1
    codes = vahadane.sparse_concentrations(density, matrix, sparsity)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(0, 3, 301)], indexing='ij'), -1).reshape(-1, 2)

    def loss(points: np.ndarray, codes: np.ndarray) -> np.ndarray:
        residual = points - codes @ matrix.T
        return 0.5 * (residual**2).sum(axis=-1) + sparsity * codes.sum(axis=-1)

    best_on_grid = np.array([loss(d, grid).min() for d in density])
    ours = loss(density, codes)
    assert (codes >= 0).all()
    assert (codes == 0).any()
    assert (ours <= best_on_grid + 1e-12).all()


@pytest.mark.parametrize('method', ['reinhard', 'macenko'])
def test_unlimited_method_is_the_paper_within_one_grey_level(slides: Any, method: str) -> None:
    image = slides.tissue(slides.stains, 0)
    reference = slides.tissue(slides.unit_columns((0.6, 0.72, 0.35), (0.2, 0.85, 0.5)), 5)
    ours = fitted(method, reference, limits=None, guard=None).transform(image)
    expected = papers.AS_PUBLISHED[method](image, reference).astype(int)
    assert ours.applied
    assert np.abs(expected - image).max() > 10  # the paper does change the image
    assert np.abs(ours.image - expected).max() <= 1


@pytest.mark.parametrize('method', METHODS)
def test_colour_meets_the_reference_and_structure_stays(slides: Any, method: str) -> None:
    reference = slides.smear((0.5, 0.74, 0.44), seed=1, white=(231, 228, 233))
    image = slides.smear((0.7, 0.61, 0.36), seed=2, white=(230, 236, 221))
    result = fitted(method, reference).transform(image)
    assert result.applied, result.reason
    here, there = (find_regions(i, i.shape[0] * i.shape[1]) for i in (image, reference))
    wanted = typical_lab(reference, there.foreground)
    before = np.linalg.norm((typical_lab(image, here.foreground) - wanted)[1:])
    after = np.linalg.norm((typical_lab(result.image, here.foreground) - wanted)[1:])
    assert before > 15
    assert after < 4
    quality = compare(image, result.image, here.foreground)
    assert quality.ssim > 0.95
    assert 1 / 1.2 < quality.contrast < 1.2
    white = np.median(result.image[~here.foreground], axis=0)
    np.testing.assert_allclose(white, np.median(reference[~there.foreground], axis=0), atol=2)


@pytest.mark.parametrize('method', METHODS)
def test_reference_itself_is_left_alone(slides: Any, method: str) -> None:
    image = slides.smear(seed=3)
    result = fitted(method, image).transform(image)
    assert np.abs(result.image.astype(int) - image).max() <= 1


@pytest.mark.parametrize('method', METHODS)
def test_half_the_strength_goes_part_of_the_way(slides: Any, method: str) -> None:
    reference = slides.smear((0.5, 0.74, 0.44), seed=1)
    image = slides.smear((0.7, 0.61, 0.36), seed=2)
    foreground = find_regions(image, image.size // 3).foreground
    a_star = [
        typical_lab(fitted(method, reference, strength=s).transform(image).image, foreground)[1]
        for s in (0.0, 0.5, 1.0)
    ]
    assert a_star[0] + 2 < a_star[1] < a_star[2] - 2
    assert not fitted(method, reference, strength=0.0).transform(image).applied


@pytest.mark.parametrize('method', METHODS)
def test_contrast_stays_within_its_limit(slides: Any, method: str) -> None:
    pale, dark = slides.smear(depth=0.6), slides.smear(depth=2.0)
    for image, reference, factor in ((pale, dark, 1.15), (dark, pale, 1 / 1.15)):
        result = fitted(method, reference).transform(image)
        assert result.quality is not None
        assert result.quality.contrast == pytest.approx(factor, abs=0.06)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('white', [(149, 150, 143), (245, 225, 205)], ids=['grey', 'tinted'])
def test_grey_or_tinted_background_is_no_stain(slides: Any, method: str, white: tuple) -> None:
    image = slides.smear(white=white, seed=4)
    state = fitted(method, image).state
    assert state is not None
    np.testing.assert_allclose(state.white, white, atol=1.5)
    result = fitted(method, slides.smear(seed=1)).transform(image)
    assert result.applied, result.reason
    background = ~find_regions(image, image.size // 3).foreground
    lab = colour.rgb_to_lab(result.image[background]).mean(axis=0)
    reference = colour.rgb_to_lab(np.array([228.0, 229.0, 226.0]))
    assert np.abs(lab - reference)[1:].max() < 1


@pytest.mark.parametrize('method', METHODS)
def test_more_background_does_not_change_the_map(slides: Any, method: str) -> None:
    """The papers' versions depend on how full the field is."""
    image = slides.smear((0.7, 0.61, 0.36), seed=2)
    border = np.full((120, image.shape[1], 3), (228, 229, 226), np.uint8)
    noise = np.random.default_rng(0).normal(0, 1.5, border.shape)
    border = np.clip(np.rint(border + noise), 0, 255).astype(np.uint8)
    wide = np.concatenate([image, border])
    normalizer = fitted(method, slides.smear((0.5, 0.74, 0.44), seed=1))
    alone, together = normalizer.transform(image), normalizer.transform(wide)
    difference = np.abs(together.image[: len(image)].astype(int) - alone.image)
    assert difference.max() <= 2


@pytest.mark.parametrize('method', ['macenko', 'vahadane'])
def test_two_stains_are_both_replaced_where_both_images_have_two(slides: Any, method: str) -> None:
    image = slides.tissue(slides.stains, 0)
    target = slides.unit_columns((0.62, 0.70, 0.35), (0.12, 0.85, 0.51))
    normalizer = fitted(method, slides.tissue(target, 7), limits=Limits(stretch=2.0))
    assert has_two_stains(normalizer.state)
    result = normalizer.transform(image)
    assert result.applied, result.reason
    found = macenko.stain_matrix(foreground_density(result.image))
    assert max(angles(found, target)) < 4
    assert min(angles(slides.stains, target)) > 4


def test_smear_has_one_stain(slides: Any) -> None:
    assert not has_two_stains(fitted('macenko', slides.smear()).state)


def test_rotation_is_the_smallest_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        start, end = (v / np.linalg.norm(v) for v in rng.random((2, 3)))
        turned = rotation(start, end)
        np.testing.assert_allclose(turned @ start, end, atol=1e-12)
        np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-12)
        axis = np.cross(start, end)
        np.testing.assert_allclose(turned @ axis, axis, atol=1e-12)


def test_options_are_checked(slides: Any) -> None:
    with pytest.raises(ValueError, match="'ruifrok' is unknown"):
        StainNormalizer('ruifrok')
    with pytest.raises(ValueError, match=r'strength is 1\.5'):
        StainNormalizer('reinhard', strength=1.5)
    with pytest.raises(ValueError, match='needs limits'):
        StainNormalizer('vahadane', limits=None)
    with pytest.raises(ValueError, match=r'Limits\.white is 0\.5'):
        Limits(white=0.5)
    state = StainNormalizer('macenko').fit(slides.smear())
    with pytest.raises(ValueError, match="not one of method 'reinhard'"):
        StainNormalizer('reinhard', state=state)
    with pytest.raises(RuntimeError, match='no reference'):
        StainNormalizer('reinhard').transform(slides.smear())
