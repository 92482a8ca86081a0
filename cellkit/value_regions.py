"""What the values of a map are: numbers of cells, classes, or shades of grey."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

MAIN_PART = 0.25
"""Least area of a region, in areas of its value's greatest, that makes it a part of its own."""


class ValueRegions(NamedTuple):
    """The connected regions of equal value of a map.

    Attributes:
        values: Number of values other than the background.
        solid: Values whose pixels lie for the most part in regions that hold a square of 3x3.
            The number of a cell does; a shade of grey along an edge does not.
        loose: Share of the foreground in regions that hold no square of 3x3. Nearly none of a map
            of cells; the edges of one that was smoothed or saved as JPEG.
        divided: Solid values with two large regions or more, as a class of cells has.
    """

    values: int
    solid: int
    loose: float
    divided: int


def value_regions(ranks: np.ndarray) -> ValueRegions:
    """Look at the 8-connected regions of equal value of an ``(H, W)`` map of ``0..N``."""
    regions = regions_of_value(ranks, connectivity=8)
    count = int(regions.max(initial=0))
    values = int(ranks.max(initial=0))
    areas = np.bincount(regions.ravel(), minlength=count + 1)
    exact = regions.astype(np.float32 if count < 1 << 24 else np.float64)
    square = np.ones((3, 3), np.uint8)
    inner = cv2.erode(exact, square) == cv2.dilate(exact, square)
    inner[[0, -1]] = inner[:, [0, -1]] = False
    whole = np.bincount(regions[inner], minlength=count + 1) > 0
    value_of = np.zeros(count + 1, np.int64)
    value_of[regions.ravel()] = ranks.ravel()
    areas[0] = 0
    total = np.bincount(value_of, areas, values + 1)
    in_whole = np.bincount(value_of, areas * whole, values + 1)
    greatest = np.zeros(values + 1)
    np.maximum.at(greatest, value_of, areas * whole)
    main = whole & (areas >= MAIN_PART * greatest[value_of]) & (value_of > 0)
    parts = np.bincount(value_of, main, values + 1)
    solid = 2 * in_whole[1:] >= np.maximum(total[1:], 1)
    loose = 1 - float(in_whole[1:].sum() / max(total[1:].sum(), 1))
    return ValueRegions(values, int(solid.sum()), loose, int((solid & (parts[1:] > 1)).sum()))


def regions_of_value(ranks: np.ndarray, connectivity: int) -> np.ndarray:
    """Number the connected regions of equal value, ``(H, W)`` int; 0 stays background."""
    from skimage.measure import label  # slow to import

    return label(ranks, background=0, connectivity=1 if connectivity == 4 else 2)


def flat_grey(grey: np.ndarray) -> float:
    """Share of a uint8 picture's foreground in even regions that are neither black nor white.

    A smoothed mask of two values has next to none; a map of numbers that was smoothed or saved as
    JPEG has many.
    """
    low, high = int(grey.min()), int(grey.max())
    slack = max((high - low) // 16, 1)
    square = np.ones((5, 5), np.uint8)
    even = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, square) <= slack
    foreground = grey > low + slack
    between = even & foreground & (grey < high - slack)
    return np.count_nonzero(between) / max(np.count_nonzero(foreground), 1)
