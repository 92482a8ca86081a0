"""A page of small pictures with the cells outlined, for a look before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from cellkit.contours import CELL_COLOUR, SHIFT, contours_of
from cellkit.files.pictures import read_picture
from cellkit.files.stored import Whites
from cellkit.rle import decode_to_label_map
from data_prep.convert import Converted
from data_prep.sheet import INK, Tile, draw_sheet, fitted

SUSPECT_COLOUR = (255, 95, 0)
PER_PART = {'train': 8, 'val': 4, 'test': 4}
COLUMNS = 4


def choose(items: Sequence[Converted], count: int) -> list[Converted]:
    """Up to ``count`` images from the emptiest to the fullest, evenly."""
    ordered = sorted(items, key=lambda item: (len(item.rles), item.pair.image))
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered)))
    return [ordered[k] for k in places.round().astype(int)]


def contact_sheet(data: Path, parts: Mapping[str, Sequence[Converted]], title: str) -> bytes:
    """Draw some images of each part, which lie in ``data``; returns the page as PNG."""
    tiles = []
    for name, items in parts.items():
        for item in choose(items, PER_PART[name]):
            file = Path(item.pair.image).name
            file = file if len(file) <= 45 else f'{file[:22]}…{file[-22:]}'
            words, ink = f'{name}: {len(item.rles)} cells', INK
            if item.merged:
                words, ink = f'{words}, {len(item.merged)} may be several', SUSPECT_COLOUR
            tiles.append(Tile(_outlined(data, item), f'{file}\n{words}', ink))
    counts = [
        f'{name} {len(items)} images, {sum(len(item.rles) for item in items)} cells'
        for name, items in parts.items()
    ]
    rows = [tiles[k : k + COLUMNS] for k in range(0, len(tiles), COLUMNS)]
    return draw_sheet(f'{title}: {"; ".join(counts)}', rows)


def _outlined(data: Path, item: Converted) -> np.ndarray:
    """One image with outlines at the size at which it is shown, RGB."""
    picture = read_picture(data / item.pair.image, Whites.of(item.white))
    image = cv2.cvtColor(picture.pixels, cv2.COLOR_BGR2RGB)
    size = fitted(item.width, item.height)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels = decode_to_label_map(item.rles)
    for k in sorted(range(len(item.boxes)), key=lambda k: k in item.suspects):  # those on top
        x, y, w, h = item.boxes[k]
        box = np.array([x, y, x + w, y + h])
        curves = contours_of(labels, k + 1, box, scale=size[0] / item.width)
        colour = SUSPECT_COLOUR if k in item.suspects else CELL_COLOUR
        cv2.polylines(small, curves, True, colour, 1, cv2.LINE_AA, SHIFT)
    return small
