"""Photographs a smear: light through its density, lens, sensor, file."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.random import Generator

from cellkit.smears.looks import Look

_TILE = 1024
_STEPS = 4  # widths of noise are rounded to this many steps an octave


@cache
def _tile(step: int | None = None) -> np.ndarray:
    """(1024, 1024) float32 noise of deviation 1, the same in every process, seamless.

    Smears show windows of it: noise is drawn once a process and not once a smear. White if `step`
    is None, else smooth over `2 ** (step / _STEPS)` pixels.
    """
    if step is None:
        return np.random.default_rng(16001200).standard_normal((_TILE, _TILE), np.float32)
    sigma = 2 ** (step / _STEPS)
    margin = int(4 * sigma) + 2
    smooth = cv2.GaussianBlur(np.pad(_tile(), margin, mode='wrap'), (0, 0), sigma)
    smooth = smooth[margin:-margin, margin:-margin]
    return np.ascontiguousarray(smooth / smooth.std())


def noise(rng: Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """(H, W) float32 Gaussian noise of standard deviation 1, smooth over about `sigma` pixels."""
    tile = _tile(round(_STEPS * np.log2(sigma)) if sigma > 0.3 else None)
    flip = np.s_[:: 1 if rng.random() < 0.5 else -1, :: 1 if rng.random() < 0.5 else -1]
    if max(shape) > _TILE:
        rows, columns = (np.arange(n) + rng.integers(_TILE) for n in shape)
        return tile[flip][rows % _TILE][:, columns % _TILE]
    y, x = (int(rng.integers(_TILE - n + 1)) for n in shape)
    return tile[y : y + shape[0], x : x + shape[1]][flip]


def streaks(rng: Generator, shape: tuple[int, int], length: float, width: float) -> np.ndarray:
    """(H, W) float32 in 0..1: threads of debris, all along one direction."""
    turn, bend = rng.uniform(0, np.pi), np.array([1 / length, 1 / width])
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    matrix = np.column_stack([bend[:, None] * rotation, rng.uniform(0, _TILE, 2)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    waves = cv2.warpAffine(_tile(), matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_WRAP)
    return np.clip((waves - np.float32(rng.uniform(1.4, 2.0))) / 2, 0, 1)


def photograph(
    rng: Generator, density: np.ndarray, look: Look, background: np.ndarray, scale: float
) -> np.ndarray:
    """The picture of a smear.

    Args:
        rng: Random generator.
        density: (3, H, W) float32 optical density, RGB; overwritten.
        look: Of the slide.
        background: (3,) RGB of the empty slide, 0..1.
        scale: Pixels a pixel of the reference size.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    shape = density.shape[1:]
    texture = noise(rng, shape, rng.uniform(0.8, 1.8) * max(scale, 0.5))
    density *= 1 + np.float32(rng.uniform(0.05, 0.14)) * texture
    np.negative(density, out=density)
    light = np.exp(density, out=density)
    vignette = np.float32(rng.uniform(*look.vignette) / 2)
    cy, cx = rng.uniform(-0.4, 0.4, 2).astype(np.float32)
    yy = (np.linspace(-1, 1, shape[0], dtype=np.float32) - cy)[:, None] ** 2
    xx = (np.linspace(-1, 1, shape[1], dtype=np.float32) - cx)[None, :] ** 2
    lamp = 1 - vignette * yy - vignette * xx
    blur = max(rng.uniform(*look.blur) * scale, 0.3)
    fringe = np.clip(rng.normal(0.0, 0.25), -0.8, 0.8)  # red and blue, a fraction of a pixel apart
    sharpening = rng.uniform(0.0, 0.35) if rng.random() < 0.85 else rng.uniform(0.35, 1.0)
    strength, fine = rng.uniform(*look.grain), rng.uniform(0.4, 0.9)
    grain = np.float32(0.75 * strength) * noise(rng, shape, fine)
    mottle = rng.uniform(0.4, 1.3) * strength
    grain += np.float32(mottle) * noise(rng, shape, rng.uniform(1.0, 2.5))
    coloured = rng.uniform(0.2, 0.5) * strength
    planes = []
    for plane, colour, shift in zip(light, background, (fringe, 0.0, -fringe), strict=True):
        plane *= lamp
        plane = cv2.GaussianBlur(plane, (0, 0), blur)
        if shift:
            moved = np.s_[:, 1:] if shift > 0 else np.s_[:, :-1]
            plane[moved] -= np.float32(shift) * np.diff(plane, axis=1)
        smooth = cv2.GaussianBlur(plane, (0, 0), 2.5 * max(scale, 0.4))
        full = 255 * float(colour)
        plane = cv2.addWeighted(plane, full * (1 + sharpening), smooth, -full * sharpening, 0)
        plane += grain
        plane += np.float32(coloured) * noise(rng, shape, 1.4 * fine)
        planes.append(cv2.convertScaleAbs(np.maximum(plane, 0, out=plane)))
    if rng.random() < 0.12:  # some microscopes keep JPEG files
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))]
        file = cv2.imencode('.jpg', cv2.merge(planes[::-1]), quality)[1]
        planes = cv2.split(cv2.imdecode(file, cv2.IMREAD_COLOR))[::-1]
    return cv2.merge(planes)


def scale_bar(image: np.ndarray, scale: float) -> None:
    """A bar with its length, as microscope software burns in at the lower right."""
    height, width = image.shape[:2]
    length, margin = int(230 * scale), int(30 * scale)
    y, x = height - margin, width - margin - length
    thick = max(1, round(3 * scale))
    black = (20, 20, 20)
    cv2.line(image, (x, y), (x + length, y), black, thick)
    for end in (x, x + length):
        cv2.line(image, (end, y - int(8 * scale)), (end, y + int(8 * scale)), black, thick)
    place = (x + int(75 * scale), y - int(14 * scale))
    font, pen = cv2.FONT_HERSHEY_SIMPLEX, max(1, thick // 2)
    cv2.putText(image, '20 um', place, font, 0.9 * scale, black, pen, cv2.LINE_AA)
