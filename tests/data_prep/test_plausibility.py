"""Masks that can't belong to their pictures are found, right ones left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.convert import Converted, InstanceRule, MaskOptions, convert_pair
from data_prep.pairs import Pair
from data_prep.plausibility import doubts

SIZE = (180, 240)


def draw(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A grey field under uneven light and its mask, cells darker."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    for _ in range(14):
        centre = int(rng.integers(0, size[1])), int(rng.integers(0, size[0]))
        cv2.circle(mask, centre, int(rng.integers(9, 15)), 255, -1)
    light = np.linspace(170, 230, size[1])[None] + np.linspace(-20, 20, size[0])[:, None]
    image = light - 0.25 * cv2.GaussianBlur(mask, (0, 0), 1) + rng.normal(0, 6, size)
    return np.clip(image, 0, 255).astype(np.uint8), mask


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., Converted]:
    def convert(seed: int, image: np.ndarray, mask: np.ndarray, **options: bool) -> Converted:
        pair = Pair('train', f'{seed}', f'{seed}.png', f'{seed}_mask.png')
        cv2.imwrite(str(tmp_path / pair.image), image)
        cv2.imwrite(str(tmp_path / pair.mask), mask)
        item = convert_pair(tmp_path, pair, InstanceRule(), MaskOptions(**options))
        assert isinstance(item, Converted)
        return item

    return convert


def words(items: list[Converted]) -> list[tuple[str, str, bool]]:
    return [(d.problem.file, d.problem.what, d.impossible) for d in doubts(items)]


def test_right_masks_are_not_accused(convert) -> None:
    items = [convert(k, *draw(k)) for k in range(8)]
    assert doubts(items) == []
    assert doubts([items[0], items[0], items[1]]) == []  # a copy fits as well
    assert doubts([]) == []


def test_exchanged_masks_name_the_picture_that_they_fit(convert) -> None:
    pictures = [draw(k) for k in range(6)]
    masks = [1, 2, 0, 3, 4, 5]
    found = words([convert(k, pictures[k][0], pictures[m][1]) for k, m in enumerate(masks)])
    assert [file for file, _, _ in found] == ['0_mask.png', '1_mask.png', '2_mask.png']
    for (_, what, impossible), right in zip(found, masks, strict=False):
        assert what.startswith(f'fits {right}.png far better than its own picture (correlation 0.')
        assert impossible


@pytest.mark.parametrize(
    ('turn', 'name', 'size'),
    [
        (lambda m: m[::-1], 'upside down', SIZE),
        (lambda m: m[:, ::-1], 'mirrored', SIZE),
        (lambda m: m[::-1, ::-1], 'turned by 180°', SIZE),
        (lambda m: np.rot90(m), 'turned right by 90°', (200, 200)),
        (lambda m: np.rot90(m, 3), 'turned left by 90°', (200, 200)),
        (lambda m: m.T, 'transposed', (200, 200)),
    ],
)
def test_turned_masks_are_found_also_when_all_are(convert, turn, name, size) -> None:
    items = []
    for k in range(4):
        image, mask = draw(k, size)
        items.append(convert(k, image, np.ascontiguousarray(turn(mask))))
    found = words(items)
    assert len(found) == 4
    assert all(what.startswith(f'fits its picture far better {name} ') for _, what, _ in found)
    assert all(impossible for _, _, impossible in found)


def test_inverted_masks_are_impossible_and_the_option_rights_them(convert) -> None:
    pictures = [draw(k) for k in range(3)]
    found = words([convert(k, image, 255 - mask) for k, (image, mask) in enumerate(pictures)])
    assert [what[-14:] for _, what, _ in found] == ['it is inverted'] * 3
    assert all(impossible for _, _, impossible in found)
    righted = [convert(k, i, 255 - m, invert=True) for k, (i, m) in enumerate(pictures)]
    assert doubts(righted) == []


def test_bright_cells_are_doubtful_not_impossible(convert) -> None:
    image, mask = draw(0)
    ((_, what, impossible),) = words([convert(0, 255 - image, mask)])
    assert what.startswith('has a foreground that is brighter than its background (correlation -0.')
    assert not impossible


def test_a_mask_of_a_picture_that_is_not_there_is_doubtful(convert) -> None:
    items = [convert(k, *draw(k)) for k in range(6)]
    items[2] = convert(2, draw(2)[0], draw(99)[1])
    ((file, what, impossible),) = words(items)
    assert file == '2_mask.png'
    assert what.startswith('hardly follows its picture (correlation ')
    assert not impossible


def test_an_even_picture_proves_nothing(convert) -> None:
    items = [convert(k, np.full(SIZE, 200, np.uint8), draw(k)[1]) for k in range(3)]
    assert doubts(items) == []


def test_one_cell_over_most_of_the_picture(convert) -> None:
    _, mask = draw(0)
    item = convert(0, np.full(SIZE, 200, np.uint8), 255 - mask)
    ((_, what, impossible),) = words([item])
    assert what.startswith('has one cell over ')
    assert impossible  # it holds the border too
    ((_, _, impossible),) = words([dataclasses.replace(item, border_share=0.0)])
    assert not impossible


def test_outlines_are_no_cells(convert) -> None:
    image, mask = draw(0)
    outlines = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    ((_, what, impossible),) = words([convert(0, image, outlines)])
    assert what.startswith('has outlines, not cells: half of them fill less than ')
    assert impossible
