"""Stain augmentation: perturb the concentrations of azure, eosin and the rest.

Tellez et al.: Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to
train distilled stain-invariant convolutional networks. IEEE Transactions on Medical Imaging 37(9),
2018, with Giemsa's stains for haematoxylin and eosin:

    c' = c * (1 + scale) + shift,   OD = B c,   OD' = B c'
"""

from __future__ import annotations

import numpy as np

from cellkit.stain import colour, regions
from cellkit.stain.maps import DensityMap
from cellkit.stain.normalizer import StainResult, apply_map, rgb_sample

# Landini's vectors of methylene blue and eosin in ImageJ's Colour Deconvolution ("Giemsa").
_AZURE = (0.834750233, 0.513556283, 0.196330403)
_EOSIN = (0.092789, 0.954111, 0.283111)


def stain_basis(
    first: tuple[float, ...] = _AZURE, second: tuple[float, ...] = _EOSIN
) -> np.ndarray:
    """Unit stain vectors as columns, the third at right angles to both: ``(3, 3)``."""
    columns = [np.asarray(first), np.asarray(second), np.cross(first, second)]
    return np.stack([c / np.linalg.norm(c) for c in columns], axis=1)


GIEMSA: np.ndarray = stain_basis()


def jitter_map(
    white: np.ndarray, scale: np.ndarray, shift: np.ndarray, basis: np.ndarray = GIEMSA
) -> DensityMap:
    """The map that scales concentrations by ``1 + scale`` and adds ``shift``.

    Args:
        white: ``(3,)`` background, grey levels of R, G, B.
        scale: ``(3,)``, more than -1; relative change of each stain's concentration.
        shift: ``(3,)`` change of each stain's optical density everywhere, background included.
        basis: ``(3, 3)`` stain vectors in columns.
    """
    matrix = basis @ np.diag(1 + np.asarray(scale)) @ np.linalg.inv(basis)
    return DensityMap(matrix, white, colour.transmitted_light(basis @ shift, white))


def jitter(
    image: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    channel_order: str = 'rgb',
    basis: np.ndarray = GIEMSA,
) -> StainResult:
    """Perturb the stains of an image.

    Args:
        image: As for :meth:`~cellkit.stain.StainNormalizer.transform`.
        scale, shift, basis: As for :func:`jitter_map`.
        channel_order: ``"rgb"`` or ``"bgr"``.

    Returns:
        The result; unchanged, with the reason, where there is nothing stained.
    """
    try:
        sample, pixels = rgb_sample(image, channel_order)
        white = regions.find_regions(sample, pixels).white
    except regions.CannotNormalise as error:
        return StainResult(image, applied=False, reason=str(error))
    chosen = jitter_map(white, scale, shift, basis)
    return StainResult(apply_map(chosen, image, channel_order), applied=True, strength=1.0)
