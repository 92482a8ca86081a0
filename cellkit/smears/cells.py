"""Draws single blood cells, parasites and debris as optical-density patches.

Everything here is a small window with the light that it swallows (optical density, base e, RGB)
and, for cells, the signed distance to the outline, so that `cellkit.smears.scene` can stack the
windows on one canvas. Arithmetic is float64 throughout: the last-digit differences between
machines then vanish when the finished picture is rounded to 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

_ANGLES = 720
_PURPLE = np.array([0.75, 1.55, 0.55])  # chromatin under Giemsa: takes green first
_PINK = np.array([0.18, 0.85, 0.42])
_BROWN = np.array([0.9, 1.15, 1.5])  # malaria pigment


@dataclass(frozen=True)
class Edge:
    """How outlines look on one slide, in pixels.

    Attributes:
        soft: Half width of the step from background to cell; large out of focus.
        bevel: Width of the rim over which a cell grows to its full thickness.
        glow: Optical density that the bright line just outside lacks; negative for a dark line.
    """

    soft: float = 1.0
    bevel: float = 6.0
    glow: float = 0.0


@dataclass
class Patch:
    """A window of the smear, with coordinates of the one thing in it.

    Attributes:
        y: Row of the window's first line on the canvas; may be negative.
        x: Column of the window's first pixel; may be negative.
        along: (h, w) coordinate along the thing's long axis, in radii.
        across: (h, w) coordinate across it, in radii.
        depth: (h, w) signed distance to the outline in pixels, positive inside.
        density: (h, w, 3) optical density (natural logarithm, RGB order); None until it is drawn.
    """

    y: int
    x: int
    along: np.ndarray
    across: np.ndarray
    depth: np.ndarray
    density: np.ndarray | None = None


def _outline(rng: Generator, kind: str, roughness: float) -> np.ndarray:
    """Relative radius at `_ANGLES` equal steps around the cell, mean near 1."""
    theta = np.linspace(0.0, 2 * np.pi, _ANGLES, endpoint=False)
    radius = np.ones(_ANGLES)
    for order in range(2, 7):
        amplitude = rng.normal(0.0, roughness / order**1.2)
        radius += amplitude * np.cos(order * theta + rng.uniform(0, 2 * np.pi))

    def away(at: float) -> np.ndarray:
        return (theta - at + np.pi) % (2 * np.pi) - np.pi

    if kind in ('tear', 'lemon'):
        at = rng.uniform(0, 2 * np.pi)
        for turn in (0.0, np.pi)[: 2 if kind == 'lemon' else 1]:
            width = rng.uniform(0.14, 0.4)
            radius += rng.uniform(0.25, 0.6) * np.exp(-np.abs(away(at + turn)) / width)
    if kind == 'burr':
        count = int(rng.integers(9, 21))
        places = (np.arange(count) + rng.uniform(-0.28, 0.28, count)) * (2 * np.pi / count)
        width = rng.uniform(0.25, 0.36) * 2 * np.pi / count
        for at, height in zip(places, rng.uniform(0.05, 0.17, count), strict=True):
            radius += height * np.exp(-((away(at) / width) ** 2))
        radius /= 1.06
    if kind == 'bitten':
        at, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6)
        radius -= rng.uniform(0.15, 0.35) * np.exp(-((away(at) / width) ** 2))
    return np.clip(radius, 0.35, 2.0)


def _window(
    rng: Generator,
    centre: tuple[float, float],
    radius: float,
    kind: str,
    roughness: float = 0.05,
    aspect: float = 1.0,
    margin: float = 4.0,
) -> Patch:
    """Window around one outline; `centre` is (y, x), `aspect` the long over the short axis."""
    outline = _outline(rng, kind, roughness)
    bend = rng.uniform(0.2, 0.4) if kind == 'sickle' else 0.0
    if kind == 'sickle':
        aspect = rng.uniform(1.8, 2.6)
    long, short = np.sqrt(aspect), 1 / np.sqrt(aspect)
    reach = int(np.ceil(radius * (outline.max() * long * (1 + 0.4 * bend)) + margin))
    y0, x0 = int(np.floor(centre[0])) - reach, int(np.floor(centre[1])) - reach
    side = 2 * reach + 2
    yy, xx = np.mgrid[0:side, 0:side].astype(np.float64)
    dy, dx = (yy + y0 - centre[0]) / radius, (xx + x0 - centre[1]) / radius
    turn = rng.uniform(0, 2 * np.pi)
    along = np.cos(turn) * dx + np.sin(turn) * dy
    across = -np.sin(turn) * dx + np.cos(turn) * dy + bend * (along**2 - 0.5)
    along, across = along / long, across / short
    rho = np.hypot(along, across)
    position = (np.arctan2(across, along) / (2 * np.pi) % 1.0) * _ANGLES
    index = position.astype(np.int64)
    part = position - index
    table = np.append(outline, outline[:2])
    limit = table[index] * (1 - part) + table[index + 1] * part
    slope = (table[index + 1] - table[index]) * (_ANGLES / (2 * np.pi))
    depth = (limit - rho) / np.sqrt(1 + (slope / limit) ** 2) * radius
    if aspect > 1:  # stretched coordinates overstate the distance along the short axis
        direction = np.hypot(along / long, across / short) / np.maximum(rho, 1e-9)
        depth = depth / np.maximum(direction, 1 / long)  # never less, but at the very centre
    return Patch(y0, x0, along, across, depth)


def _coverage(depth: np.ndarray, soft: float) -> np.ndarray:
    """0 outside, 1 inside, a smooth step `2 * soft` pixels wide at the outline."""
    step = np.clip(0.5 + depth / (2 * soft), 0.0, 1.0)
    return step * step * (3 - 2 * step)


def _spots(patch: Patch, spots: np.ndarray) -> np.ndarray:
    """Sum of round bumps; `spots` is (n, 4): x, y, radius (relative to the cell's), height."""
    total = np.zeros_like(patch.along)
    for x, y, radius, height in spots:
        square = ((patch.along - x) ** 2 + (patch.across - y) ** 2) / radius**2
        near = square < 9.0
        total[near] += height * np.exp(-square[near])
    return total


def _inside(rng: Generator, count: int, reach: float) -> np.ndarray:
    """`count` random points (x, y) of a disc of radius `reach`."""
    rho, theta = reach * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    return np.stack([rho * np.cos(theta), rho * np.sin(theta)], axis=1)


def _scatter(
    rng: Generator, count: int, reach: float, size: tuple[float, float], height: tuple[float, float]
) -> np.ndarray:
    return np.column_stack(
        [_inside(rng, count, reach), rng.uniform(*size, count), rng.uniform(*height, count)]
    )


def _thickness(rng: Generator, patch: Patch, kind: str, pallor: float, bevel: float) -> np.ndarray:
    """Relative thickness of a red cell: 1 within the rim, `1 - pallor` in the pale centre."""
    slope = 1 - np.clip(patch.depth / bevel, 0.0, 1.0)
    body = 1 - rng.uniform(0.6, 0.9) * slope**2
    ox, oy = rng.normal(0.0, 0.09, 2)
    wide, narrow = rng.uniform(0.38, 0.68), 1.0
    if kind == 'stoma':
        wide, narrow = rng.uniform(0.45, 0.65), rng.uniform(0.3, 0.55)
    turn = rng.uniform(0, np.pi)
    px = np.cos(turn) * (patch.along - ox) + np.sin(turn) * (patch.across - oy)
    py = -np.sin(turn) * (patch.along - ox) + np.cos(turn) * (patch.across - oy)
    steep = rng.uniform(0.8, 2.2)
    dent = np.exp(-(((px / wide) ** 2 + (py / (wide * narrow)) ** 2) ** steep))
    if kind == 'burr':
        body = body * (1 - 0.5 * pallor * dent)
        bumps = _scatter(rng, int(rng.integers(8, 22)), 0.85, (0.08, 0.16), (0.1, 0.6))
        gaps = _scatter(rng, int(rng.integers(3, 12)), 0.65, (0.06, 0.16), (0.3, 0.9))
        body = body * 0.85 + _spots(patch, bumps) - pallor * _spots(patch, gaps)
        body = np.clip(body, 0.15, 1.5)
    else:
        body = body * (1 - pallor * dent)
    if kind == 'target':
        body = body + 0.45 * pallor * np.exp(-(patch.along**2 + patch.across**2) / 0.03)
    if kind == 'fold':
        crease = np.exp(-(((px + 0.3 * py**2) / 0.08) ** 2))
        body = body * (1 - 0.5 * crease) + 0.25 * (px > 0)
    lean = rng.normal(0.0, 0.1, 2)
    return body * (1 + lean[0] * patch.along + lean[1] * patch.across)


def red_cell(
    rng: Generator,
    centre: tuple[float, float],
    radius: float,
    kind: str,
    stain: np.ndarray,
    pallor: float,
    edge: Edge = Edge(),
    parasite: str | None = None,
    stretch: float = 1.0,
) -> Patch:
    """One red cell, healthy or parasitised.

    Args:
        rng: Random generator; the only source of chance.
        centre: (y, x) in pixels.
        radius: Radius in pixels of the disc of about the same area.
        kind: "disc", "stoma", "target", "burr", "fold", "tear", "lemon", "bitten" or "sickle".
        stain: (3,) optical density of a cell of thickness 1.
        pallor: Depth of the pale centre, 0 (none) to 1.
        edge: How the outline looks.
        parasite: None, "ring", "trophozoite", "schizont" or "gametocyte".
        stretch: Length over width, beside what chance gives.
    """
    aspect = stretch + abs(rng.normal(0.0, 0.13))
    roughness = 0.03 + 0.06 * rng.random()
    patch = _window(rng, centre, radius, kind, roughness, aspect, margin=4 + 4 * edge.soft)
    cover = _coverage(patch.depth, edge.soft)
    if parasite in ('trophozoite', 'schizont', 'gametocyte'):
        body = 0.6 + 0.3 * _thickness(rng, patch, 'disc', 0.2, edge.bevel)
        stain = stain * rng.uniform(0.35, 0.75) + _PINK * rng.uniform(0.1, 0.35)
    else:
        body = _thickness(rng, patch, kind, pallor, edge.bevel)
    density = (cover * body)[..., None] * stain
    if edge.glow:
        line = edge.glow * np.exp(-((patch.depth / edge.soft + 2.5) ** 2) / 4)
        density -= line[..., None] * (stain / stain.max())
    if parasite:
        density += cover[..., None] * _parasite(rng, patch, parasite)
    return replace(patch, density=density)


def _parasite(rng: Generator, patch: Patch, stage: str) -> np.ndarray:
    """(h, w, 3) optical density that a parasite adds to its cell."""
    if stage == 'ring':
        (cx, cy), size = _inside(rng, 1, 0.45)[0], rng.uniform(0.16, 0.28)
        rho = np.hypot(patch.along - cx, patch.across - cy)
        circle = 0.5 * np.exp(-(((rho - size) / 0.05) ** 2))
        at = rng.uniform(0, 2 * np.pi)
        dot = _spots(patch, np.array([[cx + size * np.cos(at), cy + size * np.sin(at), 0.08, 1.3]]))
        return (circle + dot)[..., None] * _PURPLE
    if stage == 'schizont':
        dots = _scatter(rng, int(rng.integers(8, 17)), 0.7, (0.09, 0.14), (0.7, 1.2))
        pigment = _scatter(rng, 5, 0.25, (0.05, 0.1), (0.4, 0.9))
    elif stage == 'gametocyte':
        dots = np.array(
            [[*_inside(rng, 1, 0.15)[0], 0.85, 0.5], [*_inside(rng, 1, 0.3)[0], 0.3, 0.6]]
        )
        pigment = _scatter(rng, int(rng.integers(15, 40)), 0.8, (0.03, 0.06), (0.2, 0.7))
    else:
        at = _inside(rng, 1, 0.3)[0]
        dots = _scatter(rng, int(rng.integers(4, 9)), 0.35, (0.14, 0.3), (0.3, 0.7))
        dots[:, :2] += at
        pigment = _scatter(rng, int(rng.integers(8, 30)), 0.85, (0.025, 0.06), (0.2, 0.8))
    violet = _spots(patch, dots)[..., None] * _PURPLE
    return violet + _spots(patch, pigment)[..., None] * (0.5 * _BROWN + 0.5 * _PURPLE)


def white_cell(
    rng: Generator, centre: tuple[float, float], radius: float, soft: float = 1.0
) -> Patch:
    """One white cell: pale granular cytoplasm and a dark, often lobed nucleus."""
    patch = _window(rng, centre, radius, 'disc', 0.07, 1 + 0.3 * rng.random(), margin=3 + 2 * soft)
    cover = _coverage(patch.depth, soft)
    grains = _spots(patch, _scatter(rng, 60, 0.95, (0.03, 0.07), (0.05, 0.25)))
    tint = np.array([0.45, 0.75, 0.2]) * rng.uniform(0.7, 1.3, 3)
    lobes = int(rng.integers(1, 5))
    size = (0.5, 0.7) if lobes == 1 else (0.25, 0.38)
    nucleus = _spots(patch, _scatter(rng, lobes, 0.15 if lobes == 1 else 0.5, size, (1.2, 1.8)))
    nucleus = np.minimum(nucleus, 0.9) * (1 + 0.6 * grains)
    density = (0.6 + 0.8 * grains)[..., None] * tint + 1.3 * nucleus[..., None] * _PURPLE
    return replace(patch, density=cover[..., None] * density)


def platelet(rng: Generator, centre: tuple[float, float], radius: float) -> Patch:
    """A platelet: a small granular pink to violet body. It is not a cell in the masks."""
    patch = _window(rng, centre, radius, 'disc', 0.18, 1 + 0.6 * rng.random())
    grains = _spots(patch, _scatter(rng, 12, 0.7, (0.12, 0.28), (0.2, 0.6)))
    cover = _coverage(patch.depth, 2.0)
    colour = _PINK + (_PURPLE - _PINK) * rng.random()
    return replace(
        patch, density=(cover * (0.35 + grains))[..., None] * colour * rng.uniform(0.6, 1.0)
    )


def debris(rng: Generator, centre: tuple[float, float], radius: float, stain: np.ndarray) -> Patch:
    """Dirt: a dark speck, a crumb of stain or a pale smudge, whichever the generator draws."""
    sort = rng.random()
    colour = stain * rng.uniform(0.6, 1.4) if sort < 0.5 else _PURPLE * rng.uniform(0.5, 1.1)
    if sort > 0.8:
        colour = np.full(3, rng.uniform(0.5, 1.5))
    patch = _window(rng, centre, radius, 'bitten', 0.25, 1 + 1.5 * rng.random())
    soft = rng.uniform(0.8, max(1.0, 0.7 * radius))
    return replace(patch, density=_coverage(patch.depth, soft)[..., None] * colour)


def smudge(
    rng: Generator, shape: tuple[int, int], colour: np.ndarray, size: float, ragged: float
) -> np.ndarray:
    """(h, w, 3) density of a wide cloud: a smeared white cell, spilt stain, cells far off focus."""
    height, width = shape
    small = (height // 8 + 2, width // 8 + 2)
    cy, cx = rng.uniform(0, height) / 8, rng.uniform(0, width) / 8
    yy, xx = np.mgrid[0 : small[0], 0 : small[1]].astype(np.float64)
    wave = cv2.GaussianBlur(rng.standard_normal(small), (0, 0), max(size / 32, 0.8))
    wave /= max(wave.std(), 1e-9)
    rho = np.hypot((yy - cy) * rng.uniform(0.6, 1.7), xx - cx) * 8 / size + ragged * wave
    cloud = np.exp(-(np.maximum(rho, 0) ** 2)) * np.clip(0.8 + ragged * wave, 0, None)
    cloud = cv2.resize(cloud, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(cloud, 0, None)[..., None] * colour
