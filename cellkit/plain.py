"""Tell empty parts of a slide, which no network need look at."""

from __future__ import annotations

import cv2
import numpy as np

REDUCED = 4
"""Sides of the squares of pixels whose mean is looked at: noise averages out in them."""

FLAT = 12
"""Greatest difference within a part without a cell, of 255; the palest cells differ by more."""


def is_plain(picture: np.ndarray) -> bool:
    """Whether a part of a slide has one colour all over, but for noise, so holds no cell.

    What lies outside the scanned area is plain too. A part with uneven light, dirt or the edge of
    the scanned area is not: it may be looked at for nothing, while no cell is missed.

    Args:
        picture: (h, w, 3) uint8.
    """
    height, width = picture.shape[:2]
    size = (max(width // REDUCED, 1), max(height // REDUCED, 1))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    return bool((np.ptp(small, axis=0) <= FLAT).all())
