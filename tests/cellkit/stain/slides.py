"""Synthetic slides whose stains are known, shared by the tests of the stain rooms."""

from __future__ import annotations

import cv2
import numpy as np

from cellkit.stain import colour
from cellkit.stain.regions import find_regions

# The vectors of the code that goes with Macenko's paper.
HAEMATOXYLIN = (0.5626, 0.7201, 0.4062)
EOSIN = (0.2159, 0.8012, 0.5581)


def unit_columns(*vectors: tuple[float, ...]) -> np.ndarray:
    """Unit vectors as columns."""
    return np.stack([np.asarray(v) / np.linalg.norm(v) for v in vectors], axis=1)


STAINS = unit_columns(HAEMATOXYLIN, EOSIN)

ALL_GREYS_AND_MORE = np.concatenate(
    [
        np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(256, 1, 3),
        np.random.default_rng(0).integers(0, 256, (256, 90, 3), dtype=np.uint8),
        np.random.default_rng(1).integers(0, 30, (256, 20, 3), dtype=np.uint8),
    ],
    axis=1,
)
"""``(256, 111, 3)`` uint8 RGB: every grey, any colour, dark colours."""


def blobs(rng: np.random.Generator, shape: tuple[int, int], size: float, part: float) -> np.ndarray:
    """A smooth field that is positive, up to about 1, in the wanted part of the area."""
    field = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), size)
    field -= np.quantile(field, 1 - part)
    return np.clip(field / field.max(), 0, None)


def tissue(
    stains: np.ndarray,
    seed: int = 0,
    shape: tuple[int, int] = (256, 320),
    white: tuple[float, ...] = (243.0, 241.0, 245.0),
    amounts: tuple[float, float] = (1.7, 1.9),
) -> np.ndarray:
    """An H&E-like RGB image: nuclei in the first stain, the rest in the second, some of both."""
    rng = np.random.default_rng(seed)
    first = amounts[0] * (0.45 + 0.55 * rng.random(shape)) * (blobs(rng, shape, 4, 0.25) > 0)
    second = amounts[1] * (0.45 + 0.55 * rng.random(shape)) * (blobs(rng, shape, 9, 0.55) > 0)
    density = np.stack([first, second], axis=-1) @ stains.T
    light = np.asarray(white) * np.exp(-density) + rng.normal(0, 0.7, (*shape, 3))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def smear(
    direction: tuple[float, ...] = (0.65, 0.66, 0.38),
    seed: int = 0,
    shape: tuple[int, int] = (240, 320),
    white: tuple[float, ...] = (228.0, 229.0, 226.0),
    depth: float = 1.2,
) -> np.ndarray:
    """A Giemsa-like RGB smear: discs of one dominant stain with a few dark purple spots."""
    rng = np.random.default_rng(seed)
    amount = np.zeros(shape, np.float32)
    spots = np.zeros(shape, np.float32)
    for k in range(26):
        centre = tuple(int(rng.integers(0, n)) for n in shape[::-1])
        cv2.circle(amount, centre, 17, float(rng.uniform(0.8, 1.1)), -1)
        cv2.circle(amount, centre, 6, float(rng.uniform(0.5, 0.7)), -1)
        if k % 6 == 0:
            cv2.circle(spots, centre, 4, 1.0, -1)
    amount, spots = (cv2.GaussianBlur(x, (0, 0), 1.2) for x in (amount, spots))
    stains = unit_columns(direction, (0.5, 0.82, 0.28))
    density = depth * amount[..., None] * stains[:, 0] + 0.9 * spots[..., None] * stains[:, 1]
    light = np.asarray(white) * np.exp(-density) + rng.normal(0, 1.5, (*shape, 3))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def foreground_density(image: np.ndarray) -> np.ndarray:
    """Optical densities ``(n, 3)`` of an RGB image's foreground."""
    regions = find_regions(image, image.size // 3)
    return colour.optical_density(regions.stained, regions.white)


def angles(found: np.ndarray, known: np.ndarray) -> list[float]:
    """Angles between the columns of two ``(3, 2)`` stain matrices, degrees."""
    cosines = (found * known).sum(0) / np.linalg.norm(found, axis=0) / np.linalg.norm(known, axis=0)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1))).tolist()
