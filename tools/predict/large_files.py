"""The files that are written of a picture too large to be drawn whole, one a format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cellkit.files.formats import geojson, imagej, ome
from cellkit.outlines import Polygon, outline
from cellkit.tiles import Window
from tools.predict.formats import measurements
from tools.predict.overlay import draw_overlay

if TYPE_CHECKING:
    from tools.predict.large import Large

SIDE = 4096
"""Longer side of an overlay, pixels, at most."""


def _overlay(found: Large, file: Path) -> None:
    """The picture reduced by a whole number, with outlines."""
    step = -(-max(found.picture.size) // SIDE)
    picture = _reduced(found, step)
    label_map = np.zeros(picture.shape[:2], np.int32)
    for label, mask in enumerate(found.masks, start=1):
        # The middle pixels of the squares that are drawn as one.
        y, x = (-(mask.y - step // 2) % step, -(mask.x - step // 2) % step)
        part = mask.unpacked()[y::step, x::step]
        top, left = (mask.y + y) // step, (mask.x + x) // step
        place = label_map[top : top + part.shape[0], left : left + part.shape[1]]
        place[part[: place.shape[0], : place.shape[1]]] = label
    at_border = np.array([cell['touches_border'] for cell in found.cells], bool)
    smooth = min(found.resolution / step, 4.0)
    drawn = draw_overlay(picture, label_map, at_border, smooth, len(found.masks))
    file.write_bytes(cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def _reduced(found: Large, step: int) -> np.ndarray:
    """The mean of each ``step`` x ``step`` pixels, (h, w, 3) uint8 BGR, read in squares."""
    height, width = found.picture.size
    reduced = np.zeros((-(-height // step), -(-width // step), 3), np.uint8)
    side = step * max(1024 // step, 1)
    for y in range(0, height, side):
        for x in range(0, width, side):
            window = Window(x, y, min(x + side, width), min(y + side, height))
            place = reduced[y // step : -(-window.y2 // step), x // step : -(-window.x2 // step)]
            size = place.shape[1::-1]
            place[:] = cv2.resize(found.picture.read(window), size, interpolation=cv2.INTER_AREA)
    return reduced


def _ome(found: Large, file: Path) -> None:
    rows = _label_rows(found, ome.SIDE)
    ome.write_rows(file, rows, found.picture.size, found.name, found.pixel_size)


def _label_rows(found: Large, side: int) -> Iterator[np.ndarray]:
    """The label map, ``side`` rows of pixels at a time."""
    height, width = found.picture.size
    crossed: dict[int, list[int]] = {}
    for k, mask in enumerate(found.masks):
        for row in range(mask.y // side, (mask.y + mask.shape[0] - 1) // side + 1):
            crossed.setdefault(row, []).append(k)
    for row in range(-(-height // side)):
        y = row * side
        label_map = np.zeros((min(side, height - y), width), np.uint32)
        for k in crossed.get(row, ()):
            mask = found.masks[k]
            part = mask.unpacked()[max(y - mask.y, 0) : y + side - mask.y]
            top = max(mask.y - y, 0)
            place = label_map[top : top + part.shape[0], mask.x : mask.x + part.shape[1]]
            place[part] = k + 1
        yield label_map


def _outlines(found: Large) -> Iterator[list[Polygon]]:
    return (outline(mask.unpacked(), mask.x, mask.y) for mask in found.masks)


def _annotations(found: Large, file: Path, kind: str = 'annotation') -> None:
    with file.open('wb') as part:
        part.writelines(geojson.chunks(_outlines(found), found.name, measurements(found), kind))


def _detections(found: Large, file: Path) -> None:
    _annotations(found, file, 'detection')


def _rois(found: Large, file: Path) -> None:
    with file.open('wb') as part:
        imagej.write_outlines(_outlines(found), part)


WRITERS: dict[str, Callable[[Large, Path], None]] = {
    'overlay': _overlay,
    'ome': _ome,
    'geojson': _annotations,
    'detections': _detections,
    'rois': _rois,
}
"""By the names of ``FORMATS``, but for 16-bit label maps, in the place of which stands ``ome``."""


def large_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    """The formats of a large picture where those are chosen."""
    return tuple(dict.fromkeys('ome' if name == 'labels' else name for name in formats))
