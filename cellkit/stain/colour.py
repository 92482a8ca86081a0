"""Colour spaces of stain normalisation, in float64: CIELAB and optical density.

These are the plain formulas; ``maps.py`` has the fast 8-bit versions, tested against these.
"""

from __future__ import annotations

import numpy as np

# Linear sRGB (D65) to CIE XYZ, IEC 61966-2-1; the rows are divided by the white point, so that
# white is (1, 1, 1) and every grey has a* = b* = 0.
_RGB_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
RGB_TO_XYZ: np.ndarray = _RGB_TO_XYZ / _RGB_TO_XYZ.sum(axis=1, keepdims=True)
XYZ_TO_RGB: np.ndarray = np.linalg.inv(RGB_TO_XYZ)

# (f(X), f(Y), f(Z)) to (L*, a*, b*) is affine: CIE 15:2004.
F_TO_LAB: np.ndarray = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
LAB_TO_F: np.ndarray = np.linalg.inv(F_TO_LAB)
F_TO_LAB_OFFSET: np.ndarray = np.array([-16.0, 0.0, 0.0])

# CIELAB's cube root turns into a straight line below these.
F_KNEE = 6 / 29
XYZ_KNEE = F_KNEE**3
F_SLOPE = 1 / (3 * F_KNEE**2)
F_INTERCEPT = 4 / 29

# The same for sRGB's power law.
RGB_KNEE = 0.0031308
RGB_SLOPE = 12.92
RGB_GAMMA = 2.4
RGB_SCALE = 1.055

LUMINANCE: np.ndarray = np.array([0.299, 0.587, 0.114])
"""Weights of R, G, B in luminance (ITU-R BT.601), as in OpenCV's 8-bit grey."""


def luminance(rgb: np.ndarray) -> np.ndarray:
    """BT.601 luminance in grey levels of ``(..., 3)`` colours."""
    return np.asarray(rgb, dtype=np.float64) @ LUMINANCE


def decode_gamma(rgb: np.ndarray) -> np.ndarray:
    """Grey levels 0..255 to linear sRGB 0..1."""
    x = np.asarray(rgb, dtype=np.float64) / 255
    power = ((np.maximum(x, 0) + RGB_SCALE - 1) / RGB_SCALE) ** RGB_GAMMA
    return np.where(x <= RGB_KNEE * RGB_SLOPE, x / RGB_SLOPE, power)


def encode_gamma(linear: np.ndarray) -> np.ndarray:
    """Linear sRGB to grey levels; 0 below 0, not clipped above 255."""
    x = np.maximum(linear, 0)
    power = RGB_SCALE * x ** (1 / RGB_GAMMA) - (RGB_SCALE - 1)
    return 255 * np.where(x <= RGB_KNEE, RGB_SLOPE * x, power)


DECODED: np.ndarray = decode_gamma(np.arange(256))
LOGARITHM: np.ndarray = np.log(np.arange(256) + 1.0)
"""``(256,)`` tables of every 8-bit level."""


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB grey levels, ``(..., 3)`` of any type, to CIELAB (D65), float64: L* in 0..100."""
    linear = DECODED[rgb] if getattr(rgb, 'dtype', None) == np.uint8 else decode_gamma(rgb)
    xyz = linear @ RGB_TO_XYZ.T
    f = np.where(xyz > XYZ_KNEE, np.cbrt(xyz), F_SLOPE * xyz + F_INTERCEPT)
    return f @ F_TO_LAB.T + F_TO_LAB_OFFSET


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """CIELAB (D65) to sRGB grey levels, float64, not rounded, not clipped at 255."""
    f = (np.asarray(lab, dtype=np.float64) - F_TO_LAB_OFFSET) @ LAB_TO_F.T
    xyz = np.where(f > F_KNEE, f**3, (f - F_INTERCEPT) / F_SLOPE)
    return encode_gamma(xyz @ XYZ_TO_RGB.T)


def optical_density(rgb: np.ndarray, white: np.ndarray | float = 255.0) -> np.ndarray:
    """Optical density by the Beer-Lambert law, natural logarithm.

    ``-ln((I + 1) / (white + 1))`` of ``(..., 3)`` grey levels, 0..255: the ones keep black finite
    and cancel in :func:`transmitted_light`. Negative where a pixel is brighter than ``white``, the
    grey level of empty background, one number or one a channel.
    """
    is_8_bit = getattr(rgb, 'dtype', None) == np.uint8
    log_levels = LOGARITHM[rgb] if is_8_bit else np.log(np.asarray(rgb, dtype=np.float64) + 1)
    return np.log(np.asarray(white, dtype=np.float64) + 1) - log_levels


def transmitted_light(density: np.ndarray, white: np.ndarray | float = 255.0) -> np.ndarray:
    """Grey levels of an optical density, the inverse of :func:`optical_density`; not rounded."""
    return (np.asarray(white, dtype=np.float64) + 1) * np.exp(-density) - 1
