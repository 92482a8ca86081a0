"""Stain vectors in optical density: what Macenko and Vahadane have in common.

By the Beer-Lambert law the optical density of a pixel is ``OD = W c``: the columns of the stain
matrix ``W`` (3x2, unit length) are the colours of two stains, ``c`` their concentrations. The
methods differ in how they find ``W``; both then replace ``W`` and match the 99th percentiles of the
concentrations (their pseudo-maximum):

    OD' = W_reference diag(max_reference / max_image) W_image^+ OD

Why that flattens a Giemsa smear: red cells carry *one* dominant stain (the second singular value
of their optical density is 3 to 16 % of the first), so the second vector is noise, the two lie 5
to 30 degrees apart, and the pseudo-inverse, with the ratio of two vanishing percentiles, throws
colours far away; what is not in the plane of the two is lost; and a grey background counts as
stain. :func:`guarded_map` therefore turns the dominant direction of the image into that of the
reference by the smallest rotation, and trusts both vectors only where both images have two stains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellkit.stain import colour
from cellkit.stain.limits import Limits
from cellkit.stain.maps import DensityMap
from cellkit.stain.regions import CannotNormalise, Regions

BETA = 0.15 * np.log(10)
"""Optical density below which the papers count a pixel as background: 0.15 in decimal logarithms,
here in natural ones."""

TWO_STAINS = 18.0
"""Degrees that the middle 80 % of a foreground's colour angles must span for two stains. It is 22
to 40 where two stains cover about as much, on the real smears 2 to 16 (median 6), and most of
that is noise of pale images. Image and reference must both have two."""

_MIN_MAXIMUM = 1e-3  # a 99th percentile of concentration below it: the stain is absent
_MIN_DENSITY = 0.02  # root mean square density of a foreground without stain


@dataclass(frozen=True)
class DensityState:
    """Stains of an image."""

    stain_matrix: np.ndarray  # (3, 2), unit columns; the one that absorbs more red first
    maximum: np.ndarray  # (2,), 99th percentile of either concentration; 0 for an absent stain
    direction: np.ndarray  # (3,), unit, typical optical density of the foreground
    spread: float  # degrees that the middle 80 % of the foreground's angles in the plane span
    white: np.ndarray  # (3,) background, grey levels of R, G, B
    contrast: float  # luminance of the background less the mean of the typical foreground's


def singular_vectors(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and right singular vectors (rows) of ``(n, 3)`` optical densities, not
    centred: the plane of the stains goes through the origin. The first vector points to stain."""
    values, vectors = np.linalg.eigh(density.T @ density)
    values, vectors = values[::-1], vectors[:, ::-1].T
    if vectors[0].sum() < 0:
        vectors[0] *= -1
    return np.sqrt(np.maximum(values, 0)), vectors


