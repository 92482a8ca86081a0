"""The files that are written of each picture, one a format; the tables name all pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from cellkit.errors import BadFile, UserError
from cellkit.files.formats import geojson, imagej, ome
from tools.predict.overlay import draw_overlay

MOST_CELLS = np.iinfo(np.uint16).max  # that a label map of 16 bits holds


class Found(NamedTuple):
    """A picture and what was found in it.

    Attributes:
        name: Of the picture, for messages and ids.
        picture: (H, W, 3) uint8 BGR.
        label_map: (H, W) int32, 0 background, k cell k.
        cells: Values of each cell, by the names of ``cellkit.shapes.COLUMNS``, and ``score``.
        resolution: Sides of one pixel of what the network saw, in pixels of the picture.
        pixel_size: Micrometres a pixel, or None.
    """

    name: str
    picture: np.ndarray
    label_map: np.ndarray
    cells: Sequence[dict[str, Any]]
    resolution: float
    pixel_size: float | None


class Measured(Protocol):
    """Cells that were measured; attributes as of :class:`Found`."""

    cells: Sequence[dict[str, Any]]
    pixel_size: float | None


class Format(NamedTuple):
    """A file for each picture: its folder in the results, how its name ends, what makes it."""

    folder: str
    suffix: str
    encode: Callable[[Found], bytes]


def _overlay(found: Found) -> bytes:
    at_border = np.array([cell['touches_border'] for cell in found.cells], bool)
    smooth = min(found.resolution, 4.0)
    drawn = draw_overlay(found.picture, found.label_map, at_border, smooth)
    return cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def _labels(found: Found) -> bytes:
    if len(found.cells) > MOST_CELLS:
        remedy = 'cut it into parts or choose --formats ome'
        raise BadFile(found.name, f'has more than {MOST_CELLS} cells', remedy)
    return cv2.imencode('.png', found.label_map.astype(np.uint16))[1].tobytes()


def _ome(found: Found) -> bytes:
    return ome.write(found.label_map, found.name, found.pixel_size)


def _annotations(found: Found) -> bytes:
    return geojson.write(found.label_map, found.name, measurements(found))


def _detections(found: Found) -> bytes:
    return geojson.write(found.label_map, found.name, measurements(found), 'detection')


def measurements(found: Measured) -> list[dict[str, float]]:
    """By the names that QuPath gives its own, a dict a cell."""
    return [_measured(cell, found.pixel_size) for cell in found.cells]


def _measured(cell: dict[str, Any], pixel_size: float | None) -> dict[str, float]:
    values = {'Score': round(cell['score'], 4)}
    scales = [('px', 1.0)] + ([('µm', pixel_size)] if pixel_size else [])
    for unit, side in scales:
        values[f'Area {unit}^2'] = round(cell['area'] * side * side, 4)
        values[f'Equivalent diameter {unit}'] = round(cell['equivalent_diameter'] * side, 4)
    values |= {key.capitalize(): round(cell[key], 4) for key in ('eccentricity', 'circularity')}
    return values | {'Touches border': int(cell['touches_border'])}


FORMATS: dict[str, Format] = {
    'overlay': Format('overlays', '.jpg', _overlay),
    'labels': Format('labels', '.png', _labels),
    'ome': Format('ome', '.ome.tif', _ome),
    'geojson': Format('geojson', '.geojson', _annotations),
    'detections': Format('detections', '.geojson', _detections),
    'rois': Format('rois', '.zip', lambda found: imagej.write(found.label_map)),
}
ALWAYS: tuple[str, ...] = ('coco', 'csv')
"""Written of all pictures together whatever is chosen: ``predictions.json`` and the tables."""

DEFAULT: tuple[str, ...] = ('overlay', 'labels')


def chosen_formats(formats: str | Sequence[str] | None) -> tuple[str, ...]:
    """The formats that a user asks for, in the order of :data:`FORMATS`.

    Args:
        formats: Names, separated by commas or blanks, or a sequence of names; ``all`` for all;
            :data:`DEFAULT` when None.

    Raises:
        UserError: One is not known, or none is named.
    """
    if formats is None:
        return DEFAULT
    text = formats if isinstance(formats, str) else ' '.join(formats)
    names = text.lower().replace(',', ' ').split()
    known = [*FORMATS, *ALWAYS, 'all']
    if wrong := [name for name in names if name not in known] or [''] * (not names):
        raise UserError(
            f'--formats: there is no format {wrong[0]!r}; choose from {", ".join(known)}'
        )
    return tuple(name for name in FORMATS if name in names or 'all' in names)
