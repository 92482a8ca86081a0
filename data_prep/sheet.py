"""Pictures in rows on one page, each with a few words below it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, PALE, PLACE = (25, 25, 30), (110, 110, 120), (235, 235, 235)

TILE_SIZE = (400, 300)
"""Width and height of a picture's place on the page, pixels."""

_GAP, _TITLE, _LINE = 10, 44, 22


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet.

    Attributes:
        picture: ``(H, W, 3)`` uint8 RGB, any size.
        words: One or two lines.
        ink: Colour of the last line, RGB.
    """

    picture: np.ndarray
    words: str
    ink: tuple[int, int, int] = INK


def fitted(width: int, height: int) -> tuple[int, int]:
    """Width and height at which a picture fills its place."""
    scale = min(TILE_SIZE[0] / width, TILE_SIZE[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def draw_sheet(title: str, rows: Sequence[Sequence[Tile | None]]) -> bytes:
    """The page as PNG; None leaves a place free."""
    step = (TILE_SIZE[0] + _GAP, TILE_SIZE[1] + 2 * _LINE + _GAP)
    size = (_GAP + max(map(len, rows)) * step[0], _TITLE + len(rows) * step[1])
    page = Image.new('RGB', size, 'white')
    draw = ImageDraw.Draw(page)
    draw.text((_GAP, 8), title, INK, ImageFont.load_default(22))
    for k, row in enumerate(rows):
        for column, tile in enumerate(row):
            if tile is None:
                continue
            x, y = _GAP + column * step[0], _TITLE + k * step[1]
            size = fitted(tile.picture.shape[1], tile.picture.shape[0])
            small = cv2.resize(tile.picture, size, interpolation=cv2.INTER_AREA)
            left, top = (TILE_SIZE[0] - size[0]) // 2, (TILE_SIZE[1] - size[1]) // 2
            draw.rectangle((x, y, x + TILE_SIZE[0] - 1, y + TILE_SIZE[1] - 1), PLACE)
            page.paste(Image.fromarray(small), (x + left, y + top))
            lines = tile.words.split('\n')
            for below, line in enumerate(lines):
                ink = tile.ink if line is lines[-1] else INK
                place = (x, y + TILE_SIZE[1] + 2 + below * _LINE)
                draw.text(place, line[:48], ink, ImageFont.load_default(17))
    content = io.BytesIO()
    page.save(content, format='PNG')
    return content.getvalue()
