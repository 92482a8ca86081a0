"""The contact sheet: which images it shows, and where their outlines lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep import contact_sheet as module
from data_prep.convert import Converted, InstanceRule, convert_pair
from data_prep.pairs import find_pairs
from data_prep.sheet import TILE_SIZE


@pytest.fixture
def smears(make_set) -> tuple[Path, list[Converted]]:
    data = make_set(train=3, test=1)
    pairs, _, _ = find_pairs(data)
    return data, [convert_pair(data, pair, InstanceRule()) for pair in pairs]


def test_images_are_chosen_from_the_emptiest_to_the_fullest(smears) -> None:
    items = [replace(smears[1][0], rles=[{}] * cells) for cells in (5, 0, 8, 2, 9, 3, 1)]

    def cells(count: int) -> list[int]:
        return [len(item.rles) for item in module.choose(items, count)]

    assert cells(3) == [0, 3, 9]
    assert cells(9) == [0, 1, 2, 3, 5, 8, 9]
    assert module.choose([], 4) == []


def test_the_page_is_a_picture_with_a_tile_an_image(smears) -> None:
    data, items = smears
    parts = {'train': items[:2], 'val': items[2:3], 'test': items[3:]}
    page = cv2.imdecode(np.frombuffer(module.contact_sheet(data, parts, 'Title'), np.uint8), 1)
    assert page.shape[1] > 4 * TILE_SIZE[0]
    assert TILE_SIZE[1] < page.shape[0] < 2 * TILE_SIZE[1]


def test_outlines_follow_the_cells_and_suspects_have_another_colour(smears) -> None:
    data, (item, *_) = smears
    item.suspects = [1]
    tile = module._outlined(data, item)
    assert tile.shape == (TILE_SIZE[1], TILE_SIZE[0], 3)
    scale = TILE_SIZE[0] / item.width
    for k, (x, y, width, height) in enumerate(item.boxes):
        colour = module.SUSPECT_COLOUR if k == 1 else module.CELL_COLOUR
        near = np.abs(tile.astype(int) - colour).sum(axis=2) < 120
        rows, columns = np.nonzero(near)
        inside = (columns > x * scale - 4) & (columns < (x + width) * scale + 4)
        assert inside.any()
        assert abs(columns[inside].min() - x * scale) < 4
        assert abs(columns[inside].max() - (x + width) * scale) < 4
        assert abs(rows[inside].min() - y * scale) < 4
        assert abs(rows[inside].max() - (y + height) * scale) < 4
