"""Vahadane: stain vectors by sparse non-negative matrix factorisation of optical density.

Vahadane, Peng, Sethi, Albarqouni, Wang, Baust, Steiger, Schlitter, Esposito, Navab:
Structure-preserving color normalization and sparse stain separation for histological images.
IEEE Transactions on Medical Imaging 35(8), 2016, 1962-1971:

    min  1/2 ||OD - W H||^2 + lambda ||H||_1   with W, H >= 0 and unit columns of W, lambda = 0.1

Libraries learn the dictionary from random pixels and a random start, so two runs differ. Here the
pixels become the few hundred occupied cells of a coarse colour histogram, each with its mean and
its weight; the start is Macenko's stain matrix; and with two stains either half of the
alternation has a closed form. The result is the same in every run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cellkit.stain import colour, density, macenko
from cellkit.stain.density import DensityState
from cellkit.stain.maps import ColourMap
from cellkit.stain.regions import Regions

SPARSITY = 0.1
"""Weight of the concentrations' L1 norm (lambda)."""

_CELLS = 24  # of the colour histogram along each axis


def sparse_concentrations(optical_density: np.ndarray, stain_matrix: np.ndarray) -> np.ndarray:
    """Non-negative lasso for two stains, in closed form: the minimum ``(n, 2)`` of
    ``1/2 ||OD - W c||^2 + lambda (c1 + c2)`` over ``c >= 0``, for ``(n, 3)`` densities and a
    ``(3, 2)`` matrix of unit columns with a non-negative inner product."""
    overlap = float(stain_matrix[:, 0] @ stain_matrix[:, 1])
    first, second = (optical_density @ stain_matrix - SPARSITY).T
    both = np.stack([first - overlap * second, second - overlap * first], axis=1)
    both /= max(1 - overlap**2, 1e-9)
    alone = np.maximum([first, second], 0).T
    result = np.where(both[:, :1] < 0, alone * (0, 1), both)
    return np.where(both[:, 1:] < 0, alone * (1, 0), result)


def stain_matrix(optical_density: np.ndarray) -> np.ndarray:
    """Dictionary of two stains of ``(n, 3)`` optical densities without background: ``(3, 2)``,
    non-negative unit columns, the one that absorbs more red first."""
    points, weights = _histogram(optical_density)
    matrix = np.maximum(macenko.stain_matrix(optical_density), 1e-6)
    matrix /= np.linalg.norm(matrix, axis=0)
    for _ in range(100):
        previous = matrix.copy()
        codes = sparse_concentrations(points, matrix)
        gram = codes.T @ (weights[:, None] * codes)
        cross = points.T @ (weights[:, None] * codes)
        for k in range(2):  # block coordinate descent on the columns
            if gram[k, k] < 1e-12:
                continue
            column = matrix[:, k] + (cross[:, k] - matrix @ gram[:, k]) / gram[k, k]
            column = np.maximum(column, 0)
            length = np.linalg.norm(column)
            if length > 1e-12:
                matrix[:, k] = column / length
        if np.abs(matrix - previous).max() < 1e-5:
            break
    return density.order_stains(matrix)


def fit(regions: Regions) -> DensityState:
    """Vahadane's state of an image."""
    stained, counted = density.densities(regions)
    matrix = stain_matrix(stained)
    concentration = sparse_concentrations(counted, matrix)
    direction = matrix @ np.median(sparse_concentrations(stained, matrix), axis=0)
    return density.describe(stained, matrix, concentration, direction, regions)


@dataclass(frozen=True)
class SparseMap(ColourMap):
    """The map of the paper, white at 255; not linear, since no concentration is negative."""

    source: DensityState
    reference: DensityState
    part: float = 1.0  # of the way from the identity, in optical density

    def blend(self, strength: float) -> SparseMap:
        return replace(self, part=strength * self.part)

    def exact(self, rgb: np.ndarray) -> np.ndarray:
        before = colour.optical_density(rgb).reshape(-1, 3)
        amounts = sparse_concentrations(before, self.source.stain_matrix)
        amounts *= self.reference.maximum / np.maximum(self.source.maximum, 1e-6)
        after = amounts @ self.reference.stain_matrix.T
        mixed = (1 - self.part) * before + self.part * after
        return colour.transmitted_light(mixed).reshape(rgb.shape)


def _histogram(optical_density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean density and share of the occupied cells of a colour histogram."""
    low, high = optical_density.min(axis=0), optical_density.max(axis=0)
    scale = (_CELLS - 1e-6) / np.maximum(high - low, 1e-9)
    cell = ((optical_density - low) * scale).astype(np.int64) @ np.array([_CELLS**2, _CELLS, 1])
    counts = np.bincount(cell)
    occupied = np.flatnonzero(counts)
    sums = [np.bincount(cell, weights=optical_density[:, c])[occupied] for c in range(3)]
    counts = counts[occupied]
    return np.stack(sums, axis=1) / counts[:, None], counts / counts.sum()
