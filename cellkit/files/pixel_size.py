"""The pixel size that a picture's file tells: OME, ImageJ, Aperio, or resolution tags of a TIFF."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

from tifffile import TiffFile, TiffPage

from cellkit.files.tiff import opened, pictures_of

PLAUSIBLE = (0.01, 10.0)
"""Micrometres a pixel of microscopes; 72 dots an inch, which programs write unasked, is 353."""

SQUARE = 0.01
"""Share by which the two sides of a pixel may differ."""

MICROMETRES = {
    'nm': 1e-3, 'nanometer': 1e-3, 'µm': 1.0, 'μm': 1.0, 'um': 1.0, '\\u00b5m': 1.0,
    'micron': 1.0, 'microns': 1.0, 'micrometer': 1.0, 'mm': 1e3, 'cm': 1e4, 'inch': 25400.0,
}  # fmt: skip
"""By unit, in lower case; both signs that look like a mu."""

TAG_UNITS = {2: 'inch', 3: 'cm'}


class PixelSize(NamedTuple):
    """Micrometres a pixel, and in words what of the file says so."""

    value: float
    source: str


def pixel_size_of(path: Path) -> PixelSize | None:
    """The pixel size that a TIFF tells; None where it tells none or no plausible one."""
    try:
        with opened(path) as tif:
            if tif is None:
                return None
            page = pictures_of(tif)[0].keyframe
            # A program's own words before tags, which others fill with anything.
            found = [_of_ome(tif), _of_aperio(page), _of_imagej(tif, page), _of_tags(page)]
    except Exception:  # tifffile raises many kinds on damaged files, of which the reader tells
        return None
    return next((size for size in found if size), None)


def _checked(across: float, down: float, source: str) -> PixelSize | None:
    low, high = PLAUSIBLE
    if not low <= across <= high or abs(down - across) > SQUARE * across:
        return None
    return PixelSize(float(f'{(across + down) / 2:.6g}'), source)


def _of_ome(tif: TiffFile) -> PixelSize | None:
    text = tif.ome_metadata if tif.is_ome else None
    sides = []
    for axis in 'XY':
        found = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', text or '')
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', text or '')
        if not found:
            return None
        factor = MICROMETRES.get(unit[1].lower() if unit else 'µm', math.nan)
        sides.append(float(found[1]) * factor)
    return _checked(*sides, 'OME')


def _of_aperio(page: TiffPage) -> PixelSize | None:
    found = re.search(r'\bMPP\s*=\s*([\d.]+)', page.description or '')
    return _checked(float(found[1]), float(found[1]), 'Aperio') if found else None


def _of_imagej(tif: TiffFile, page: TiffPage) -> PixelSize | None:
    unit = str((tif.imagej_metadata or {}).get('unit', '')).lower() if tif.is_imagej else ''
    return _of_resolution(page, MICROMETRES.get(unit, math.nan), 'ImageJ')


def _of_tags(page: TiffPage) -> PixelSize | None:
    unit = TAG_UNITS.get(int(page.tags.valueof(296, 2)), '')
    return _of_resolution(page, MICROMETRES.get(unit, math.nan), 'its resolution tags')


def _of_resolution(page: TiffPage, unit: float, source: str) -> PixelSize | None:
    """Of pixels a unit of so many micrometres, as fractions."""
    sides = []
    for code in (282, 283):
        above, below = page.tags.valueof(code, (0, 1))
        sides.append(unit * below / above if above and below else math.nan)
    return _checked(*sides, source)
