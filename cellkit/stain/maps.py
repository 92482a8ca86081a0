"""Colour maps: what a fitted normalisation does to one pixel, exactly and fast.

Reinhard is an affine map of CIELAB, Macenko and Vahadane are linear maps of optical density. Such
a map is a 3x3 matrix with an offset, which can be inspected, limited, blended with the identity
(``strength``) and applied to any pixel type.

8-bit images take the fast way: table, matrix, cube root or exponential in float32 over bands of
rows that stay in the cache, bands shared among OpenCV's threads. Other types go through the
float64 formulas. Both round to the nearest value.
"""

from __future__ import annotations

import functools
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from cellkit.stain import colour

_DECODED = colour.DECODED.astype(np.float32)
_LOGARITHM = colour.LOGARITHM.astype(np.float32)
_BAND_PIXELS = 2**17  # long enough that the calls cost little, short enough for a level-3 cache

_scratch = threading.local()

Buffers = tuple[np.ndarray, np.ndarray, np.ndarray]
Kernel = Callable[[np.ndarray, np.ndarray, Buffers], None]


class ColourMap(ABC):
    """What a normalisation does to the colour of a pixel."""

    @abstractmethod
    def blend(self, strength: float) -> ColourMap:
        """The map that goes the part ``strength`` (0..1) of the way from the identity."""

    @abstractmethod
    def exact(self, rgb: np.ndarray) -> np.ndarray:
        """``(..., 3)`` grey levels of any type to float64 grey levels, neither rounded nor clipped
        at 255."""

    def apply(self, image: np.ndarray, channel_order: str = 'rgb') -> np.ndarray:
        """Map an ``(H, W, 3)`` uint8 image to a new one of the same shape."""
        swap = channels(channel_order)
        levels = np.clip(np.rint(self.exact(image[..., swap])), 0, 255)
        return np.ascontiguousarray(levels.astype(np.uint8)[..., swap])


@dataclass(frozen=True)
class LabMap(ColourMap):
    """Affine map of CIELAB: ``matrix @ (L*, a*, b*) + offset``."""

    matrix: np.ndarray  # (3, 3) float64
    offset: np.ndarray  # (3,) float64

    def blend(self, strength: float) -> LabMap:
        return LabMap(_part_way(self.matrix, strength), strength * self.offset)

    def exact(self, rgb: np.ndarray) -> np.ndarray:
        return colour.lab_to_rgb(colour.rgb_to_lab(rgb) @ self.matrix.T + self.offset)

    def apply(self, image: np.ndarray, channel_order: str = 'rgb') -> np.ndarray:
        swap = channels(channel_order)
        lab_offset = self.matrix @ colour.F_TO_LAB_OFFSET + self.offset - colour.F_TO_LAB_OFFSET
        f_matrix = colour.LAB_TO_F @ self.matrix @ colour.F_TO_LAB
        f_offset = colour.LAB_TO_F @ lab_offset
        to_xyz = _affine(colour.RGB_TO_XYZ[:, swap])
        f_map = _affine(f_matrix, f_offset - f_matrix @ np.full(3, F_TOE.at_knee))
        to_rgb = _affine(colour.XYZ_TO_RGB, -colour.XYZ_TO_RGB @ np.full(3, XYZ_TOE.at_knee))[swap]
        black = (colour.RGB_SCALE - 1) / colour.RGB_SCALE + RGB_TOE.at_knee

        def kernel(source: np.ndarray, target: np.ndarray, buffers: Buffers) -> None:
            a, b, toe = buffers
            cv2.LUT(source, _DECODED, a)
            cv2.transform(a, to_xyz, b)
            F_TOE.cut(b, toe)
            np.cbrt(b, out=a)
            F_TOE.add(a, toe)
            cv2.transform(a, f_map, b)
            XYZ_TOE.cut(b, toe)
            np.multiply(b, b, out=a)
            a *= b
            XYZ_TOE.add(a, toe)
            cv2.transform(a, to_rgb, b)
            RGB_TOE.cut(b, toe)
            cv2.log(b, a)
            a *= np.float32(1 / colour.RGB_GAMMA)
            cv2.exp(a, b)
            RGB_TOE.add(b, toe)
            # What lies below black would turn positive in convertScaleAbs.
            np.clip(b, np.float32(black), np.float32(4), out=b)
            cv2.convertScaleAbs(b, target, 255 * colour.RGB_SCALE, -255 * colour.RGB_SCALE * black)

        return _in_bands(kernel, image)