def angles_in_plane(density: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Angle (radians) of ``(n, 3)`` densities with the first of the two rows of ``plane``."""
    along, across = (density @ plane.T).T
    return np.arctan2(across, along)


def order_stains(stain_matrix: np.ndarray) -> np.ndarray:
    """Columns ordered by how much red they absorb, most first (haematoxylin, azure: blue)."""
    return stain_matrix[:, np.argsort(-stain_matrix[0], kind='stable')]


def counted(sample: np.ndarray) -> np.ndarray:
    """The papers' pixels of ``(h, w, 3)``: a density of :data:`BETA` or more in every channel."""
    return (colour.optical_density(sample) >= BETA).all(axis=2)


def densities(regions: Regions) -> tuple[np.ndarray, np.ndarray]:
    """Optical densities of the foreground, ``(n, 3)``, and of the pixels whose 99th percentiles
    of concentration count, ``(m, 3)``."""
    stained = colour.optical_density(regions.stained, regions.white)
    if not regions.whole:
        return stained, stained
    return stained, colour.optical_density(regions.sample.reshape(-1, 3), regions.white)


def describe(
    density: np.ndarray,
    stain_matrix: np.ndarray,
    concentration: np.ndarray,
    direction: np.ndarray,
    regions: Regions,
) -> DensityState:
    """The state of an image whose ``(3, 2)`` stain matrix is known.

    Args:
        density: ``(n, 3)`` of the foreground.
        concentration: ``(m, 2)``, of the pixels whose percentiles count.
        direction: ``(3,)`` of the dominant stain, any length.
        regions: Where the densities come from.

    Raises:
        CannotNormalise: The foreground has no density.
    """
    values, vectors = singular_vectors(density)
    if values[0] < _MIN_DENSITY * np.sqrt(len(density)) or not direction.any():
        raise CannotNormalise('the foreground has no stain')
    low, high = np.percentile(angles_in_plane(density, vectors[:2]), [10, 90])
    return DensityState(
        stain_matrix=stain_matrix,
        maximum=np.maximum(np.percentile(concentration, 99, axis=0), 0),
        direction=direction / np.linalg.norm(direction),
        spread=float(np.degrees(high - low)),
        white=regions.white,
        contrast=colour.luminance(regions.white) - float(colour.luminance(regions.typical).mean()),
    )


def published_map(source: DensityState, reference: DensityState) -> DensityMap:
    """The formula of the papers, rank 2, nothing limited; white points as fitted."""
    return DensityMap(_in_plane(source, reference), source.white, reference.white)


def guarded_map(
    source: DensityState, reference: DensityState, limits: Limits, regions: Regions
) -> DensityMap:
    """Stains to the reference's stains, background to its white, within limits.

    The direction of the map is a rotation of the dominant stain, or, where both images have two
    stains, the papers' formula with the part outside the plane kept and the singular values
    limited. Its size is set by the contrast of the cells, which may change by a limited factor;
    it is measured on the image's typical pixels.
    """
    white = limits.white_point(source.white, reference.white)
    if has_two_stains(source) and has_two_stains(reference):
        normals = [np.cross(*state.stain_matrix.T) for state in (source, reference)]
        normal_in, normal_out = (n / np.linalg.norm(n) for n in normals)
        matrix = _in_plane(source, reference) + np.outer(normal_out, normal_in)
        left, values, right = np.linalg.svd(matrix)
        matrix = (left * np.clip(values, 1 / limits.stretch, limits.stretch)) @ right
    else:
        matrix = rotation(source.direction, reference.direction)
    contrast = source.contrast * limits.clip_contrast(reference.contrast / source.contrast)
    some = colour.optical_density(regions.typical, source.white) @ matrix.T
    return DensityMap(_size_for_contrast(some, white, contrast) * matrix, source.white, white)


def has_two_stains(state: DensityState) -> bool:
    """Whether both stain vectors can be trusted."""
    return state.spread >= TWO_STAINS and bool(state.maximum.min() > _MIN_MAXIMUM)


def rotation(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Smallest rotation ``(3, 3)`` that turns one unit vector into another (Rodrigues)."""
    x, y, z = np.cross(start, end)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + start @ end)


def _in_plane(source: DensityState, reference: DensityState) -> np.ndarray:
    """The papers' matrix ``(3, 3)``, of rank 2."""
    scale = reference.maximum / np.maximum(source.maximum, _MIN_MAXIMUM)
    return reference.stain_matrix @ np.diag(scale) @ np.linalg.pinv(source.stain_matrix)


def _size_for_contrast(density: np.ndarray, white: np.ndarray, contrast: float) -> float:
    """Factor on the densities that brings the mean luminance to the wanted contrast."""
    low, high = 0.25, 4.0
    for _ in range(14):
        middle = float(np.sqrt(low * high))
        light = colour.luminance(colour.transmitted_light(middle * density, white))
        if colour.luminance(white) - light.mean() < contrast:
            low = middle
        else:
            high = middle
    return float(np.sqrt(low * high))
