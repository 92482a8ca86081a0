"""Read a large TIFF by regions, so that it is never whole in memory.

The pixels are those of :mod:`cellkit.files.pictures`: the same decoders, and the same meaning of
channels. What that reader would have to see whole (more than 8 bits, transparency, a turned
picture, pages that make one) has no regions.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from cellkit.errors import BadFile
from cellkit.files.stored import UNKNOWN, to_picture
from cellkit.files.tiff import check_whole, is_broken, is_fluorescence, opened, pictures_of
from cellkit.files.tiff_channels import with_meaning
from cellkit.tiles import Window

LARGE = 1 << 26
"""Pixels from which on a picture is read by regions: whole it takes a gigabyte."""

CACHE = 1 << 28
"""Bytes of decoded pieces that are kept: neighbouring regions share them."""

PIECE = 1 << 26
"""Greatest bytes of a piece; a compressed picture in one piece can't be read by regions."""


class Regions:
    """A large picture. Threads may read at once.

    Attributes:
        size: (height, width), pixels.
        remarks: What a user should know; they go on after the file's name.
    """

    def __init__(self, file: BinaryIO, tif: TiffFile) -> None:
        series = pictures_of(tif)
        self._file, self._page = file, series[0].keyframe
        self.size = (self._page.imagelength, self._page.imagewidth)
        self._pieces: OrderedDict[int, np.ndarray] = OrderedDict()
        self._held, self._lock = 0, Lock()
        side_y, side_x = self._sides
        first = self._values(Window(0, 0, min(side_x, self.size[1]), min(side_y, self.size[0])))
        self.remarks = tuple(with_meaning(self._page, first, self._page.axes).remarks)
        if len(series) > 1:
            said = f'holds {len(series)} pictures, of which only the first was read'
            self.remarks = (said, *self.remarks)

    def read(self, window: Window) -> np.ndarray:
        """The pixels of a window inside the picture, (h, w, 3) uint8 BGR.

        Raises:
            BadFile: A piece of the file is damaged.
        """
        try:
            values = self._values(window)
        except Exception as error:  # decoders raise many kinds
            what = f'is truncated or damaged ({error})'
            raise BadFile(self._file.name, what, 'download or export it again') from error
        stored = with_meaning(self._page, values, self._page.axes)
        return to_picture(stored, UNKNOWN, self._file.name).pixels

    @property
    def _sides(self) -> tuple[int, int]:
        """Height and width of a piece: of a tile or strip."""
        page = self._page
        if page.is_tiled:
            return page.tilelength, page.tilewidth
        return min(page.rowsperstrip, page.imagelength), page.imagewidth

    def _values(self, window: Window) -> np.ndarray:
        """The values of a window as the file stores them."""
        page, (side_y, side_x) = self._page, self._sides
        shape = (window.y2 - window.y1, window.x2 - window.x1, page.samplesperpixel)
        values = np.empty(shape, np.uint8)
        across = -(-page.imagewidth // side_x)
        for row in range(window.y1 // side_y, -(-window.y2 // side_y)):
            for column in range(window.x1 // side_x, -(-window.x2 // side_x)):
                piece, y, x = self._piece(row * across + column), row * side_y, column * side_x
                y1, x1 = max(y, window.y1), max(x, window.x1)
                y2, x2 = min(y + side_y, window.y2), min(x + side_x, window.x2)
                part = piece[y1 - y : y2 - y, x1 - x : x2 - x]
                values[y1 - window.y1 : y2 - window.y1, x1 - window.x1 : x2 - window.x1] = part
        return values if page.axes == 'YXS' else values[..., 0]

    def _piece(self, number: int) -> np.ndarray:
        """A decoded piece, (h, w, S); the right and lower ones may be wider than the picture."""
        with self._lock:
            if number in self._pieces:
                self._pieces.move_to_end(number)
                return self._pieces[number]
            page = self._page
            self._file.seek(page.dataoffsets[number])
            data = self._file.read(page.databytecounts[number])
        found, _, _ = page.decode(
            data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader
        )
        piece = found[0]
        with self._lock:
            if number not in self._pieces:
                self._pieces[number] = piece
                self._held += piece.nbytes
            while self._held > CACHE and len(self._pieces) > 1:
                self._held -= self._pieces.popitem(last=False)[1].nbytes
        return piece


@contextmanager
def open_regions(path: Path) -> Iterator[Regions]:
    """Open a picture for which :func:`has_regions` says so.

    Raises:
        BadFile: It is damaged.
    """
    with path.open('rb') as file:
        try:
            tif = TiffFile(file)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if is_broken(tif, content):
                    raise ValueError('pages are missing')
                check_whole(pictures_of(tif)[0].keyframe, len(content))
            regions = Regions(file, tif)
        except Exception as error:  # tifffile raises many kinds on damaged files
            what = f'is truncated or damaged ({error})'
            raise BadFile(str(path), what, 'download or export it again') from error
        yield regions


def has_regions(path: Path, least: int | None = None) -> bool:
    """Whether a picture is large, and stored in a way to be read in part.

    Args:
        path: The file.
        least: It has more pixels than this; than :data:`LARGE` when None.
    """
    try:
        with opened(path) as tif:
            first = tif and tif.pages.first
            least = LARGE if least is None else least
            if first is None or first.imagelength * first.imagewidth <= least:
                return False
            (series, *_) = pictures_of(tif)
            alone = len(series.pages) == 1 and not is_fluorescence(tif)
            return alone and _is_simple(series.keyframe)
    except Exception:  # the reader of whole pictures says what is wrong
        return False


def _is_simple(page: TiffPage) -> bool:
    """Whether each pixel of a page has its meaning by itself, and pieces of a page are small."""
    shape = page.chunks
    turned = page.tags.valueof(274, 1) not in (0, 1)
    luma = page.photometric == PHOTOMETRIC.YCBCR and page.compression != COMPRESSION.JPEG
    return (
        page.axes in ('YX', 'YXS')
        and page.dtype == np.uint8
        and page.bitspersample == 8
        and page.imagedepth == 1
        and not (turned or luma or page.extrasamples)
        and int(np.prod(shape)) <= PIECE
    )
