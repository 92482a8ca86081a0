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

ALPHA = 1.0
"""Percentile of the angles taken for the extremes."""


def stain_matrix(optical_density: np.ndarray) -> np.ndarray:
    """Stain vectors of ``(n, 3)`` optical densities without background: ``(3, 2)``, unit columns,
    the one that absorbs more red first."""
    return density.order_stains(_at_percentiles(optical_density, [ALPHA, 100 - ALPHA]))


def fit(regions: Regions) -> density.DensityState:
    """Macenko's state of an image."""
    stained, counted = density.densities(regions)
    directions = _at_percentiles(stained, [ALPHA, 50, 100 - ALPHA])
    matrix = density.order_stains(directions[:, [0, 2]])
    concentration = counted @ np.linalg.pinv(matrix).T  # least squares
    return density.describe(stained, matrix, concentration, directions[:, 1], regions)


def _at_percentiles(optical_density: np.ndarray, percentiles: list[float]) -> np.ndarray:
    """Directions ``(3, k)`` at percentiles of the angle in the plane of the densities."""
    plane = density.singular_vectors(optical_density)[1][:2]
    angles = np.percentile(density.angles_in_plane(optical_density, plane), percentiles)
    return plane.T @ np.stack([np.cos(angles), np.sin(angles)])
