"""From the values that a file holds to the 8-bit colours that a network sees.

Cameras of 10, 12 and 14 bits write files of 16, and no tag says so. What is white then can't be
told from one picture, which may be a dark one, so a folder has one rule: white is the greatest
value of the smallest depth that holds every value of all its pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from cellkit.errors import BadFile

BITS = (8, 10, 12, 14, 16)
"""Depths of cameras."""

# Shares of white. The background of a smear is the lamp: a picture that ends below is a dim one or
# of a camera of 2 bits less, and of one of 4 bits less, or spoilt by few pixels.
DIM, BLACK = 0.25, 0.07
BEYOND = 1.1  # resampled floats go a little beyond their white


class NotASmear(ValueError):
    """A whole file that holds no picture of a smear; the message goes on after the file's name."""


class Whites(NamedTuple):
    """The values that become 255 in pictures whose tags don't tell; None where nothing is known."""

    integers: float | None = None
    floats: float | None = None

    @classmethod
    def of(cls, white: float | None) -> Whites:
        """Of a picture whose white is known, as :attr:`Picture.white` gives it."""
        return cls(white, white)


UNKNOWN = Whites()


class Picture(NamedTuple):
    """A picture as training, preparation and prediction see it.

    Attributes:
        pixels: (H, W, 3) uint8 BGR, turned upright.
        remarks: What a user should know, such as what was left out; they go on after the name.
        turn: EXIF orientation that the file had, 1 (upright) to 8.
        white: The stored value that became 255, where no tag of the file told it; else None.
    """

    pixels: np.ndarray
    remarks: tuple[str, ...] = ()
    turn: int = 1
    white: float | None = None


@dataclass
class Stored:
    """What a file holds.

    Attributes:
        values: (H, W) grey or (H, W, 3) RGB; integers or floats.
        white: The value that means full light; None if no tag tells. 0 means it if ``inverted``.
        alpha: (H, W) in values of its own, or None.
        premultiplied: Whether the colours were multiplied by their alpha.
        inverted: Whether small values are bright.
        turn: EXIF orientation, 1 to 8.
        remarks: What was left out.
    """

    values: np.ndarray
    white: float | None = None
    alpha: np.ndarray | None = None
    premultiplied: bool = False
    inverted: bool = False
    turn: int = 1
    remarks: list[str] = field(default_factory=list)

    @property
    def greatest(self) -> float:
        """The greatest finite value."""
        if self.values.dtype.kind != 'f':
            return float(self.values.max(initial=0))
        return float(np.max(self.values, initial=0, where=np.isfinite(self.values)))


def white_for(greatest: float, floats: bool) -> float:
    """The white of pictures, of which no tag tells it, from the greatest value of all of them."""
    if floats and greatest <= BEYOND:
        return 1.0
    if floats and greatest <= 255 * BEYOND:
        return 255.0
    return next((2.0**bits - 1 for bits in BITS if greatest < 2**bits), greatest)


def named(white: float) -> str:
    """White in words: ``12 bits``."""
    bits = round(float(np.log2(white + 1)))
    return f'{bits} bits' if bits in BITS and white == 2**bits - 1 else f'0 to {white:g}'


def to_picture(stored: Stored, whites: Whites, file: str) -> Picture:
    """Scale to 8 bits, lay what is transparent on white, turn upright.

    Args:
        stored: What the file holds.
        whites: Of its folder, for values of which no tag tells what is white; where that isn't
            known either, the picture's own values decide, and a remark says so.
        file: Its name, for messages.

    Raises:
        BadFile: It is nearly black though no tag tells what is white: that must be wrong.
    """
    values, remarks = stored.values, list(stored.remarks)
    plain = values.dtype == np.uint8 and stored.white == 255
    white, told = stored.white, stored.white is not None
    if not told:
        floats = values.dtype.kind == 'f'
        white = whites.floats if floats else whites.integers
        if white is None:
            white = white_for(stored.greatest, floats)
            remarks.append(f'has values up to {stored.greatest:g} and is read as {named(white)}')
    if values.dtype.kind == 'f':
        values, odd = _finite(values, white, file)
        remarks += odd
    pixels = values if plain else _scaled(values, white)
    if not told:
        if stored.greatest > white * BEYOND:
            remarks.append(f'has values up to {stored.greatest:g}, cut off at {white:g}')
        if not stored.inverted:
            remarks += _light_of(pixels, stored, white, file)
    if stored.inverted:
        pixels = 255 - pixels
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    else:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if stored.alpha is not None:
        pixels, said = _on_white(pixels, stored, white)
        remarks += said
    pixels = upright(pixels, stored.turn)
    return Picture(pixels, tuple(remarks), stored.turn, None if told else white)


