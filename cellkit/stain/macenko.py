"""Macenko: stain vectors from the robust extreme angles in the plane of optical density.

Macenko, Niethammer, Marron, Borland, Woosley, Guan, Schmitt, Thomas: A method for normalizing
histology slides for quantitative analysis. ISBI 2009, 1107-1110:

    1. OD = -log10(I); drop pixels with an OD below beta = 0.15
    2. singular value decomposition of the ODs; the two largest singular vectors span a plane
    3. angle of every pixel in that plane with the first vector
    4. stain vectors = the directions at the 1st and 99th percentile of the angle
    5. concentrations by least squares; match their 99th percentiles
"""

from __future__ import annotations

import numpy as np

from cellkit.stain import density
from cellkit.stain.regions import Regions

ANGULAR_PERCENTILE = 1.0
"""Percentile of the angles taken for the extremes (alpha)."""


def stain_matrix(optical_density: np.ndarray, alpha: float = ANGULAR_PERCENTILE) -> np.ndarray:
    """Stain vectors of ``(n, 3)`` optical densities without background.

    Returns:
        ``(3, 2)`` float64, unit columns, the one that absorbs more red first.
    """
    return density.order_stains(_at_percentiles(optical_density, [alpha, 100 - alpha]))


def fit(optical_density: np.ndarray, counted: np.ndarray, regions: Regions) -> density.DensityState:
    """Macenko's state of an image.

    Args:
        optical_density: ``(n, 3)``, foreground.
        counted: ``(m, 3)``, the densities whose concentrations give the 99th percentiles.
        regions: Where they come from.
    """
    alpha = ANGULAR_PERCENTILE
    directions = _at_percentiles(optical_density, [alpha, 50, 100 - alpha])
    matrix = density.order_stains(directions[:, [0, 2]])
    concentration = density.concentrations(counted, matrix)
    return density.describe(optical_density, matrix, concentration, directions[:, 1], regions)


def _at_percentiles(optical_density: np.ndarray, percentiles: list[float]) -> np.ndarray:
    """Directions ``(3, k)`` at percentiles of the angle in the plane of the densities."""
    _, vectors = density.singular_vectors(optical_density)
    plane = vectors[:2]
    angles = np.percentile(density.angles_in_plane(optical_density, plane), percentiles)
    return plane.T @ np.stack([np.cos(angles), np.sin(angles)])
