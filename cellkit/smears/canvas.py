"""The canvas on which a smear is laid: its optical density, and the cell each pixel belongs to.

The labels follow the masks of the real set. Of two cells that overlap the upper one is whole, or
each has the pixels it is deeper in; a cell that shares much of its area with another is one piece
with it; a cell cut by the border counts if half of it is in the picture; a thin line, as wide as
the annotators drew it, parts neighbours.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from scipy import ndimage

from cellkit.smears.bodies import Patch

VISIBLE = 0.48
"""Least share of a cell's area inside the picture for it to be labelled."""


_FAR = 1e4  # px


class Canvas:
    """Optical density of a smear and its labels; both grow as things are laid on it.

    Attributes:
        density: (3, H, W) float32 optical density, RGB: planes, which NumPy handles faster.
        label: (H, W) int32, which cell a pixel belongs to, 0 none.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.density = np.zeros((3, *shape), np.float32)
        self.label = np.zeros(shape, np.int32)
        self._depth = np.full(shape, -_FAR, np.float32)
        self._areas: list[int] = []  # px of each labelled cell on the canvas, hidden ones too
        self._shared: dict[tuple[int, int], int] = {}  # px that two cells have in common

    def _window(self, patch: Patch) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where a patch lies on the canvas, and which part of it that is; may be empty."""
        outer, inner = [], []
        for start, length, limit in zip(
            (patch.y, patch.x), patch.depth.shape, self.label.shape, strict=True
        ):
            low, high = min(max(start, 0), limit), min(max(start + length, 0), limit)
            outer.append(slice(low, high))
            inner.append(slice(low - start, high - start))
        return tuple(outer), tuple(inner)

    def add(self, patch: Patch, strength: float = 1.0) -> None:
        """Lay something on the smear that is not a cell."""
        outer, inner = self._window(patch)
        self.density[(slice(None), *outer)] += (
            np.float32(strength) * patch.density[(slice(None), *inner)]
        )

    def add_cell(self, patch: Patch, meeting: str = 'under') -> None:
        """Lay a cell on the smear.

        Args:
            patch: The cell.
            meeting: What happens where it overlaps others: it lies "over" them, all pixels being
                its own; "under", with each pixel labelled as the cell it is deeper in; or they
                "press" each other flat, with a line of `patch.gap` between them.
        """
        outer, inner = self._window(patch)
        depth, below = patch.depth[inner], self._depth[outer]
        covered = depth > 0
        visible = int(np.count_nonzero(covered))
        beneath = self.density[(slice(None), *outer)]
        density = patch.density[(slice(None), *inner)]
        if meeting == 'press':
            lead = depth - below
            share = np.clip(0.5 + lead / 3, 0, 1)
            beneath *= 1 - share * (depth > -2)
            beneath += share * density
            touch = np.exp(-((lead / max(patch.gap[0], 0.5)) ** 2))
            beneath *= 1 - np.float32(patch.gap[1]) * touch * (np.minimum(depth, below) > -3)
        else:
            if patch.hides is not None:
                beneath *= 1 - patch.hides[inner]
            beneath += density
        if visible < VISIBLE * np.count_nonzero(patch.depth > 0) or not visible:
            return
        number = len(self._areas) + 1
        self._areas.append(visible)
        label = self.label[outer]
        pixels = np.bincount(label[covered], minlength=1)
        for other in np.flatnonzero(pixels[1:]) + 1:
            self._shared[int(other), number] = int(pixels[other])
        wins = covered if meeting == 'over' else covered & (depth > below)
        label[wins] = number
        np.copyto(below, depth, where=wins if meeting == 'over' else depth > below)

    def labelled(
        self, rng: Generator, joined: float, hidden: float, line: int, smallest: float
    ) -> np.ndarray:
        """The label map of the finished smear.

        Args:
            rng: Random generator.
            joined: Share of the neighbouring pairs without a line between them.
            hidden: Cells that share more than this of the smaller one's area are one piece.
            line: Half width in pixels of the line between neighbours.
            smallest: Pieces below this many pixels are dropped.

        Returns:
            (H, W) int32, 0 background, 1..n cells.
        """
        root = np.arange(len(self._areas) + 1, dtype=np.int32)
        for (low, high), pixels in sorted(self._shared.items()):
            if pixels > hidden * min(self._areas[low - 1], self._areas[high - 1]):
                root[root == root[high]] = root[low]
        label = _part_neighbours(rng, root[self.label], joined, line)
        return _whole_cells(label, smallest)


def _part_neighbours(rng: Generator, label: np.ndarray, joined: float, line: int) -> np.ndarray:
    """Clear the pixels near two labels, but for a share `joined` of the pairs."""
    big = label.max() + 1
    kernel = np.ones((3, 3), np.uint8)
    high = label.astype(np.uint16)
    highest = cv2.dilate(high, kernel, iterations=line)
    lowest = cv2.erode(np.where(high == 0, np.uint16(big), high), kernel, iterations=line)
    at = np.flatnonzero((label > 0) & (highest != lowest))
    pairs = lowest.ravel()[at].astype(np.int64) * (big + 1) + highest.ravel()[at]
    unique, member = np.unique(pairs, return_inverse=True)
    cut = rng.random(len(unique)) >= joined
    label.ravel()[at[cut[member]]] = 0
    return label


def _whole_cells(label: np.ndarray, smallest: float) -> np.ndarray:
    """Number the labels anew, keep each one's largest piece, drop those below `smallest` px."""
    out = np.zeros_like(label)
    number = 0
    for old, box in enumerate(ndimage.find_objects(label), start=1):
        if box is None:
            continue
        crop = (label[box] == old).view(np.uint8)
        _, pieces, table, _ = cv2.connectedComponentsWithStats(crop, connectivity=8)
        areas = table[1:, cv2.CC_STAT_AREA]
        if areas.max() >= smallest:
            number += 1
            out[box][pieces == 1 + int(np.argmax(areas))] = number
    return out