def _finite(values: np.ndarray, white: float, file: str) -> tuple[np.ndarray, list[str]]:
    """Values with 0 for what is none, and what to say of those."""
    good = np.isfinite(values)
    remarks = []
    if not good.all():
        count = int(good.size - np.count_nonzero(good))
        remarks.append(f'has {count} values that are no numbers, taken for 0')
        values = np.where(good, values, 0)
    least = float(values.min(initial=0))
    if least < -0.1 * white:
        what = f'has values from {least:g} to {float(values.max(initial=0)):g}'
        raise BadFile(file, what, 'scale them to 0 to 1, or save the picture as 8-bit PNG')
    return values, remarks


def _scaled(values: np.ndarray, white: float) -> np.ndarray:
    """Integers or floats as uint8, white as 255."""
    if values.dtype in (np.uint8, np.uint16):  # a table is the fast way
        steps = np.arange(np.iinfo(values.dtype).max + 1) * (255 / white)
        return np.rint(steps).clip(0, 255).astype(np.uint8)[values]
    return np.rint(values * (255 / white)).clip(0, 255).astype(np.uint8)


def _light_of(pixels: np.ndarray, stored: Stored, white: float, file: str) -> list[str]:
    """What to say of a picture that is darker than smears are."""
    light = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    if stored.alpha is not None and stored.alpha.any():
        light = light[stored.alpha > 0]
    bright = float(np.percentile(light, 99)) / 255
    said = f'when read as {named(white)}: 99 % of its pixels lie below {bright * white:.3g}'
    remedy = 'keep pictures of another camera apart'
    if bright < BLACK:
        raise BadFile(file, f'is nearly black {said}', f'{remedy}, or save it as 8-bit PNG')
    return [f'is dark {said}; {remedy}'] if bright < DIM else []


def _on_white(pixels: np.ndarray, stored: Stored, white: float) -> tuple[np.ndarray, list[str]]:
    """Colours on white paper; an alpha that is the same everywhere is none."""
    alpha = stored.alpha
    least, most = float(alpha.min()), float(alpha.max())
    full = 1.0 if alpha.dtype.kind == 'f' else float(np.iinfo(alpha.dtype).max)
    if stored.white is None and most <= white:
        full = white  # alpha of 12 bits beside colours of 12 bits
    if least == most:
        if stored.premultiplied and 0 < least < full:
            pixels = np.rint((pixels * (full / least)).clip(0, 255)).astype(np.uint8)
        said = [f'has a transparency of one value all over ({least:g}), which was ignored']
        return pixels, said if least < full else []
    share = (alpha.astype(np.float32) / full).clip(0, 1)[..., None]
    # Some writers say so though they multiplied nothing: such a colour is brighter than can be.
    beyond = np.mean((pixels > share * 255 + 2).any(axis=2)) > 0.01
    colour = pixels if stored.premultiplied and not beyond else pixels * share
    pixels = np.rint((colour + 255 * (1 - share)).clip(0, 255)).astype(np.uint8)
    clear = float(np.mean(alpha == 0))
    said = f'is transparent in {clear:.0%} of its pixels, which were read as white'
    return pixels, [said] if clear > 0.5 else []


def upright(array: np.ndarray, turn: int) -> np.ndarray:
    """Undo an EXIF orientation of an (H, W) or (H, W, C) array; the result is contiguous."""
    if turn in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        array = array[:, ::-1]
    if turn in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
