"""Copies of a picture's cells, laid elsewhere on it.

Light goes through a smear, so a copy lets through what the cell lets through of its surroundings:
no seam where background is uneven, and what lies under it shines through, as where cells overlap on
a slide. In the labels the copy lies on top: it is whole and what it covers is cut, as in the masks
of the real set.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

RING = 4
"""Width of the surroundings whose light a cell's is compared with, pixels."""
FEATHER = 1.0
"""Standard deviation of a copy's edge, pixels."""


class Patch(NamedTuple):
    """A cell to be laid down.

    Attributes:
        mask: (h, w) bool.
        light: (h, w, 3) float32, what it lets through; 1 outside and where it is clear.
    """

    mask: np.ndarray
    light: np.ndarray

    def turned(self, turns: int, mirrored: bool) -> Patch:
        """The same, by quarter turns and perhaps mirrored."""
        parts = [np.rot90(part, turns) for part in self]
        return Patch(*(part[:, ::-1] if mirrored else part for part in parts))


def lift(image: np.ndarray, label_map: np.ndarray, label: int, box: np.ndarray) -> Patch | None:
    """Take a cell from a picture.

    Args:
        image: (H, W, 3) uint8.
        label_map: (H, W) integers, 0 background.
        label: Which cell.
        box: Its (x1, y1, x2, y2), the right and lower edge exclusive.

    Returns:
        The cell with a margin; None where it touches the border, since it may not be whole, has
        no background beside it, or only such as is darker than it: the unlabelled line between
        cells that overlap, say.
    """
    x1, y1, x2, y2 = box.tolist()
    height, width = label_map.shape
    if min(x1, y1) < 1 or x2 > width - 1 or y2 > height - 1:
        return None
    rows = slice(max(y1 - RING, 0), y2 + RING)
    columns = slice(max(x1 - RING, 0), x2 + RING)
    around = label_map[rows, columns]
    mask = around == label
    near = cv2.dilate(mask.view(np.uint8), np.ones((2 * RING + 1,) * 2, np.uint8)).view(bool)
    beside = near & (around == 0)
    window = image[rows, columns]
    if np.count_nonzero(beside) < np.count_nonzero(near & ~mask) / 4:
        return None
    white = np.maximum(np.median(window[beside], axis=0), 1)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), FEATHER)[..., None]
    light = 1 + soft * (window / white.astype(np.float32) - 1)
    return Patch(mask, light) if light[mask].mean() < 1 else None


def lay(
    image: np.ndarray, label_map: np.ndarray, patch: Patch, y: int, x: int, label: int
) -> np.ndarray:
    """Lay a cell on a picture, in place: top left corner, the label it gets.

    Returns:
        The labels of the pixels that it covers, as they were before.
    """
    place = slice(y, y + patch.mask.shape[0]), slice(x, x + patch.mask.shape[1])
    image[place] = np.clip(image[place] * patch.light + 0.5, 0, 255).astype(np.uint8)
    below = label_map[place]
    covered = below[patch.mask]
    below[patch.mask] = label
    return covered
