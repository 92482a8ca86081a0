"""ImageJ's selections (ROIs), as Fiji's ROI Manager saves and opens them: ``.roi`` and ``.zip``.

The coordinates of an area count from the upper left corner of the picture, so exact outlines run
along pixel edges: a cell of one piece without holes is a traced selection, any other a composite
one. The files are written and read by roifile.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from cellkit.drawn import Drawn
from cellkit.errors import BadFile
from cellkit.files.formats import DAMAGED
from cellkit.files.formats.geojson import checked
from cellkit.instances import CLASSES
from cellkit.outlines import Polygon, ellipse, outlines_of, rectangle

MOVE, LINE, CLOSE = 0.0, 1.0, 4.0  # segments of a composite selection
INTEGER_LIMIT = 1 << 15  # whole coordinates are 16-bit; composite ones are floats
SHAPES = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
BROKEN = (EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
STAMP = (1980, 1, 1, 0, 0, 0)  # the same cells give the same bytes


def write(label_map: np.ndarray) -> bytes:
    """A zip of a selection for each cell, named as in the tables (``cell-0001``).

    Args:
        label_map: (H, W) int, 0 background, k cell k.
    """
    content = io.BytesIO()
    write_outlines(outlines_of(label_map, int(label_map.max(initial=0))), content)
    return content.getvalue()


def write_outlines(outlines: Iterable[list[Polygon]], file: BinaryIO) -> None:
    """As :func:`write`, a cell at a time from its outline; a cell of no polygon is left out."""
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        for label, polygons in enumerate(outlines, start=1):
            if polygons:
                name = f'{CLASSES[0]}-{label:04d}'
                entry = zipfile.ZipInfo(f'{name}.roi', STAMP)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, _selection(polygons, name).tobytes())


def _selection(polygons: list[Polygon], name: str) -> ImagejRoi:
    rings = [ring for rings in polygons for ring in rings]
    low = np.min([ring.min(axis=0) for ring in rings], axis=0)
    high = np.max([ring.max(axis=0) for ring in rings], axis=0)
    roi = ImagejRoi(name=name)
    roi.left, roi.top, roi.right, roi.bottom = *low.tolist(), *high.tolist()
    if len(rings) == 1 and high.max() < INTEGER_LIMIT:
        roi.roitype = ROI_TYPE.TRACED
        roi.n_coordinates = len(rings[0])
        roi.integer_coordinates = (rings[0] - low).astype(np.int32)
        return roi
    path: list[float] = []
    for ring in rings:
        points = ring.tolist()
        path += [MOVE, *points[0]]
        for point in points[1:]:
            path += [LINE, *point]
        path.append(CLOSE)
    roi.roitype = ROI_TYPE.RECT
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    return roi


def read(content: bytes, file: str) -> list[Drawn]:
    """What was drawn: polygons, freehand and traced areas, rectangles, ovals, composite ones.

    Lines, points, angles and text have no area and come back empty. Position in a stack is not
    looked at.

    Raises:
        BadFile: It is no ``.roi`` and no zip of them, or damaged; it is named ``file``.
    """
    remedy = 'save it again from the ROI Manager (More > Save)'
    try:
        if content[:4] == b'Iout':
            return [_drawn(ImagejRoi.frombytes(content))]
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith('.roi')]
            if not names and archive.namelist():
                raise BadFile(file, 'holds no .roi', remedy)
            return [_drawn(ImagejRoi.frombytes(archive.read(name))) for name in names]
    except (*DAMAGED, *BROKEN) as error:
        raise BadFile(file, f'is no selection of ImageJ ({error})', remedy) from error


def _drawn(roi: ImagejRoi) -> list[Polygon]:
    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE):
        return []
    if roi.composite:
        # The even-odd rule holds for all rings, so one polygon does for several pieces.
        rings = [checked(ring.astype(float)) for ring in roi.path2coords(roi.multi_coordinates)]
        return [rings] if rings else []
    if roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        x, y, width, height = roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top
        if roi.subpixelrect:
            x, y, width, height = roi.xd, roi.yd, roi.widthd, roi.heightd
        if roi.roitype == ROI_TYPE.RECT:
            return [[checked(rectangle(x, y, width, height)[0])]]
        rx, ry = width / 2, height / 2
        return [[checked(ellipse(x + rx, y + ry, rx, ry)[0])]]
    if roi.roitype in SHAPES:
        return [[checked(np.asarray(roi.coordinates(), float))]]
    return []
