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
from cellkit.stain.normalizer import StainResult
from cellkit.stain.pixels import apply_map, rgb_sample

# Landini's vectors of methylene blue and eosin in ImageJ's Colour Deconvolution ("Giemsa").
_AZURE = (0.834750233, 0.513556283, 0.196330403)
_EOSIN = (0.092789, 0.954111, 0.283111)

_COLUMNS = np.stack([_AZURE, _EOSIN, np.cross(_AZURE, _EOSIN)], axis=1)
GIEMSA: np.ndarray = _COLUMNS / np.linalg.norm(_COLUMNS, axis=0)
"""``(3, 3)``: unit stain vectors as columns, the third at right angles to both."""


def jitter_map(white: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> DensityMap:
    """The map that changes stains about a ``(3,)`` background, grey levels of R, G, B.

    Args:
        scale: ``(3,)``, more than -1; relative change of each stain's concentration.
        shift: ``(3,)`` change of each stain's optical density everywhere, background included.
    """
    matrix = GIEMSA @ np.diag(1 + np.asarray(scale)) @ np.linalg.inv(GIEMSA)
    return DensityMap(matrix, white, colour.transmitted_light(GIEMSA @ shift, white))


def jitter(
    image: np.ndarray, scale: np.ndarray, shift: np.ndarray, channel_order: str = 'rgb'
) -> StainResult:
    """Perturb the stains of an image as :func:`jitter_map` says; takes and returns what
    :meth:`~cellkit.stain.StainNormalizer.transform` does."""
    try:
        white = regions.find_regions(*rgb_sample(image, channel_order)).white
    except regions.CannotNormalise as error:
        return StainResult(image, applied=False, reason=str(error))
    mapped = apply_map(jitter_map(white, scale, shift), image, channel_order)
    return StainResult(mapped, applied=True, strength=1.0)
