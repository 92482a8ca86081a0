"""A page of small pictures with the cells outlined, for a look before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cellkit.rle import decode_to_label_map
from data_prep.convert import Converted

CELL_COLOUR = (0, 215, 90)
SUSPECT_COLOUR = (255, 95, 0)
TILE = (480, 360)
COLUMNS = 4
_GAP, _CAPTION, _HEADER = 14, 44, 98
_PAPER, _INK, _PALE = (255, 255, 255), (25, 25, 30), (110, 110, 120)


def choose(parts: Mapping[str, Sequence[Converted]], per_part: Mapping[str, int]) -> dict:
    """Pick images from the emptiest to the fullest, evenly, in each part."""
    chosen = {}
    for name, items in parts.items():
        ordered = sorted(items, key=lambda item: (len(item.rles), item.pair.image))
        count = min(per_part[name], len(ordered))
        places = np.linspace(0, len(ordered) - 1, count).round().astype(int) if count else []
        chosen[name] = [ordered[k] for k in places]
    return chosen


def contact_sheet(data: Path, parts: Mapping[str, Sequence[Converted]], title: str) -> Image.Image:
    """Draw the contact sheet.

    Args:
        data: Folder that holds train and test.
        parts: Images of train, val and test; up to 8, 4 and 4 of them are drawn.
        title: First line of the page.

    Returns:
        The page, RGB.
    """
    chosen = choose(parts, {'train': 8, 'val': 4, 'test': 4})
    tiles = [(name, item) for name in parts for item in chosen[name]]
    rows = -(-len(tiles) // COLUMNS)
    columns = min(COLUMNS, len(tiles))
    width = max(_GAP + columns * (TILE[0] + _GAP), 1000)
    height = _HEADER + rows * (TILE[1] + _CAPTION + _GAP)
    page = Image.new('RGB', (width, height), _PAPER)
    draw = ImageDraw.Draw(page)
    _header(draw, title, parts)
    for k, (name, item) in enumerate(tiles):
        x = _GAP + (k % COLUMNS) * (TILE[0] + _GAP)
        y = _HEADER + (k // COLUMNS) * (TILE[1] + _CAPTION + _GAP)
        page.paste(Image.fromarray(_tile(data, item)), (x, y))
        file = Path(item.pair.image).name
        file = file if len(file) <= 50 else f'{file[:23]}…{file[-23:]}'
        text = f'{name}: {len(item.rles)} cells'
        if item.merged:
            text += f', {len(item.merged)} may be several'
        draw.text((x, y + TILE[1] + 3), text, _INK, ImageFont.load_default(17))
        draw.text((x, y + TILE[1] + 24), file, _PALE, ImageFont.load_default(14))
    return page


def _header(
    draw: ImageDraw.ImageDraw, title: str, parts: Mapping[str, Sequence[Converted]]
) -> None:
    counts = [
        f'{name} {len(items)} images, {sum(len(item.rles) for item in items)} cells'
        for name, items in parts.items()
    ]
    draw.text((_GAP, 8), title, _INK, ImageFont.load_default(24))
    draw.text((_GAP, 42), '; '.join(counts), _INK, ImageFont.load_default(17))
    x = _GAP
    for colour, text in ((CELL_COLOUR, 'cell'), (SUSPECT_COLOUR, 'may be several cells')):
        draw.line([(x, 77), (x + 26, 77)], colour, 3)
        draw.text((x + 34, 67), text, _PALE, ImageFont.load_default(17))
        x += 100


def _tile(data: Path, item: Converted) -> np.ndarray:
    """One image with outlines, letterboxed to the size of a tile, RGB."""
    image = cv2.cvtColor(
        cv2.imdecode(np.fromfile(data / item.pair.image, np.uint8), cv2.IMREAD_COLOR),
        cv2.COLOR_BGR2RGB,
    )
    scale = min(TILE[0] / item.width, TILE[1] / item.height)
    size = (max(1, round(item.width * scale)), max(1, round(item.height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels = decode_to_label_map(item.rles)
    order = sorted(range(len(item.boxes)), key=lambda k: k in item.suspects)  # those on top
    for k in order:
        x, y, w, h = item.boxes[k]
        component = np.pad(labels[y : y + h, x : x + w] == k + 1, 1).astype(np.uint8)
        contours, _ = cv2.findContours(component, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            points = (contour + np.array([x - 0.5, y - 0.5])) * scale
            cv2.polylines(
                small,
                [np.round(points * 16).astype(np.int32)],
                True,
                SUSPECT_COLOUR if k in item.suspects else CELL_COLOUR,
                1,
                cv2.LINE_AA,
                shift=4,
            )
    tile = np.full((TILE[1], TILE[0], 3), 235, np.uint8)
    top, left = (TILE[1] - size[1]) // 2, (TILE[0] - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile
