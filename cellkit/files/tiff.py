"""TIFF by its own tags.

OpenCV guesses at planes, alpha, depth and pages, and Pillow refuses many.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from tifffile import (
    COMPRESSION,
    PHOTOMETRIC,
    TiffFile,
    TiffFrame,
    TiffPage,
    TiffPageSeries,
)

from cellkit.files.stored import BITS, NotASmear, Stored
from cellkit.files.tiff_channels import GREY, THREE, with_meaning

# What it warns of is checked here, or shows in the values.
logging.getLogger('tifffile').setLevel(logging.CRITICAL)

MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')

_FLUORESCENCE = 'EmissionWavelength=|ContrastMethod="Fluorescence"'
_REDUCED = 1  # bit of NewSubfileType: a smaller version of another page


def read_tiff(content: bytes) -> Stored:
    """What a TIFF holds: of several pictures the first.

    Raises:
        NotASmear: More channels than a colour picture has, or values that mean no light.
        Exception: Data are missing, or of many kinds, from the decoders, on damaged files.
    """
    with TiffFile(io.BytesIO(content)) as tif:
        series = pictures_of(tif)
        page = series[0].keyframe
        broken = is_broken(tif, content)
        if broken and (len(tif.pages) > 1 or tif.is_ome or tif.is_imagej):
            raise ValueError('pages are missing')
        for piece in series[0].pages:
            check_whole(piece or page, len(content))
        if page.photometric == PHOTOMETRIC.YCBCR and page.compression != COMPRESSION.JPEG:
            stored = _by_opencv(content)
        else:
            if is_fluorescence(tif):
                raise NotASmear('is a fluorescence picture')
            values, axes, remarks = _first_picture(series[0])
            if tif.is_imagej and axes[0] == 'C':
                values = _by_tables(tif, values)
            stored = with_meaning(page, values, axes)
            stored.remarks[:0] = remarks
            if stored.white is None:
                stored.white = _white_of_tags(tif, page, stored)
    if len(series) > 1:
        said = f'holds {len(series)} pictures, of which only the first was read'
        stored.remarks.insert(0, said)
    if broken:
        stored.remarks.append('ends before its second page; is it whole?')
    turn = page.tags.valueof(274, 1)
    stored.turn = turn if turn in range(1, 9) else 1
    return stored


@contextmanager
def opened(path: Path) -> Iterator[TiffFile | None]:
    """A file for what it says of itself; None where it is no TIFF. tifffile's errors pass."""
    if not path.is_file():  # a named pipe would wait for ever
        yield None
        return
    with path.open('rb') as file:
        if file.read(4) not in MAGIC:
            yield None
            return
        file.seek(0)
        with TiffFile(file) as tif:
            yield tif


def pictures_of(tif: TiffFile) -> list[TiffPageSeries]:
    """The pictures of a file, without smaller versions of them."""
    return [s for s in tif.series if not s.keyframe.subfiletype & _REDUCED] or tif.series


def is_fluorescence(tif: TiffFile) -> bool:
    """Whether the file says that its light is no lamp's."""
    return bool(tif.is_ome and re.search(_FLUORESCENCE, tif.ome_metadata or ''))


def is_8_bit(file: BinaryIO) -> bool:
    """Whether the first page has 8 bits at most, told without decoding; False if it can't be."""
    try:
        with TiffFile(file) as tif:
            bits = tif.pages.first.tags.valueof(258, 1)
            return int(np.max(bits)) <= 8
    except Exception:  # tifffile raises many kinds on damaged files
        return False


def check_whole(page: TiffPage | TiffFrame, size: int) -> None:
    """tifffile takes pieces that are missing for black ones."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if count == 0 or offset + count > size:
            raise ValueError('data are missing')


def is_broken(tif: TiffFile, content: bytes | mmap) -> bool:
    """Whether the chain of pages leads out of the file; tifffile stops there without a word."""
    form, at = tif.tiff, tif.pages.first.offset
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        if at + form.tagnosize > len(content):
            return True
        (count,) = struct.unpack_from(form.tagnoformat, content, at)
        at += form.tagnosize + count * form.tagsize
        if at + form.offsetsize > len(content):
            return True
        (at,) = struct.unpack_from(form.offsetformat, content, at)
    return False


def _by_opencv(content: bytes) -> Stored:
    """Luma and chroma without JPEG: libtiff knows how to put them together."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if picture is None:
        raise NotASmear('has luma and chroma that are stored in an unusual way')
    return Stored(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), 255)


def _first_picture(series: TiffPageSeries) -> tuple[np.ndarray, str, list[str]]:
    """The first picture of a series, its axes, and remarks.

    The axes are Y and X with S, the samples of a page, or C, channels that are pages.
    """
    sizes = dict(zip(series.axes, series.shape, strict=True))
    others = [axis for axis in series.axes if axis not in 'YXSC']
    unnamed = [axis for axis in others if axis in 'IQ']
    grey = not sizes.keys() & {'S', 'C'} and series.keyframe.photometric in GREY
    if grey and unnamed == others and len(others) == 1:
        (axis,) = others
        if sizes['X'] in (3, 4) and min(sizes[axis], sizes['Y']) > 4:  # rows taken for pages
            values = _read(series, f'YX{axis}')[0]
            return values, 'YXS', ['has a page a row, which were read as one picture']
        if sizes[axis] == 3:
            values, axes = _read(series, f'YX{axis}')
            return values, axes.replace(axis, 'C'), [f'has three grey pages, {THREE}']
    remarks = []
    if others:
        count = int(np.prod([sizes[axis] for axis in others]))
        remarks.append(f'has {count} pages, of which only the first was read')
    if 'C' in sizes and 'S' in sizes:
        remarks.append(f'has {sizes["C"]} channels, of which only the first was read')
        return *_read(series, 'YXS'), remarks
    if 'C' in sizes:
        if sizes['C'] != 3:
            raise NotASmear(f'has {sizes["C"]} channels and is no colour picture')
        remarks.append(f'has three channels, {THREE}')
    return *_read(series, 'YXSC'), remarks


def _by_tables(tif: TiffFile, values: np.ndarray) -> np.ndarray:
    """Channels in the order red, green, blue, where ImageJ's colour tables have another.

    Raises:
        NotASmear: The tables are of other colours.
    """
    tables = np.array((tif.imagej_metadata or {}).get('LUTs', ()))
    if tables.shape[:2] != (3, 3):
        return values
    shown = tables[..., -1].astype(int)  # the colour of each channel's greatest value
    if (shown == shown[:, :1]).all():  # grey tables mean no colour
        return values
    order = shown.argmax(axis=0)
    if (shown[order] != np.eye(3, dtype=int) * 255).any():
        raise NotASmear('has channels in colours other than red, green and blue')
    return values[order]


def _read(series: TiffPageSeries, keep: str) -> tuple[np.ndarray, str]:
    """The values of a series at 0 of each axis that is not kept, and the axes that are."""
    page, axes = series.keyframe, series.axes
    outer = axes[: len(axes) - len(page.axes)]
    shape = series.shape[: len(outer)]
    if outer and outer + page.axes == axes and len(series.pages) == np.prod(shape):
        pages = np.arange(len(series.pages)).reshape(shape)
        pages = pages[tuple(slice(None) if axis in keep else 0 for axis in outer)]
        parts = [series.pages[int(k)].asarray() for k in pages.ravel()]
        values = np.stack(parts).reshape(pages.shape + parts[0].shape)
        axes = ''.join(axis for axis in outer if axis in keep) + page.axes
    else:
        values = series.asarray()
    for axis in [axis for axis in axes if axis not in keep]:
        values, axes = np.take(values, 0, axes.index(axis)), axes.replace(axis, '')
    return values, axes


def _white_of_tags(tif: TiffFile, page: TiffPage, stored: Stored) -> float | None:
    """White by MaxSampleValue or OME's SignificantBits, where it agrees with the values."""
    if stored.values.dtype.kind == 'f':
        return None
    told = np.ravel(page.tags.valueof(281, 0))
    tagged = [float(told.max(initial=0))]
    if tif.is_ome:
        found = re.findall(r'SignificantBits="(\d+)"', tif.ome_metadata or '')
        tagged += [2.0 ** int(bits) - 1 for bits in found]
    depths = [2.0**bits - 1 for bits in BITS]
    fit = [white for white in tagged if white in depths and white >= stored.greatest]
    return fit[-1] if fit else None
