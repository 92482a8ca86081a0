"""The methods' promise: colour meets the reference, structure stays, and nothing raises."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cellkit.stain import (
    METHODS,
    CannotNormalise,
    Guard,
    Limits,
    StainNormalizer,
    colour,
    macenko,
    pixels,
)
from cellkit.stain.density import has_two_stains
from cellkit.stain.guard import compare, structural_similarity
from cellkit.stain.regions import find_regions
from tests.cellkit.stain.papers import AS_PUBLISHED
from tests.cellkit.stain.slides import (
    STAINS,
    angles,
    foreground_density,
    smear,
    tissue,
    unit_columns,
)


def fitted(method: str, reference: np.ndarray, **options: Any) -> StainNormalizer:
    normalizer = StainNormalizer(method, **options)
    normalizer.fit(reference)
    return normalizer


def typical_lab(image: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    return np.median(colour.rgb_to_lab(image[foreground]), axis=0)


@pytest.mark.parametrize('method', METHODS)
def test_unlimited_method_is_the_paper_within_one_grey_level(method: str) -> None:
    image = tissue(STAINS, 0)
    reference = tissue(unit_columns((0.6, 0.72, 0.35), (0.2, 0.85, 0.5)), 5)
    ours = fitted(method, reference, limits=None, guard=None).transform(image)
    expected = AS_PUBLISHED[method](image, reference).astype(int)
    assert ours.applied
    assert np.abs(expected - image).max() > 10  # the paper does change the image
    assert np.abs(ours.image - expected).max() <= 1


@pytest.mark.parametrize('method', METHODS)
def test_colour_meets_the_reference_and_structure_stays(method: str) -> None:
    reference = smear((0.5, 0.74, 0.44), seed=1, white=(231, 228, 233))
    image = smear((0.7, 0.61, 0.36), seed=2, white=(230, 236, 221))
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
def test_reference_itself_is_left_alone(method: str) -> None:
    image = smear(seed=3)
    result = fitted(method, image).transform(image)
    assert np.abs(result.image.astype(int) - image).max() <= 1


@pytest.mark.parametrize('method', METHODS)
def test_half_the_strength_goes_part_of_the_way(method: str) -> None:
    reference = smear((0.5, 0.74, 0.44), seed=1)
    image = smear((0.7, 0.61, 0.36), seed=2)
    foreground = find_regions(image, image.size // 3).foreground
    a_star = [
        typical_lab(fitted(method, reference, strength=s).transform(image).image, foreground)[1]
        for s in (0.0, 0.5, 1.0)
    ]
    assert a_star[0] + 2 < a_star[1] < a_star[2] - 2
    assert not fitted(method, reference, strength=0.0).transform(image).applied


@pytest.mark.parametrize('method', METHODS)
def test_contrast_stays_within_its_limit(method: str) -> None:
    pale, dark = smear(depth=0.6), smear(depth=2.0)
    for image, reference, factor in ((pale, dark, 1.15), (dark, pale, 1 / 1.15)):
        result = fitted(method, reference).transform(image)
        assert result.quality is not None
        assert result.quality.contrast == pytest.approx(factor, abs=0.06)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('white', [(149, 150, 143), (245, 225, 205)], ids=['grey', 'tinted'])
def test_grey_or_tinted_background_is_no_stain(method: str, white: tuple) -> None:
    image = smear(white=white, seed=4)
    state = fitted(method, image).state
    assert state is not None
    np.testing.assert_allclose(state.white, white, atol=1.5)
    result = fitted(method, smear(seed=1)).transform(image)
    assert result.applied, result.reason
    background = ~find_regions(image, image.size // 3).foreground
    lab = colour.rgb_to_lab(result.image[background]).mean(axis=0)
    reference = colour.rgb_to_lab(np.array([228.0, 229.0, 226.0]))
    assert np.abs(lab - reference)[1:].max() < 1


@pytest.mark.parametrize('method', METHODS)
def test_more_background_does_not_change_the_map(method: str) -> None:
    """The papers' versions depend on how full the field is."""
    image = smear((0.7, 0.61, 0.36), seed=2)
    border = np.full((120, image.shape[1], 3), (228, 229, 226), np.uint8)
    noise = np.random.default_rng(0).normal(0, 1.5, border.shape)
    border = np.clip(np.rint(border + noise), 0, 255).astype(np.uint8)
    wide = np.concatenate([image, border])
    normalizer = fitted(method, smear((0.5, 0.74, 0.44), seed=1))
    alone, together = normalizer.transform(image), normalizer.transform(wide)
    difference = np.abs(together.image[: len(image)].astype(int) - alone.image)
    assert difference.max() <= 2


