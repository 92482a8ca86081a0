"""Images of any pixel type: a sample of them in grey levels, and a colour map over all of them."""

from __future__ import annotations

import math

import numpy as np

from cellkit.stain.maps import ColourMap, channels
from cellkit.stain.regions import CannotNormalise

MAX_SAMPLE = 2**16
"""Pixels of the regular sample that statistics are taken from (all of them in a small image)."""


def rgb_sample(
    image: np.ndarray, channel_order: str = 'rgb', max_sample: int = MAX_SAMPLE
) -> tuple[np.ndarray, int]:
    """A regular sample of an image's pixels as ``(h, w, 3)`` uint8 RGB, and how many it has.

    The step is odd: the real smears carry the 8x8 blocks of an earlier JPEG, and a block's corner
    is 3 grey levels darker than the mean.

    Raises:
        CannotNormalise: If it is no colour image of a known type.
    """
    colours = _colours(image)
    pixels = colours.shape[0] * colours.shape[1]
    step = max(1, math.ceil(math.sqrt(pixels / max_sample))) | 1
    sample = np.ascontiguousarray(colours[::step, ::step, channels(channel_order)])
    if sample.dtype != np.uint8:
        sample = np.clip(np.rint(sample * _to_grey_levels(colours)), 0, 255).astype(np.uint8)
    return sample, pixels


def apply_map(colour_map: ColourMap, image: np.ndarray, channel_order: str = 'rgb') -> np.ndarray:
    """Map an image of any type that :func:`rgb_sample` takes; shape, dtype and alpha stay."""
    colours = _colours(image)
    if image.dtype == np.uint8:
        mapped = colour_map.apply(colours, channel_order)
    else:
        swap = channels(channel_order)
        scale = _to_grey_levels(colours)
        levels = np.clip(colours[..., swap] * np.float64(scale), 0, 255)
        mapped = np.clip(colour_map.exact(levels), 0, 255)[..., swap] / scale
        mapped = (np.rint(mapped) if image.dtype.kind == 'u' else mapped).astype(image.dtype)
    return mapped if image.shape[2] == 3 else np.dstack([mapped, image[..., 3:]])


def _colours(image: np.ndarray) -> np.ndarray:
    """The three colour channels of an image, or raise CannotNormalise."""
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or image.size == 0:
        raise CannotNormalise('not an image')
    if image.ndim == 2 or image.shape[2] == 1:
        raise CannotNormalise('the image is grey-scale')
    if image.shape[2] not in (3, 4):
        raise CannotNormalise(f'{image.shape[2]} channels are no colour image')
    colours = image[..., :3]
    if image.dtype.kind != 'f' and image.dtype not in (np.uint8, np.uint16):
        raise CannotNormalise(f'pixels of type {image.dtype}')
    if image.dtype.kind == 'f' and not np.isfinite(colours).all():
        raise CannotNormalise('the image has values that are no numbers')
    return colours


def _to_grey_levels(colours: np.ndarray) -> float:
    """Factor from pixel values to 0..255."""
    if colours.dtype.kind == 'u':
        return 255 / np.iinfo(colours.dtype).max
    return 255.0 if colours.max() <= 1 else 1.0
