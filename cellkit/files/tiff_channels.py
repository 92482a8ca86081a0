"""What the channels of a TIFF mean: light, ink, the places of a palette, transparency."""

from __future__ import annotations

import numpy as np
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffPage

from cellkit.files.stored import NotASmear, Stored

GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
THREE = 'which were read as red, green and blue'

_ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
_COLOURS = {PHOTOMETRIC.RGB: 3, PHOTOMETRIC.YCBCR: 3, PHOTOMETRIC.SEPARATED: 4}


def with_meaning(page: TiffPage, values: np.ndarray, axes: str) -> Stored:
    """The values of a page by their meaning.

    Args:
        page: Its tags count.
        values: Of one picture.
        axes: Y and X, and S or C for channels, in any place.

    Raises:
        NotASmear: More channels than a colour picture has, or values that mean no light.
    """
    if values.dtype.kind == 'c':
        raise NotASmear('holds complex numbers')
    for axis in 'SC':
        if axis in axes:
            values = np.moveaxis(values, axes.index(axis), -1)
    bits, white = page.bitspersample, None
    if values.dtype.kind == 'b':
        values = values.astype(np.uint8)
    elif values.dtype.kind == 'i':
        values = _unsigned(values)
    if values.dtype.kind == 'u' and bits not in (16, 32, 64):
        white = 2.0**bits - 1
    channels = 1 if values.ndim == 2 else values.shape[2]
    kind = page.photometric
    if 262 not in page.tags:  # it must be there; tifffile takes the first of all kinds
        kind = PHOTOMETRIC.RGB if channels > 2 else PHOTOMETRIC.MINISBLACK
    if kind == PHOTOMETRIC.PALETTE:
        return Stored(_by_palette(page, values), 255)
    if kind in GREY:
        return _of_grey(page, values, white, channels, kind == PHOTOMETRIC.MINISWHITE)
    if kind not in _COLOURS or channels < _COLOURS[kind]:
        what = getattr(kind, 'name', kind)
        raise NotASmear(
            f'has colours of a kind that is not read here ({what}, {channels} channels)'
        )
    if kind == PHOTOMETRIC.SEPARATED:
        full = white or float(np.iinfo(values.dtype).max)
        ink = values[..., :4].astype(np.float32) / full
        rgb = (1 - ink[..., :3]) * (1 - ink[..., 3:]) * 255
        stored = Stored(np.rint(rgb).astype(np.uint8), 255)
    else:
        stored = Stored(values[..., :3], white)
    return _with_extras(page, stored, values, _COLOURS[kind])


def _unsigned(values: np.ndarray) -> np.ndarray:
    if values.dtype.itemsize < 4 or values.min(initial=0) < 0:
        raise NotASmear(f'holds signed whole numbers ({values.dtype})')
    return values.astype(np.uint32)


def _by_palette(page: TiffPage, values: np.ndarray) -> np.ndarray:
    palette = np.asarray(page.colormap)
    if palette.max() > 255:  # some writers give 8 bits where the format has 16
        palette = palette >> 8
    grey = values if values.ndim == 2 else values[..., 0]
    return palette.astype(np.uint8).T[grey]


def _of_grey(
    page: TiffPage, values: np.ndarray, white: float | None, channels: int, inverted: bool
) -> Stored:
    """Grey, or three colours that their tag calls grey."""
    extras = page.extrasamples
    colours = channels - 1 if extras and extras[-1] in _ALPHA else channels
    if channels == 1:
        return Stored(values, white, inverted=inverted)
    if colours == 3 or (channels == 4 and not any(extra in _ALPHA for extra in extras)):
        stored = Stored(values[..., :3], white, inverted=inverted)
        if 'S' in page.axes:
            stored.remarks.append(f'has three grey channels, {THREE}')
        return _with_extras(page, stored, values, 3)
    if colours > 2:
        raise NotASmear(f'has {channels} channels and is no colour picture')
    return _with_extras(page, Stored(values[..., 0], white, inverted=inverted), values, 1)


def _with_extras(page: TiffPage, stored: Stored, values: np.ndarray, colours: int) -> Stored:
    """Add the alpha channel, and say which others there were."""
    count = values.shape[2] - colours
    kinds = list(page.extrasamples)[-count:] if count else []
    kinds = [EXTRASAMPLE.UNSPECIFIED] * (count - len(kinds)) + kinds
    found = [k for k, kind in enumerate(kinds) if kind in _ALPHA]
    if found:
        stored.alpha = values[..., colours + found[0]]
        stored.premultiplied = kinds[found[0]] == EXTRASAMPLE.ASSOCALPHA
    if left := count - bool(found):
        plural = 's' if left > 1 else ''
        stored.remarks.append(f'has {left} channel{plural} beside its colours, left out')
    return stored
