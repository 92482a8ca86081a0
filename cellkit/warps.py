"""Smooth deformations that map a picture onto itself."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

MOST = 0.16
"""Largest shift as a share of the spacing of knots: below a sixth no deformation folds, because the
shift's four derivatives are below a half then."""


def elastic_grid(
    rng: Generator, size: tuple[int, int], spacing: float, shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of an elastically deformed picture comes from.

    Knots on a coarse grid are shifted at random, what lies between them smoothly. Pixels
    of the border move along it only: nothing leaves the picture and no corner stays empty.

    Args:
        rng: Random generator.
        size: (H, W), pixels.
        spacing: Distance of neighbouring knots, pixels, about; a cell's diameter bends cells, much
            more moves them.
        shift: Largest shift of a knot down and across, pixels; at most :data:`MOST` of the spacing
            is used.

    Returns:
        Columns and rows, (H, W) float32 each, as :func:`cv2.remap` takes them.
    """
    knots = [max(round(side / spacing), 1) + 1 for side in size]
    reach = [min(shift, MOST * side / (count - 1)) for side, count in zip(size, knots, strict=True)]
    across, down = rng.uniform(-1, 1, (2, *knots)).astype(np.float32)
    across[:, [0, -1]] = 0
    down[[0, -1]] = 0
    rows, columns = (_blend(count, side) for count, side in zip(knots, size, strict=True))
    x = reach[1] * (rows @ across @ columns.T) + np.arange(size[1], dtype=np.float32)
    y = reach[0] * (rows @ down @ columns.T) + np.arange(size[0], dtype=np.float32)[:, None]
    return x, y


def _blend(knots: int, size: int) -> np.ndarray:
    """(size, knots) weights of the knots for each pixel; each knot's own pixel gets it alone."""
    at = np.linspace(0, knots - 1, size)
    low = np.minimum(at.astype(int), max(knots - 2, 0))
    part = at - low
    blend = part * part * (3 - 2 * part)
    weights = np.zeros((size, knots), np.float32)
    weights[np.arange(size), low] = 1 - blend
    weights[np.arange(size), np.minimum(low + 1, knots - 1)] += blend
    return weights


def warp(image: np.ndarray, x: np.ndarray, y: np.ndarray, nearest: bool = False) -> np.ndarray:
    """Take an image's pixels from ``(x, y)``; the nearest ones for labels."""
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.remap(image, x, y, how, borderMode=cv2.BORDER_REPLICATE)