@pytest.mark.parametrize('method', ['macenko', 'vahadane'])
def test_two_stains_are_both_replaced_where_both_images_have_two(method: str) -> None:
    image = tissue(STAINS, 0)
    target = unit_columns((0.62, 0.70, 0.35), (0.12, 0.85, 0.51))
    normalizer = fitted(method, tissue(target, 7), limits=Limits(stretch=2.0))
    assert has_two_stains(normalizer.state)
    result = normalizer.transform(image)
    assert result.applied, result.reason
    found = macenko.stain_matrix(foreground_density(result.image))
    assert max(angles(found, target)) < 4
    assert min(angles(STAINS, target)) > 4


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="'ruifrok' is unknown"):
        StainNormalizer('ruifrok')
    with pytest.raises(ValueError, match=r'strength is 1\.5'):
        StainNormalizer('reinhard', strength=1.5)
    with pytest.raises(ValueError, match=r'Limits\.white is 0\.5'):
        Limits(white=0.5)
    state = StainNormalizer('macenko').fit(smear())
    with pytest.raises(ValueError, match="not one of method 'reinhard'"):
        StainNormalizer('reinhard', state=state)
    with pytest.raises(RuntimeError, match='no reference'):
        StainNormalizer('reinhard').transform(smear())


def test_guard_backs_off_then_refuses() -> None:
    pale, dark = smear(depth=0.8), smear(depth=1.3)
    wild = Limits(contrast=4.0, white=2.0, stretch=4.0)
    unguarded = StainNormalizer('macenko', limits=wild, guard=None)
    unguarded.fit(dark)
    free = unguarded.transform(pale)
    backed_off = StainNormalizer('macenko', limits=wild, state=unguarded.state).transform(pale)
    assert backed_off.applied
    assert 0 < backed_off.strength < 1
    assert 'strength' in backed_off.reason
    assert backed_off.quality is not None
    assert Guard().passes(backed_off.quality)
    assert structural_similarity(pale[..., 1], backed_off.image[..., 1]) > structural_similarity(
        pale[..., 1], free.image[..., 1]
    )
    strict = Guard(min_ssim=0.9999)
    refused = StainNormalizer('macenko', limits=wild, guard=strict, state=unguarded.state)
    result = refused.transform(pale)
    assert result.image is pale
    assert not result.applied
    assert result.strength == 0
    assert 'refused' in result.reason


SHAPE = (120, 160, 3)


