"""The overlay shows what the label map says and leaves the rest alone."""

import numpy as np
import pytest

from tools.predict.overlay import BORDER_COLOUR, WHOLE_COLOUR, draw_overlay

BGR = {'whole': WHOLE_COLOUR[::-1], 'border': BORDER_COLOUR[::-1]}


def discs(size: tuple[int, int], *places: tuple[int, int, int]) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    label_map = np.zeros(size, np.int32)
    for k, (at_x, at_y, radius) in enumerate(places, start=1):
        label_map[np.hypot(x - at_x, y - at_y) <= radius] = k
    return label_map


def has_colour(picture: np.ndarray, colour: tuple) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) < 40).all(axis=2)


def test_lines_lie_on_the_edges() -> None:
    label_map = discs((400, 600), (300, 200, 60), (0, 300, 50))
    picture = np.full((400, 600, 3), 200, np.uint8)
    drawn = draw_overlay(picture, label_map, np.array([False, True]))
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8
    assert (picture == 200).all(), 'the picture itself must stay as it is'
    y, x = np.mgrid[:400, :600]
    for colour, (at_x, at_y, radius) in (('whole', (300, 200, 60)), ('border', (0, 300, 50))):
        distance = np.hypot(x - at_x, y - at_y)
        marked = has_colour(drawn, BGR[colour])
        assert marked[np.abs(distance - radius) < 1].mean() > 0.6
        assert not marked[distance < radius - 6].any() or colour == 'border'
    inside = np.hypot(x - 300, y - 200) < 50
    assert (drawn[inside] == 200).all()
    far = (np.hypot(x - 300, y - 200) > 70) & (np.hypot(x, y - 300) > 60)
    changed = far & (drawn != 200).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.max() < 100 and columns.max() < 300) or len(rows) == 0  # the count's plate


def test_line_width_follows_the_cells() -> None:
    picture = np.full((900, 900, 3), 255, np.uint8)
    marked = [
        has_colour(
            draw_overlay(picture, discs((900, 900), (500, 500, radius)), np.array([False])),
            BGR['whole'],
        ).sum() / (2 * np.pi * radius)
        for radius in (40, 300)
    ]  # fmt: skip
    assert 1 < marked[0] < 4
    assert 8 < marked[1] < 18


def test_count_goes_where_fewest_cells_are() -> None:
    label_map = discs((600, 800), (60, 60, 50), (740, 60, 50), (60, 540, 50))
    picture = np.full((600, 800, 3), 255, np.uint8)
    drawn = draw_overlay(picture, label_map, np.zeros(3, bool))
    assert (drawn[592:, 792:] < 200).all()
    assert (drawn[200:400, 200:500] == 255).all()


@pytest.mark.parametrize('size', [(1, 1), (8, 200), (300, 5), (64, 64)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    label_map = np.ones(size, np.int32)
    drawn = draw_overlay(np.full((*size, 3), 99, np.uint8), label_map, np.array([True]))
    assert drawn.shape == (*size, 3)


def test_no_cells() -> None:
    picture = np.full((200, 300, 3), 255, np.uint8)
    drawn = draw_overlay(picture, np.zeros((200, 300), np.int32), np.zeros(0, bool))
    assert (drawn[:5, :5] < 200).all()
    assert (drawn[100:] == 255).all()
