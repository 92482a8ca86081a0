"""Foreground, background and white point of a smear, from a sample of its pixels.

The statistics of every method come from stained pixels only. On a smear 40 to 90 % of the pixels
are background: counted in, they drown the stain, and a grey background passes for a stain.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import cv2
import numpy as np

MIN_FOREGROUND = 100
"""Foreground pixels (of the whole image) below which there is nothing to normalise."""

MIN_CONTRAST = 0.10
"""Smallest difference of foreground and background luminance, as a part of the background's.
Empty fields of real smears stay below (noise, vignetting), the palest real smear has 0.18."""

MIN_WHITE = 16.0
"""Luminance of a background (grey levels) below which the image counts as black."""

MIN_COLOUR = 2
"""Largest difference of two channels (grey levels) in an image without colour."""


class CannotNormalise(ValueError):
    """An image has nothing that stain normalisation could work on; the message says why."""


@dataclass(frozen=True)
class Regions:
    """What the statistics of an image are taken from."""

    sample: np.ndarray  # (h, w, 3) uint8 RGB, every n-th pixel of every n-th row
    foreground: np.ndarray  # (h, w) bool, stained pixels of the sample
    white: np.ndarray  # (3,) float64, grey level of the background for R, G and B
    typical: np.ndarray  # (k, 3) uint8, foreground pixels of about the median luminance
    whole: bool = False  # percentiles of concentration are those of all pixels

    @functools.cached_property
    def stained(self) -> np.ndarray:
        """``(n, 3)`` uint8, the foreground pixels."""
        return self.sample[self.foreground]


def histogram(values: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Counts ``(256,)`` of uint8 values, all or those in a bool mask of their shape."""
    counted = None if mask is None else mask.view(np.uint8)
    return cv2.calcHist([values], [0], counted, [256], [0, 256]).ravel().astype(np.float64)


def median_of_counts(counts: np.ndarray) -> float:
    """Median of a histogram, between two grey levels by linear interpolation (the grouped
    median), so that it does not jump by a whole level; NaN if there is nothing."""
    below = np.cumsum(counts)
    middle = below[-1] / 2
    if middle == 0:
        return float('nan')
    level = int(np.searchsorted(below, middle))
    return float(np.clip(level + 0.5 - (below[level] - middle) / counts[level], 0, 255))


def find_regions(sample: np.ndarray, pixels: int) -> Regions:
    """Split a sample, ``(h, w, 3)`` uint8 RGB, into foreground and background at Otsu's threshold
    of luminance; ``pixels`` is the size of the whole image.

    The white point is the median colour of the background, so a tinted or grey background is
    no stain. An image that is black, colourless or without foreground raises CannotNormalise.
    """
    grey = cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    foreground = grey <= threshold
    count = int(np.count_nonzero(foreground))
    if count == 0 or count == foreground.size:
        raise CannotNormalise('the image has one brightness only')
    background = ~foreground
    red, green, blue = channels = cv2.split(sample)
    white = np.array([median_of_counts(histogram(c, background)) for c in channels])
    bright, dark = (median_of_counts(histogram(grey, m)) for m in (background, foreground))
    if bright < MIN_WHITE:
        raise CannotNormalise('the image is black')
    if bright - dark < MIN_CONTRAST * bright:
        raise CannotNormalise('no foreground stands out from the background')
    if count * pixels / foreground.size < MIN_FOREGROUND:
        raise CannotNormalise(f'fewer than {MIN_FOREGROUND} foreground pixels')
    if all(cv2.norm(c, green, cv2.NORM_INF) <= MIN_COLOUR for c in (red, blue)):
        raise CannotNormalise('the image is grey-scale')
    near = sample[foreground & (cv2.absdiff(grey, round(dark)) <= 2)]
    typical = near[:: max(1, len(near) // 512)]  # that many will do
    return Regions(sample, foreground, white, typical)


def as_published(regions: Regions, counted: np.ndarray) -> Regions:
    """What the papers take the statistics from: ``(h, w)`` bool of the sample, white at 255.

    CannotNormalise if too few pixels count.
    """
    if np.count_nonzero(counted) < MIN_FOREGROUND:
        raise CannotNormalise(f'fewer than {MIN_FOREGROUND} pixels have an optical density of beta')
    return replace(regions, foreground=counted, white=np.full(3, 255.0), whole=True)