def noisy(colour: tuple[float, ...], sigma: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(np.rint(rng.normal(colour, sigma, SHAPE)), 0, 255).astype(np.uint8)


def vignetted() -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    light = 1 - 0.06 * (x**2 + y**2)
    return np.clip(noisy((229, 231, 220)) * light[..., None], 0, 255).astype(np.uint8)


def few_pixels(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    image = noisy((230, 228, 231), 1.0)
    image[10:17, 10:21] = (80, 70, 130)  # 77 of them
    return image


def grey_smear() -> np.ndarray:
    return np.repeat(smear()[..., 1:2], 3, axis=2)


def with_nan() -> np.ndarray:
    image = smear().astype(np.float32)
    image[5, 6, 1] = np.nan
    return image


IMPOSSIBLE = {
    'all background': (lambda: noisy((230, 229, 226)), 'no foreground'),
    'all background, tinted': (lambda: noisy((235, 225, 200)), 'no foreground'),
    'all background, vignetted': (lambda: vignetted(), 'no foreground'),
    'all foreground': (lambda: noisy((90, 80, 140)), 'no foreground'),
    'one colour': (lambda: np.full(SHAPE, (120, 90, 160), np.uint8), 'one brightness'),
    'white': (lambda: np.full(SHAPE, 255, np.uint8), 'one brightness'),
    'black': (lambda: np.zeros(SHAPE, np.uint8), 'one brightness'),
    'nearly black': (lambda: noisy((3, 3, 3), 3.0), 'black'),
    'grey, three channels': (grey_smear, 'grey-scale'),
    'grey, one channel': (lambda: smear()[..., :1], 'grey-scale'),
    'grey, no channel': (lambda: smear()[..., 0], 'grey-scale'),
    'grey and alpha': (lambda: smear()[..., :2], '2 channels'),
    'too few foreground pixels': (lambda: few_pixels(), 'fewer than 100'),
    'nan': (with_nan, 'no numbers'),
    'infinite': (lambda: smear() / np.float32(0), 'no numbers'),
    'signed': (lambda: smear().astype(np.int64), 'int64'),
    'bool': (lambda: smear() > 100, 'bool'),
    'empty': (lambda: np.zeros((0, 10, 3), np.uint8), 'not an image'),
    'one pixel': (lambda: np.full((1, 1, 3), 90, np.uint8), 'one brightness'),
    'not an array': (lambda: None, 'not an image'),
}


@pytest.fixture(scope='module')
def normalizers() -> dict[str, StainNormalizer]:
    found = {}
    for method in METHODS:
        found[method] = StainNormalizer(method)
        found[method].fit(smear(seed=9))
    return found


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('case', IMPOSSIBLE)
def test_impossible_image_comes_back_unchanged(
    normalizers: dict[str, StainNormalizer], method: str, case: str
) -> None:
    make, reason = IMPOSSIBLE[case]
    with np.errstate(all='ignore'):
        image = make()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        result = normalizers[method].transform(image)
    assert result.image is image
    assert not result.applied
    assert result.strength == 0
    assert reason in result.reason
    with pytest.raises(CannotNormalise, match=reason):
        StainNormalizer(method).fit(image)


@pytest.mark.parametrize('method', METHODS)
def test_hundred_foreground_pixels_are_enough(
    normalizers: dict[str, StainNormalizer], method: str
) -> None:
    image = few_pixels()
    image[10:20, 10:24] = np.random.default_rng(0).normal((80, 70, 130), 4, (10, 14, 3))
    result = normalizers[method].transform(image)
    assert 'fewer than' not in result.reason


@pytest.mark.parametrize('method', METHODS)
def test_sixteen_bits_alpha_and_floats_keep_shape_type_and_alpha(
    normalizers: dict[str, StainNormalizer], method: str
) -> None:
    image = smear((0.7, 0.61, 0.36), seed=2)
    expected = normalizers[method].transform(image).image.astype(float)

    alpha = np.random.default_rng(0).integers(0, 256, image.shape[:2], dtype=np.uint8)
    with_alpha = normalizers[method].transform(np.dstack([image, alpha]))
    assert with_alpha.applied
    assert with_alpha.image.dtype == np.uint8
    assert np.array_equal(with_alpha.image[..., 3], alpha)
    assert np.array_equal(with_alpha.image[..., :3], expected)

    for dtype, scale in ((np.uint16, 257), (np.float32, 1), (np.float64, 1 / 255)):
        result = normalizers[method].transform((image * np.float64(scale)).astype(dtype))
        assert result.applied, result.reason
        assert result.image.dtype == dtype
        assert result.image.shape == image.shape
        np.testing.assert_allclose(result.image / scale, expected, atol=0.51)


@pytest.mark.parametrize('method', METHODS)
def test_absent_stain_does_not_blow_up(
    normalizers: dict[str, StainNormalizer], method: str
) -> None:
    """One pure stain: the 99th percentile of the other one's concentration vanishes."""
    pure = tissue(STAINS, 3, amounts=(1.7, 0.0))
    assert np.isfinite(list(StainNormalizer(method).fit(pure).white)).all()
    for reference, image in ((smear(), pure), (pure, smear())):
        normalizer = StainNormalizer(method)
        normalizer.fit(reference)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            result = normalizer.transform(image)
        assert result.image.shape == image.shape
        if result.applied:
            assert result.quality is not None
            assert 1 / 1.2 <= result.quality.contrast <= 1.2
    two = tissue(STAINS, 4)
    normalizer = StainNormalizer(method)
    normalizer.fit(two)
    assert normalizer.transform(pure).image.shape == pure.shape


@pytest.mark.parametrize('method', METHODS)
def test_input_is_never_written_to(normalizers: dict[str, StainNormalizer], method: str) -> None:
    image = smear((0.7, 0.61, 0.36))
    image.flags.writeable = False
    before = image.copy()
    result = normalizers[method].transform(image)
    assert result.applied
    assert np.array_equal(image, before)
    assert not np.shares_memory(result.image, image)


anything = st.one_of(
    arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, max_side=40)),
    arrays(np.uint8, st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from([3, 4]))),
    arrays(np.uint16, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
    arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
)


