"""Images of one field are found, unrelated ones are not."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.duplicates import (
    SIDE,
    best_correlations,
    groups,
    near_duplicates,
    perceptual_hash,
    spectrum,
    thumbnail,
)


def field(seed: int, size: tuple[int, int] = (480, 640)) -> np.ndarray:
    """Discs under one uneven light, as from one slide."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    picture = 200 - 0.05 * rows - 0.06 * columns
    for _ in range(70):
        centre = (int(rng.integers(size[1])), int(rng.integers(size[0])))
        cv2.circle(picture, centre, int(rng.integers(15, 22)), 100, -1)
    return np.clip(picture + rng.normal(0, 5, size), 0, 255).astype(np.uint8)


def found(*pictures: np.ndarray) -> list[tuple[int, int]]:
    return [(i, j) for i, j, _ in near_duplicates([thumbnail(p) for p in pictures])]


def test_unrelated_fields_of_one_slide_are_no_duplicates():
    assert found(*(field(seed) for seed in range(40))) == []


def test_a_flat_picture_matches_nothing():
    flat = np.full((48, 64), 200, np.uint8)
    assert found(flat, flat, field(0)) == []
    assert found() == found(flat) == []


@pytest.mark.parametrize(
    'change',
    [
        lambda p: cv2.imdecode(cv2.imencode('.jpg', p, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0),
        lambda p: cv2.resize(p, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA),
        lambda p: cv2.GaussianBlur((255 * (p / 255) ** 1.6).astype(np.uint8), (0, 0), 3),
        lambda p: np.ascontiguousarray(p[:, ::-1]),
        lambda p: np.ascontiguousarray(np.rot90(p)),
        lambda p: np.ascontiguousarray(np.rot90(p[::-1], 3)),
    ],
    ids=['JPEG', 'smaller', 'darker and blurred', 'mirrored', 'turned', 'mirrored and turned'],
)
def test_copies_are_found(change):
    assert found(field(0), field(1), change(field(0)), field(2)) == [(0, 2)]


@pytest.mark.parametrize('shift', [(0, 100), (70, 90)])
def test_overlapping_fields_are_found(shift):
    wide = field(0, (600, 800))
    one = wide[:480, :640]
    two = wide[shift[0] : 480 + shift[0], shift[1] : 640 + shift[1]]
    assert found(one, field(1), two) == [(0, 2)]


def test_correlation_is_the_greatest_over_all_shifts():
    one, two = thumbnail(field(0)), thumbnail(field(1))
    value = best_correlations(spectrum(one), spectrum(two)[None])[0]

    def flat(thumb):
        picture = thumb.astype(np.float32)
        picture -= cv2.GaussianBlur(picture, (0, 0), SIDE / 16)
        return picture / np.linalg.norm(picture)

    a, b = flat(one), flat(two)
    shifts = itertools.product(range(SIDE), repeat=2)
    assert value == pytest.approx(max((a * np.roll(b, s, (0, 1))).sum() for s in shifts), abs=1e-5)
    assert best_correlations(spectrum(one), spectrum(one)[None])[0] == pytest.approx(1)


def test_the_hash_has_63_balanced_bits():
    bits = perceptual_hash(thumbnail(field(3)))
    assert bits.shape == (63,)
    assert bits.sum() == 31


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=15),
        )
    )
)
@settings(deadline=None)
def test_groups_are_the_connected_components(case):
    count, pairs = case
    reach = np.eye(count, dtype=bool)
    for i, j in pairs:
        reach[i, j] = reach[j, i] = True
    for k in range(count):  # Warshall
        reach |= reach[:, [k]] & reach[[k], :]
    expected = sorted({tuple(int(v) for v in np.flatnonzero(row)) for row in reach})
    assert [tuple(group) for group in groups(count, pairs)] == expected


def eyepiece(picture: np.ndarray) -> np.ndarray:
    """The same round surround on all."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    middle = (picture.shape[0] / 2, picture.shape[1] / 2)
    inside = np.hypot(rows - middle[0], columns - middle[1]) < 0.47 * picture.shape[0]
    return np.where(inside, picture, 3).astype(np.uint8)


def bars(picture: np.ndarray) -> np.ndarray:
    picture = picture.copy()
    picture[: picture.shape[0] // 8] = picture[-picture.shape[0] // 8 :] = 0
    return picture


def grid(picture: np.ndarray) -> np.ndarray:
    picture = picture.copy()
    for k in range(30, max(picture.shape), 80):
        picture[k : k + 3] = picture[:, k : k + 3] = 20
    return picture


def scale_bar(picture: np.ndarray) -> np.ndarray:
    picture = picture.copy()
    picture[-60:-35, -220:-30] = 0
    return cv2.putText(picture, '20 um', (picture.shape[1] - 200, 415), 0, 1.5, 0, 4)


def banner(picture: np.ndarray) -> np.ndarray:
    picture = picture.copy()
    picture[-70:] = 255
    return cv2.putText(picture, 'Lab 7  100x', (20, picture.shape[0] - 20), 0, 1.8, 0, 4)


SHARED = [eyepiece, bars, grid, scale_bar, banner, lambda p: scale_bar(eyepiece(p))]


@pytest.mark.parametrize('count', [2, 3, 5, 8, 20])
@pytest.mark.parametrize('share', SHARED)
def test_what_all_images_share_makes_no_duplicates(share, count: int):
    brighter = [cv2.convertScaleAbs(field(seed), alpha=1, beta=seed % 5 * 10) for seed in range(20)]
    assert found(*(share(picture) for picture in brighter[:count])) == []


def test_two_microscopes_with_surrounds_of_their_own():
    pictures = [(eyepiece if seed % 2 else bars)(field(seed)) for seed in range(12)]
    assert found(*pictures, *(field(seed) for seed in range(12, 16))) == []


@pytest.mark.parametrize('others', [0, 1, 6])
@pytest.mark.parametrize('share', SHARED)
def test_true_duplicates_are_found_under_what_all_share(share, others: int):
    wide = field(50, (600, 800))
    shifted = wide[40:520, 60:700]
    unrelated = [share(field(seed)) for seed in range(others)]
    for twin in (
        wide[:480, :640],
        cv2.GaussianBlur((255 * (wide[:480, :640] / 255) ** 1.6).astype(np.uint8), (0, 0), 3),
        shifted,
    ):
        assert found(share(wide[:480, :640]), share(twin), *unrelated) == [(0, 1)]


def test_mirrored_copies_are_found_under_a_surround():
    pictures = [field(seed) for seed in range(6)]
    pictures[3] = np.ascontiguousarray(pictures[1][:, ::-1])
    assert found(*map(eyepiece, pictures)) == [(1, 3)]


def test_many_copies_are_no_surround():
    one = field(0)
    assert len(found(one, one, one, field(1))) == 3
    assert len(found(*[one] * 5)) == 10
