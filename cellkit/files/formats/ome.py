"""Label images as OME-TIFF, with the pixel size in micrometres."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cellkit.errors import BadFile
from cellkit.files.formats.geojson import IDS

SIDE = 512
"""Sides of the tiles of a large label image, pixels."""


def write(label_map: np.ndarray, name: str, pixel_size: float | None = None) -> bytes:
    """A label image of 16 bits, or of 32 where there are more than 65,535 cells.

    Args:
        label_map: (H, W) int, 0 background, k cell k.
        name: Of the picture.
        pixel_size: Micrometres a pixel; where it is None the file names no size.
    """
    most = int(label_map.max(initial=0))
    content = io.BytesIO()
    tifffile.imwrite(
        content,
        label_map.astype(np.uint16 if most < 1 << 16 else np.uint32),
        ome=True,
        **_described(name, pixel_size),
    )
    return content.getvalue()


def write_rows(
    file: Path,
    rows: Iterable[np.ndarray],
    size: tuple[int, int],
    name: str,
    pixel_size: float | None = None,
) -> None:
    """A label image of 32 bits in tiles, as BigTIFF, that is never whole in memory.

    Args:
        file: Where it is written.
        rows: Label map of each :data:`SIDE` rows of pixels, downwards; the last one may have less.
        size: (height, width), pixels.
        name: Of the picture.
        pixel_size: Micrometres a pixel; where it is None the file names no size.
    """

    def tiles() -> Iterator[np.ndarray]:
        for row in rows:
            for x in range(0, size[1], SIDE):
                part = row[:, x : x + SIDE]
                tile = np.zeros((SIDE, SIDE), np.uint32)
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile

    form = dict(shape=size, dtype=np.uint32, tile=(SIDE, SIDE))
    with tifffile.TiffWriter(file, bigtiff=True, ome=True) as tif:
        tif.write(tiles(), **form, **_described(name, pixel_size))


def _described(name: str, pixel_size: float | None) -> dict[str, Any]:
    """What tifffile is told of a label image."""
    # An id that hangs on the name: the same cells give the same bytes.
    metadata = {'axes': 'YX', 'Name': name, 'UUID': str(uuid.uuid5(IDS, name))}
    resolution = {}
    if pixel_size:
        resolution = {'resolution': (1e4 / pixel_size,) * 2, 'resolutionunit': 'CENTIMETER'}
        for axis in 'XY':
            metadata |= {f'PhysicalSize{axis}': pixel_size, f'PhysicalSize{axis}Unit': 'µm'}
    kind = dict(compression='zlib', photometric='minisblack')
    return {'metadata': metadata, **kind, **resolution}


def read(content: bytes, file: str) -> tuple[np.ndarray, float | None]:
    """The first plane of a label image, (H, W), and its pixel size in µm where the file names one.

    Raises:
        BadFile: It is no TIFF, or no plane of integers; it is named ``file``.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as picture:
            plane = picture.pages[0].asarray()
            found = re.search(r'PhysicalSizeX="([^"]+)"', picture.ome_metadata or '')
    except (ValueError, IndexError, KeyError, tifffile.TiffFileError) as error:
        raise BadFile(file, f"can't be read as TIFF ({error})", 'export it again') from error
    if plane.ndim != 2 or plane.dtype.kind not in 'iu':
        what = f'is no label image: {plane.dtype} of the shape {plane.shape}'
        raise BadFile(file, what, 'export one channel of integers')
    return plane, float(found[1]) if found else None
