"""What stands in a mask's file, before a bit of it is thrown away: values, pages, palette, alpha.

Container, depth and photometric rule come from the file's own tags: tifffile reads TIFF, Pillow
palettes and bitmaps, OpenCV the rest.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
import tifffile
from PIL import Image

from cellkit.errors import BadFile
from cellkit.files.pictures import check_file, decode
from cellkit.files.stored import upright
from cellkit.files.tiff import MAGIC

_PNG_START = b'\x89PNG\r\n\x1a\n'
_PNG_PALETTE = 3  # colour type, byte 25 of the file
_FAX = (2, 3, 4)  # TIFF compressions that libtiff alone can decode


@dataclass(frozen=True)
class Planes:
    """A mask's file, decoded without loss.

    Attributes:
        pages: One array a page, all of one size: ``(H, W)`` values or ``(H, W, 3)`` colours, RGB or
            BGR; of a palette picture the indices.
        alpha: ``(H, W)`` alpha channel, if there is one.
        palette: ``(n, 3)`` uint8 colours of the indices, if they are indices.
        min_is_white: The file says that 0 is white; ``pages`` are turned round already.
        orientation: EXIF orientation 1 to 8, which ``pages`` and ``alpha`` have obeyed already.
    """

    pages: list[np.ndarray]
    alpha: np.ndarray | None = None
    palette: np.ndarray | None = None
    min_is_white: bool = False
    orientation: int = 1


def read_planes(content: bytes, file: str) -> Planes:
    """Decode a mask's file, or raise BadFile."""
    if content.startswith(MAGIC):
        return _tiff(content, file)
    turn = check_file(content, file)
    lossless = content.startswith(_PNG_START) and content[25] != _PNG_PALETTE
    if lossless or content.startswith(b'\xff\xd8'):  # PNG of values or colours, JPEG
        return _from_samples(decode(content, file, cv2.IMREAD_UNCHANGED), turn)
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return _pillow(picture, turn)
    except Image.UnidentifiedImageError:
        return _from_samples(decode(content, file, cv2.IMREAD_UNCHANGED), turn)


def _from_samples(samples: np.ndarray, turn: int = 1) -> Planes:
    """Planes of one page of grey, grey and alpha, colours, or colours and alpha."""
    samples = upright(samples, turn)
    if samples.ndim == 2:
        return Planes([samples], orientation=turn)
    if samples.shape[2] in (1, 2):
        alpha = samples[..., 1] if samples.shape[2] == 2 else None
        return Planes([samples[..., 0]], alpha, orientation=turn)
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    colours = samples if alpha is None else samples[..., :3]
    return Planes([colours], alpha, orientation=turn)


def _pillow(picture: Image.Image, turn: int) -> Planes:
    pages = getattr(picture, 'n_frames', 1)
    if picture.mode in ('P', 'PA') and pages == 1:
        indices = np.asarray(picture.getchannel(0) if picture.mode == 'PA' else picture)
        palette = np.array(picture.getpalette('RGB'), np.uint8).reshape(-1, 3)
        palette = np.pad(palette, ((0, 256 - len(palette)), (0, 0)))
        alpha = None
        if picture.has_transparency_data:
            alpha = upright(np.asarray(picture.convert('RGBA').getchannel('A')), turn)
        return Planes([upright(indices, turn)], alpha, palette, orientation=turn)
    frames = []
    for page in range(pages):
        picture.seek(page)
        frame = picture
        if picture.mode not in ('1', 'L', 'LA', 'RGB', 'RGBA', 'I', 'I;16', 'F'):
            frame = picture.convert('RGBA' if picture.has_transparency_data else 'RGB')
        samples = np.asarray(frame)
        frames.append(samples.view(np.uint8) if samples.dtype == bool else samples)
    if pages == 1:
        return _from_samples(frames[0], turn)
    return Planes([upright(frame, turn) for frame in frames], orientation=turn)


def _tiff(content: bytes, file: str) -> Planes:
    """All pages in full size; previews beside them are left out."""
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as tiff:
            pages = [page.aspage() for page in tiff.pages]
            pages = [page for page in pages if not page.is_reduced]
            for page in pages:
                ends = [a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
                if max(ends, default=0) > len(content):
                    raise ValueError('its end is missing')
            if pages[0].compression in _FAX:  # libtiff has the codec, and obeys the tag
                turn = check_file(content, file)
                with Image.open(io.BytesIO(content)) as picture:
                    return _pillow(picture, turn)
            arrays = [page.asarray() for page in pages]
            whole = tiff.series[0].asarray() if len(pages) == 1 else arrays[0]
            first, turn = pages[0], int(pages[0].tags.valueof('Orientation', 1))
    except BadFile:
        raise
    except Exception as error:  # tifffile and its codecs raise many kinds on damaged files
        what = f"can't be read whole as TIFF ({error})"
        raise BadFile(
            file, what, 'export it again, as PNG or as TIFF without compression'
        ) from error
    turn = turn if 1 <= turn <= 8 else 1
    kinds = {(page.photometric, page.shape, page.bitspersample) for page in pages}
    if len(kinds) > 1:
        what = f'has {len(pages)} pages of different sizes or kinds'
        raise BadFile(file, what, 'export one page, or one page a cell, all of one size and depth')
    if whole.size > arrays[0].size:  # a stack that is written as one page
        arrays = list(whole.reshape(-1, *arrays[0].shape))
    if first.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR):
        arrays = [np.moveaxis(a, 0, -1) if first.axes == 'SYX' else a for a in arrays]
        if (samples := arrays[0].shape[-1]) > 4:
            what = f'has {samples} channels'
            raise BadFile(file, what, 'export it as a label map or as PNG of 0 and 255')
        if len(arrays) == 1:
            return _from_samples(arrays[0], turn)
        return Planes([upright(a[..., :3], turn) for a in arrays], orientation=turn)
    if first.photometric not in (
        tifffile.PHOTOMETRIC.MINISWHITE,
        tifffile.PHOTOMETRIC.MINISBLACK,
        tifffile.PHOTOMETRIC.PALETTE,
    ):
        what = f'is a TIFF of {tifffile.PHOTOMETRIC(first.photometric).name} colours'
        raise BadFile(file, what, 'export it as PNG of 0 and 255')
    alpha = None
    if first.axes in ('YXS', 'SYX'):  # samples that are no colours: alpha, or a plane a cell
        planes = [np.moveaxis(a, -1, 0) if first.axes == 'YXS' else a for a in arrays]
        arrays = [plane for stack in planes for plane in stack]
        if len(arrays) == 2 and first.extrasamples and int(first.extrasamples[0]) in (1, 2):
            alpha = upright(arrays.pop(), turn)
    arrays = [upright(a.view(np.uint8) if a.dtype == bool else a, turn) for a in arrays]
    if first.photometric == tifffile.PHOTOMETRIC.PALETTE:
        palette = (np.asarray(first.colormap) >> 8).astype(np.uint8).T
        return Planes(arrays, alpha, palette, orientation=turn)
    inverted = first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    if inverted and arrays[0].dtype.kind == 'u':
        top = arrays[0].dtype.type(2**first.bitspersample - 1)
        turned = [top - a for a in arrays]
        # A label map whose writer set the tag and left the values: its background is 0 as it is.
        if any((a == 0).any() for a in turned) or not any((a == 0).any() for a in arrays):
            return Planes(turned, alpha, min_is_white=True, orientation=turn)
    return Planes(arrays, alpha, orientation=turn)
