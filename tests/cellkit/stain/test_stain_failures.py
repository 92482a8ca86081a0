"""What can't be normalised comes back unchanged, with the reason; never an exception."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cellkit.stain import METHODS, CannotNormalise, StainNormalizer

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


def grey_smear(slides: Any) -> np.ndarray:
    return np.repeat(slides.smear()[..., 1:2], 3, axis=2)


def with_nan(slides: Any) -> np.ndarray:
    image = slides.smear().astype(np.float32)
    image[5, 6, 1] = np.nan
    return image


IMPOSSIBLE = {
    'all background': (lambda _: noisy((230, 229, 226)), 'no foreground'),
    'all background, tinted': (lambda _: noisy((235, 225, 200)), 'no foreground'),
    'all background, vignetted': (lambda _: vignetted(), 'no foreground'),
    'all foreground': (lambda _: noisy((90, 80, 140)), 'no foreground'),
    'one colour': (lambda _: np.full(SHAPE, (120, 90, 160), np.uint8), 'one brightness'),
    'white': (lambda _: np.full(SHAPE, 255, np.uint8), 'one brightness'),
    'black': (lambda _: np.zeros(SHAPE, np.uint8), 'one brightness'),
    'nearly black': (lambda _: noisy((3, 3, 3), 3.0), 'black'),
    'grey, three channels': (grey_smear, 'grey-scale'),
    'grey, one channel': (lambda s: s.smear()[..., :1], 'grey-scale'),
    'grey, no channel': (lambda s: s.smear()[..., 0], 'grey-scale'),
    'grey and alpha': (lambda s: s.smear()[..., :2], '2 channels'),
    'too few foreground pixels': (lambda _: few_pixels(), 'fewer than 100'),
    'nan': (with_nan, 'no numbers'),
    'infinite': (lambda s: s.smear() / np.float32(0), 'no numbers'),
    'signed': (lambda s: s.smear().astype(np.int64), 'int64'),
    'bool': (lambda s: s.smear() > 100, 'bool'),
    'empty': (lambda _: np.zeros((0, 10, 3), np.uint8), 'not an image'),
    'one pixel': (lambda _: np.full((1, 1, 3), 90, np.uint8), 'one brightness'),
    'not an array': (lambda _: None, 'not an image'),
}


@pytest.fixture(scope='module')
def normalizers(slides: Any) -> dict[str, StainNormalizer]:
    found = {}
    for method in METHODS:
        found[method] = StainNormalizer(method)
        found[method].fit(slides.smear(seed=9))
    return found


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('case', IMPOSSIBLE)
def test_impossible_image_comes_back_unchanged(
    slides: Any, normalizers: dict[str, StainNormalizer], method: str, case: str
) -> None:
    make, reason = IMPOSSIBLE[case]
    with np.errstate(all='ignore'):
        image = make(slides)
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
    slides: Any, normalizers: dict[str, StainNormalizer], method: str
) -> None:
    image = slides.smear((0.7, 0.61, 0.36), seed=2)
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
    slides: Any, normalizers: dict[str, StainNormalizer], method: str
) -> None:
    """One pure stain: the 99th percentile of the other one's concentration vanishes."""
    pure = slides.tissue(slides.stains, 3, amounts=(1.7, 0.0))
    assert np.isfinite(list(StainNormalizer(method).fit(pure).white)).all()
    for reference, image in ((slides.smear(), pure), (pure, slides.smear())):
        normalizer = StainNormalizer(method)
        normalizer.fit(reference)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            result = normalizer.transform(image)
        assert result.image.shape == image.shape
        if result.applied:
            assert result.quality is not None
            assert 1 / 1.2 <= result.quality.contrast <= 1.2
    two = slides.tissue(slides.stains, 4)
    normalizer = StainNormalizer(method)
    normalizer.fit(two)
    assert normalizer.transform(pure).image.shape == pure.shape


@pytest.mark.parametrize('method', METHODS)
def test_input_is_never_written_to(
    slides: Any, normalizers: dict[str, StainNormalizer], method: str
) -> None:
    image = slides.smear((0.7, 0.61, 0.36))
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