@dataclass(frozen=True)
class DensityMap(ColourMap):
    """Linear map of optical density between two white points."""

    matrix: np.ndarray  # (3, 3) float64, from the density of the input to that of the output
    white_in: np.ndarray  # (3,) float64, background of the input, grey levels
    white_out: np.ndarray  # (3,) float64, that of the output

    def blend(self, strength: float) -> DensityMap:
        ratio = (self.white_out + 1) / (self.white_in + 1)
        white_out = (self.white_in + 1) * ratio**strength - 1
        return DensityMap(_part_way(self.matrix, strength), self.white_in, white_out)

    def exact(self, rgb: np.ndarray) -> np.ndarray:
        density = colour.optical_density(rgb, self.white_in) @ self.matrix.T
        return colour.transmitted_light(density, self.white_out)

    def apply(self, image: np.ndarray, channel_order: str = 'rgb') -> np.ndarray:
        swap = channels(channel_order)
        offset = np.log(self.white_out + 1) - self.matrix @ np.log(self.white_in + 1)
        density_map = _affine(self.matrix[swap, swap], offset[swap])

        def kernel(source: np.ndarray, target: np.ndarray, buffers: Buffers) -> None:
            a, b, _ = buffers
            cv2.LUT(source, _LOGARITHM, a)
            cv2.transform(a, density_map, b)
            cv2.exp(b, a)
            # What lies below 0 would turn positive in convertScaleAbs.
            np.maximum(a, np.float32(1), out=a)
            cv2.convertScaleAbs(a, target, 1, -1)

        return _in_bands(kernel, image)


def channels(order: str) -> slice:
    """The slice of the last axis that turns ``"rgb"`` or ``"bgr"`` into RGB, and back."""
    return slice(None, None, -1 if order == 'bgr' else 1)


@dataclass(frozen=True)
class Toe:
    """The straight part of a curve of CIELAB or sRGB, below a knee that it meets with one slope.

    ``curve(x) = power(max(x, knee)) + slope * min(x, knee) - at_knee``: three passes over all
    values, where choosing the few dark ones costs more. The constant goes into what comes next.
    """

    knee: float
    slope: float

    @property
    def at_knee(self) -> float:
        """What :meth:`add` gives too much."""
        return self.slope * self.knee

    def cut(self, values: np.ndarray, toe: np.ndarray) -> None:
        """Raise values to the knee; ``toe`` takes what lies below."""
        cv2.threshold(values, self.knee, 0, cv2.THRESH_TRUNC, toe)
        cv2.addWeighted(values, 1, toe, -1, self.knee, values)

    def add(self, values: np.ndarray, toe: np.ndarray) -> None:
        """Add the straight part to the power."""
        cv2.scaleAdd(toe, self.slope, values, values)


F_TOE = Toe(colour.XYZ_KNEE, colour.F_SLOPE)
XYZ_TOE = Toe(colour.F_KNEE, 1 / colour.F_SLOPE)
RGB_TOE = Toe(colour.RGB_KNEE, colour.RGB_SLOPE / colour.RGB_SCALE)


def _part_way(matrix: np.ndarray, strength: float) -> np.ndarray:
    return np.eye(3) + strength * (matrix - np.eye(3))


def _affine(matrix: np.ndarray, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """``(3, 4)`` float32 for cv2.transform."""
    column = np.broadcast_to(offset, 3).reshape(3, 1)
    return np.hstack([matrix, column]).astype(np.float32)


def _in_bands(kernel: Kernel, image: np.ndarray) -> np.ndarray:
    """Run a kernel over bands of rows, shared among as many threads as OpenCV may use."""
    image = np.ascontiguousarray(image)
    result = np.empty_like(image)
    height, width = image.shape[:2]
    rows = max(1, _BAND_PIXELS // max(1, width))
    threads = min(max(1, cv2.getNumThreads()), -(-height // rows))

    def run(first: int, last: int) -> None:
        a, b, c = _buffers(rows, width)
        for top in range(first, last, rows):
            bottom = min(top + rows, last)
            some = slice(0, bottom - top)
            kernel(image[top:bottom], result[top:bottom], (a[some], b[some], c[some]))

    if threads == 1:
        run(0, height)
    else:
        edges = [height * k // threads for k in range(threads + 1)]
        list(_pool(threads, os.getpid()).map(run, edges[:-1], edges[1:]))
    return result


def _buffers(rows: int, width: int) -> Buffers:
    """Three ``(rows, width, 3)`` float32 arrays that this thread uses again and again: memory
    that the system hands out anew costs as much as the arithmetic."""
    size = rows * width * 3
    flat = getattr(_scratch, 'flat', None)
    if flat is None or flat.shape[1] < size:
        flat = _scratch.flat = np.empty((3, size), np.float32)
    return tuple(part[:size].reshape(rows, width, 3) for part in flat)


@functools.lru_cache(maxsize=2)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """One pool a process: a forked data loader worker must not use its parent's threads."""
    del process
    return ThreadPoolExecutor(threads, thread_name_prefix='cellkit-stain')
