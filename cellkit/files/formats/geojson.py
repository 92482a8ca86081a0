"""GeoJSON as QuPath writes and opens it (0.3 and later; what is written is for 0.4 and later).

QuPath's coordinates are pixels of the full picture from its upper left corner, so exact outlines
run along pixel edges. A cell is a Feature; a piece of it a polygon, holes are inner rings.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cellkit.drawn import Drawn
from cellkit.errors import BadFile
from cellkit.files.formats import DAMAGED
from cellkit.instances import CLASSES
from cellkit.outlines import Polygon, outlines_of

COLOUR = (0, 235, 120)
IDS = uuid.UUID('6f1d5c2e-7a0b-5b7e-9c55-3f0f3d1f9a10')
"""Namespace of the cells' ids: the same picture and number give the same id."""

FAR = 1e7
"""Coordinates beyond this, in pixels, are a mistake."""

NO_CELLS = ('root', 'tile', 'tma_core')
"""QuPath's types of objects that are no cells."""


def write(
    label_map: np.ndarray,
    name: str,
    measurements: Sequence[Mapping[str, float | None]] = (),
    kind: str = 'annotation',
) -> bytes:
    """A FeatureCollection of the cells of a picture.

    Args:
        label_map: (H, W) int, 0 background, k cell k.
        name: Of the picture; the cells' ids hang on it.
        measurements: Of each cell, by name; what is None or not finite is left out.
        kind: ``"annotation"``, which can be edited in QuPath, or ``"detection"``, which stays quick
            with very many.
    """
    num = max(int(label_map.max(initial=0)), len(measurements))
    return b''.join(chunks(outlines_of(label_map, num), name, measurements, kind))


def chunks(
    outlines: Iterable[Sequence[Polygon]],
    name: str,
    measurements: Sequence[Mapping[str, float | None]] = (),
    kind: str = 'annotation',
) -> Iterator[bytes]:
    """The bytes of :func:`write`, a cell at a time: Python's lists of all outlines of a slide take
    a gigabyte.

    Args:
        outlines: Of each cell; one of no polygon is left out.
        name: As there.
        measurements: As there.
        kind: As there.
    """
    yield b'{"type":"FeatureCollection","features":['
    comma = b''
    for label, polygons in enumerate(outlines, start=1):
        if polygons:
            values = measurements[label - 1] if measurements else {}
            feature = _feature(polygons, label, name, values, kind)
            yield comma + json.dumps(feature, separators=(',', ':')).encode()
            comma = b','
    yield b']}\n'


def _feature(
    polygons: Sequence[Polygon],
    label: int,
    name: str,
    values: Mapping[str, float | None],
    kind: str,
) -> dict[str, Any]:
    properties = {
        'objectType': kind,
        'name': f'{CLASSES[0]} {label}',
        'classification': {'name': CLASSES[0], 'color': COLOUR},
        'measurements': {
            key: value
            for key, value in values.items()
            if value is not None and math.isfinite(value)
        },
    }
    return {
        'type': 'Feature',
        'id': str(uuid.uuid5(IDS, f'{name}/{label}')),
        'geometry': _geometry(polygons),
        'properties': properties,
    }


def _geometry(polygons: Sequence[Polygon]) -> dict[str, Any]:
    closed = [[[*ring.tolist(), ring[0].tolist()] for ring in rings] for rings in polygons]
    if len(closed) == 1:
        return {'type': 'Polygon', 'coordinates': closed[0]}
    return {'type': 'MultiPolygon', 'coordinates': closed}


def is_geojson(content: Any) -> bool:
    """Whether parsed JSON is GeoJSON: a collection, a Feature or a list of Features."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, Mapping) and first.get('type') in ('FeatureCollection', 'Feature')


def read(content: Any, file: str) -> list[Drawn]:
    """What was drawn, from parsed JSON: annotations, detections and cells, of every class.

    Classes whose names end with ``*`` are what QuPath ignores (``Ignore*``, ``Region*``); they, and
    objects that are no cells, are marked as none. Of a cell with a nucleus the cell is taken.

    Raises:
        BadFile: The file isn't GeoJSON of this kind; it is named ``file``.
    """
    if isinstance(content, Mapping) and content.get('type') == 'FeatureCollection':
        content = content.get('features')
    features = content if isinstance(content, list) else [content]
    try:
        return [_drawn(feature) for feature in features]
    except DAMAGED as error:
        what = f'is not GeoJSON as QuPath writes it ({type(error).__name__}: {error})'
        raise BadFile(file, what, 'export the objects again as GeoJSON') from error


def _drawn(feature: Mapping[str, Any]) -> Drawn:
    properties = feature.get('properties') or {}
    kind = properties.get('objectType') or properties.get('object_type') or 'annotation'
    named = properties.get('classification') or {}
    names = [named.get('name') or '', *(named.get('names') or [])]
    if kind in NO_CELLS or any(name.endswith('*') for name in names):
        return None
    return _polygons(feature['geometry'])


def _polygons(geometry: Mapping[str, Any] | None) -> list[Polygon]:
    kind = geometry['type'] if geometry else 'empty'
    if kind == 'Polygon':
        return [_rings(geometry['coordinates'])]
    if kind == 'MultiPolygon':
        return [_rings(rings) for rings in geometry['coordinates']]
    if kind == 'GeometryCollection':
        return [rings for part in geometry['geometries'] for rings in _polygons(part)]
    return []  # points and lines


def _rings(rings: Sequence[Any]) -> Polygon:
    return [checked(np.array(ring, float).reshape(len(ring), -1)[:, :2]) for ring in rings]


def checked(points: np.ndarray) -> np.ndarray:
    """The same (V, 2) points.

    Raises:
        ValueError: They are not of this shape, or a coordinate is not finite or far too great.
    """
    if points.ndim != 2 or (points.shape[1] != 2 and len(points)):
        raise ValueError(f'points must be pairs of coordinates, not of the shape {points.shape}')
    if not np.isfinite(points).all() or (np.abs(points) > FAR).any():
        raise ValueError('a coordinate is no number of pixels')
    return points