@settings(max_examples=150, deadline=None)
@given(image=anything, method=st.sampled_from(METHODS), order=st.sampled_from(['rgb', 'bgr']))
def test_any_array_gives_a_result_of_its_shape_and_type(
    normalizers: dict[str, StainNormalizer], image: np.ndarray, method: str, order: str
) -> None:
    result = normalizers[method].transform(image, order)
    assert result.image.shape == image.shape
    assert result.image.dtype == image.dtype
    assert result.applied or result.image is image
    assert result.applied or result.reason


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(METHODS), blocks=st.integers(2, 12))
def test_random_colours_never_raise(
    normalizers: dict[str, StainNormalizer], seed: int, method: str, blocks: int
) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (blocks, blocks, 3))
    image = np.kron(coarse, np.ones((12, 12, 1))) + rng.normal(0, 3, (12 * blocks, 12 * blocks, 3))
    image = np.clip(image, 0, 255).astype(np.uint8)
    result = normalizers[method].transform(image)
    assert result.image.shape == image.shape


REFERENCES = (0, 42)

IMAGES = (1, 23, 30, 43)  # 23 is grey and blurred, 43 pale


def read(sample: Path, index: int) -> np.ndarray:
    files = sorted((sample / 'train' / 'original').iterdir())
    return cv2.cvtColor(cv2.imread(str(files[index])), cv2.COLOR_BGR2RGB)


@pytest.mark.slow
@pytest.mark.parametrize('index', IMAGES)
@pytest.mark.parametrize('method', METHODS)
def test_unlimited_method_is_the_paper_on_real_images(
    sample: Path, method: str, index: int
) -> None:
    image, reference = read(sample, index), read(sample, REFERENCES[index > 25])
    image, reference = (np.ascontiguousarray(i[::2, ::2]) for i in (image, reference))
    ours = StainNormalizer(method, limits=None, guard=None)
    ours.fit(reference)
    result = ours.transform(image).image.astype(int)
    expected = AS_PUBLISHED[method](image, reference)
    assert np.abs(result - expected).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize('index', IMAGES)
@pytest.mark.parametrize('method', METHODS)
def test_sample_of_pixels_gives_the_map_of_all_pixels(
    sample: Path, method: str, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one grey level; Vahadane's dictionary within two."""
    image, reference = read(sample, index), read(sample, REFERENCES[index > 25])
    sampled = StainNormalizer(method, guard=None)
    sampled.fit(reference)
    fast = sampled.transform(image).image[::3, ::3].astype(int)
    monkeypatch.setattr(pixels, 'MAX_SAMPLE', image.size)
    full = StainNormalizer(method, guard=None)
    full.fit(reference)
    exact = full._map(full._regions(image, 'rgb')).exact(image[::3, ::3])
    difference = np.abs(fast - np.clip(np.rint(exact), 0, 255))
    assert difference.max() <= (2 if method == 'vahadane' else 1)
