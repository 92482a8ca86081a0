"""Draws single blood cells, parasites and debris as optical-density patches.

Everything here is a small window with the light that it swallows (optical density, base e, RGB)
and, for cells, the signed distance to the outline, so that `cellkit.smears.canvas` can stack the
windows. Arithmetic is float32: a smear is drawn for every training step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

_ANGLES = 360
_THETA = np.linspace(0.0, 2 * np.pi, _ANGLES, endpoint=False)
_ORDERS = np.arange(2, 9)
_WAVES = np.exp(1j * _ORDERS[:, None] * _THETA)
_PURPLE = np.float32([0.75, 1.55, 0.55])  # chromatin under Giemsa: takes green first
_PINK = np.float32([0.18, 0.85, 0.42])
_BROWN = np.float32([0.9, 1.15, 1.5])  # malaria pigment


@dataclass(frozen=True)
class Edge:
    """How outlines look on one slide, in pixels.

    Attributes:
        soft: Half width of the step from background to cell; large out of focus.
        bevel: Width of the rim over which a cell grows to its full thickness.
        glow: Optical density that the bright line just outside lacks; negative for a dark line.
        mask: Where the mask ends: signed distance to the outline, negative outside.
        opaque: Share of the density beneath that a cell hides, 0 (cells darken each other) to 1.
        gap: The same for a line just outside, where cells that press each other stay apart.
    """

    soft: float = 1.0
    bevel: float = 6.0
    glow: float = 0.0
    mask: float = 0.0
    opaque: float = 0.0
    gap: float = 0.0


@dataclass
class Patch:
    """A window of the smear, with coordinates of the one thing in it.

    Attributes:
        y: Row of the window's first line on the canvas; may be negative.
        x: Column of the window's first pixel; may be negative.
        along: (h, w) coordinate along the thing's long axis, in radii.
        across: (h, w) coordinate across it, in radii.
        depth: (h, w) signed distance to the end of its mask in pixels, positive inside.
        density: (3, h, w) optical density (natural logarithm, RGB order); None until it is drawn.
        axes: (2, 2) window pixels (y, x) a unit of `along` and one of `across` are long.
        middle: (y, x) of the thing's centre, in pixels of the window.
        hides: (h, w) share of the density beneath that it hides; None if it hides nothing.
        gap: Width in pixels, and share of the density that lacks, of a line to a pressed neighbour.
    """

    y: int
    x: int
    along: np.ndarray
    across: np.ndarray
    depth: np.ndarray
    density: np.ndarray | None = None
    axes: np.ndarray | None = None
    middle: tuple[float, float] = (0.0, 0.0)
    hides: np.ndarray | None = None
    gap: tuple[float, float] = (1.0, 0.0)


def _bump(at: float, width: float, power: float = 2.0) -> np.ndarray:
    """A bump of height 1 around the angle `at`, `width` wide; a peak for `power` 1."""
    away = np.abs((_THETA - at + np.pi) % (2 * np.pi) - np.pi)
    return np.exp(-((away / width) ** power))


def _outline(rng: Generator, kind: str, roughness: float) -> np.ndarray:
    """Relative radius at `_ANGLES` equal steps around the cell, mean near 1."""
    radius = np.ones(_ANGLES)
    if kind == 'amoeba':
        roughness = rng.uniform(0.15, 0.3)
    amplitude = rng.normal(0.0, roughness / _ORDERS**1.2)
    turns = rng.uniform(0, 2 * np.pi, len(_ORDERS))
    radius += ((amplitude * np.exp(1j * turns)) @ _WAVES).real
    if kind in ('tear', 'lemon'):
        at = rng.normal(0.0, 0.15)  # the long axis
        for turn in (0.0, np.pi)[: 2 if kind == 'lemon' else 1]:
            height, width = rng.uniform(0.15, 0.6), rng.uniform(0.14, 0.4)
            radius += height * _bump(at + turn, width, 1.0)
    if kind == 'burr':
        count = int(rng.integers(9, 21))
        places = (np.arange(count) + rng.uniform(-0.28, 0.28, count)) * (2 * np.pi / count)
        width = rng.uniform(0.2, 0.36) * 2 * np.pi / count
        for at, height in zip(places, rng.uniform(0.04, 0.18, count), strict=True):
            radius += height * _bump(at, width)
        radius /= 1.05
    if kind == 'bitten':
        radius -= rng.uniform(0.15, 0.35) * _bump(rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6))
    if kind == 'torn':
        for _ in range(int(rng.integers(2, 6))):
            height, width = rng.uniform(-0.3, 0.3), rng.uniform(0.1, 0.35)
            radius += height * _bump(rng.uniform(0, 2 * np.pi), width, 1.3)
    return np.clip(radius, 0.35, 2.0)


def _window(
    rng: Generator,
    centre: tuple[float, float],
    radius: float,
    kind: str,
    roughness: float = 0.05,
    aspect: float = 1.0,
    margin: float = 4.0,
    turn: float | None = None,
) -> Patch:
    """Window around one outline; `aspect` is the long over the short axis, `turn` their angle."""
    outline = _outline(rng, kind, roughness)
    bend = rng.uniform(0.2, 0.4) if kind == 'sickle' else 0.0
    if kind == 'sickle':
        aspect = rng.uniform(1.8, 2.6)
    long, short = np.sqrt(aspect), 1 / np.sqrt(aspect)
    reach = int(np.ceil(radius * (outline.max() * long * (1 + 0.4 * bend)) + margin))
    y0, x0 = int(np.floor(centre[0])) - reach, int(np.floor(centre[1])) - reach
    middle = (centre[0] - y0, centre[1] - x0)
    step = np.arange(2 * reach + 2, dtype=np.float32)
    dy = ((step - np.float32(middle[0])) / np.float32(radius))[:, None]
    dx = ((step - np.float32(middle[1])) / np.float32(radius))[None, :]
    turn = rng.uniform(0, 2 * np.pi) if turn is None else turn
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along = cos * dx + sin * dy
    across = cos * dy - sin * dx
    if bend:
        across += np.float32(bend) * (along**2 - np.float32(0.5))
    along /= np.float32(long)
    across /= np.float32(short)
    rho = np.sqrt(along * along + across * across)
    position = cv2.phase(along, across) * np.float32(_ANGLES / (2 * np.pi))
    index = np.minimum(position.astype(np.int32), _ANGLES)
    table = np.concatenate([outline, outline[:2]]).astype(np.float32)
    rise = table[1:] - table[:-1]
    table = table[:-1]
    limit = table[index] + rise[index] * (position - index)
    steep = (rise * (_ANGLES / (2 * np.pi)) / table) ** 2
    depth = (limit - rho) * (radius / np.sqrt(1 + steep))[index]
    if aspect > 1.02:  # stretched coordinates overstate the distance along the short axis
        direction = np.sqrt((along / long) ** 2 + (across / short) ** 2)
        direction /= np.maximum(rho, np.float32(1e-6))
        depth /= np.maximum(direction, np.float32(1 / long))  # never less, but at the very centre
    axes = radius * np.array([[sin * long, cos * long], [cos * short, -sin * short]])
    return Patch(y0, x0, along, across, depth.astype(np.float32), None, axes, middle)


def coverage(depth: np.ndarray, soft: float) -> np.ndarray:
    """0 outside, 1 inside, a smooth step `2 * soft` pixels wide at the outline."""
    step = np.clip(np.float32(0.5) + depth * np.float32(0.5 / soft), 0, 1)
    return step * step * (3 - 2 * step)


def thickness(depth: np.ndarray, bevel: float, steep: float) -> np.ndarray:
    """Relative thickness of a cell's rim: 1 from `bevel` px inside the outline on."""
    slope = 1 - np.clip(depth * np.float32(1 / bevel), 0, 1)
    return 1 - np.float32(steep) * slope * slope


def _tinted(amount: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(3, h, w) density of an amount (h, w) of something of one colour (3,)."""
    return amount * np.asarray(colour, np.float32)[:, None, None]


def _spots(patch: Patch, spots: np.ndarray) -> np.ndarray:
    """Sum of round bumps; `spots` is (n, 4): along, across, radius (in radii of the cell), height.

    A Gaussian is the product of one factor a row and one a column: all of them are one product.
    """
    spots = np.asarray(spots, np.float64)
    places = spots[:, :2] @ patch.axes + np.array(patch.middle)
    size = np.sqrt(abs(np.linalg.det(patch.axes))) * spots[:, 2]
    height, width = patch.depth.shape
    rows = (np.arange(height) - places[:, :1]) / size[:, None]
    columns = (np.arange(width) - places[:, 1:]) / size[:, None]
    rows = spots[:, 3:] * np.exp(-(rows**2))
    columns = np.exp(-(columns**2)).astype(np.float32)
    # Not `@`: BLAS would start threads in each of the data loader's processes.
    return cv2.gemm(rows.astype(np.float32), columns, 1.0, None, 0.0, flags=cv2.GEMM_1_T)


def _inside(rng: Generator, count: int, reach: float) -> np.ndarray:
    """`count` random points (along, across) of a disc of radius `reach`."""
    rho, theta = reach * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    return np.stack([rho * np.cos(theta), rho * np.sin(theta)], axis=1)


def _scatter(
    rng: Generator, count: int, reach: float, size: tuple[float, float], height: tuple[float, float]
) -> np.ndarray:
    return np.column_stack(
        [_inside(rng, count, reach), rng.uniform(*size, count), rng.uniform(*height, count)]
    )


def _body(rng: Generator, patch: Patch, kind: str, pallor: float, bevel: float) -> np.ndarray:
    """Relative thickness of a red cell: 1 within the rim, `1 - pallor` in the pale centre."""
    body = thickness(patch.depth, bevel, rng.uniform(0.6, 0.9))
    offset = rng.normal(0.0, 0.09, 2)
    wide, narrow = rng.uniform(0.38, 0.68), 1.0
    if kind == 'stoma':
        wide, narrow = rng.uniform(0.45, 0.65), rng.uniform(0.3, 0.55)
    turn = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    px = cos * patch.along + sin * patch.across - np.float32(offset[0])
    py = cos * patch.across - sin * patch.along - np.float32(offset[1])
    pallor = np.float32(pallor)
    steep = np.float32(rng.uniform(0.8, 2.2))
    square = (px * np.float32(1 / wide)) ** 2 + (py * np.float32(1 / (wide * narrow))) ** 2
    dent = np.exp(-(square if kind == 'burr' else square**steep))
    if kind == 'burr':
        body *= 1 - np.float32(0.5) * pallor * dent
        bumps = _scatter(rng, int(rng.integers(8, 26)), 0.9, (0.07, 0.2), (0.15, 0.8))
        gaps = _scatter(rng, int(rng.integers(2, 9)), 0.7, (0.08, 0.25), (0.2, 0.9))
        gaps[:, 3] *= -pallor
        body = body * np.float32(rng.uniform(0.7, 1.0))
        body += _spots(patch, np.concatenate([bumps, gaps]))
        np.clip(body, 0.15, 1.7, out=body)
    elif kind == 'bowl':  # a cup seen aslant: a pale crescent beside a dark one
        shift = np.float32(rng.uniform(0.15, 0.35))
        beside = np.exp(-((square + 2 * shift * px / wide**2 + (shift / wide) ** 2) ** steep))
        body *= 1 - pallor * np.clip(dent - np.float32(0.85) * beside, 0, 1)
        body += np.float32(rng.uniform(0.0, 0.35)) * beside
    else:
        body *= 1 - pallor * dent
    if kind == 'target':
        body += np.float32(0.45) * pallor * np.exp(-(patch.along**2 + patch.across**2) / 0.03)
    if kind == 'fold':
        away = px + np.float32(rng.uniform(-0.5, 0.5)) * py**2
        crease = np.exp(-((away * np.float32(1 / rng.uniform(0.07, 0.2))) ** 2))
        body *= 1 - np.float32(rng.uniform(-0.3, 0.6)) * crease
        body += np.float32(rng.uniform(0.0, 0.3)) * coverage(away, 0.1)
    lean = rng.normal(0.0, 0.17, 2).astype(np.float32)
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
    turn: float | None = None,
) -> Patch:
    """One red cell, healthy or parasitised.

    Args:
        rng: Random generator; the only source of chance.
        centre: (y, x) in pixels.
        radius: Radius in pixels of the disc of about the same area.
        kind: "disc", "bowl", "stoma", "target", "burr", "fold", "tear", "lemon", "bitten", "torn",
            "sickle", "oval" or "amoeba".
        stain: (3,) optical density of a cell of thickness 1.
        pallor: Depth of the pale centre, 0 (none) to 1.
        edge: How the outline looks.
        parasite: None, "ring", "trophozoite", "schizont" or "gametocyte".
        turn: Angle of the long axis, radians; by chance if None.
    """
    aspect = 1 + abs(rng.normal(0.0, 0.13))
    if kind in ('oval', 'lemon', 'tear'):
        aspect = rng.uniform(1.1, 2.0)
    elif kind == 'amoeba':
        aspect = rng.uniform(1.0, 1.9)
    roughness = 0.03 + 0.06 * rng.random()
    margin = 4 + 4 * edge.soft
    patch = _window(rng, centre, radius, kind, roughness, aspect, margin, turn)
    cover = coverage(patch.depth, edge.soft)
    stain = np.asarray(stain, np.float32)
    if parasite in ('trophozoite', 'schizont', 'gametocyte'):
        body = np.float32(0.6) + np.float32(0.3) * _body(rng, patch, 'disc', 0.2, edge.bevel)
        stain = stain * rng.uniform(0.35, 0.75) + _PINK * rng.uniform(0.1, 0.35)
    else:
        body = _body(rng, patch, kind, pallor, edge.bevel)
    body *= cover
    if edge.glow:
        body -= np.float32(edge.glow / stain.max()) * np.exp(
            -((patch.depth * np.float32(1 / edge.soft) + np.float32(2.5)) ** 2) / 4
        )
    hides = np.float32(edge.opaque) * cover if edge.opaque else None
    if edge.gap:
        away = patch.depth * np.float32(0.7 / edge.soft) + np.float32(1.6)
        line = np.float32(edge.gap) * np.exp(-(away * away))
        hides = line if hides is None else np.maximum(hides, line)
    density = _tinted(body, stain)
    if parasite:
        density += cover * _parasite(rng, patch, parasite)
    depth = patch.depth - np.float32(edge.mask)
    gap = (1.5 * edge.soft, edge.gap)
    return replace(patch, depth=depth, density=density, hides=hides, gap=gap)


def _parasite(rng: Generator, patch: Patch, stage: str) -> np.ndarray:
    """(3, h, w) optical density that a parasite adds to its cell."""
    if stage == 'ring':
        (cx, cy), size = _inside(rng, 1, 0.45)[0], rng.uniform(0.16, 0.28)
        rho = np.hypot(patch.along - np.float32(cx), patch.across - np.float32(cy))
        circle = np.float32(0.5) * np.exp(-(((rho - np.float32(size)) / np.float32(0.05)) ** 2))
        at = rng.uniform(0, 2 * np.pi)
        dot = _spots(patch, np.array([[cx + size * np.cos(at), cy + size * np.sin(at), 0.08, 1.3]]))
        return _tinted(circle + dot, _PURPLE)
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
    violet = _tinted(_spots(patch, dots), _PURPLE)
    return violet + _tinted(_spots(patch, pigment), 0.5 * _BROWN + 0.5 * _PURPLE)


def white_cell(
    rng: Generator, centre: tuple[float, float], radius: float, edge: Edge = Edge()
) -> Patch:
    """One white cell: pale granular cytoplasm and a dark, often lobed nucleus."""
    soft = edge.soft
    aspect = 1 + 0.3 * rng.random()
    patch = _window(rng, centre, radius, 'disc', 0.07, aspect, margin=4 + 2 * soft)
    cover = coverage(patch.depth, soft)
    grains = _spots(patch, _scatter(rng, 60, 0.95, (0.03, 0.07), (0.05, 0.25)))
    tint = np.float32([0.45, 0.75, 0.2]) * rng.uniform(0.7, 1.3, 3).astype(np.float32)
    lobes = int(rng.integers(1, 5))
    size = (0.5, 0.9) if lobes == 1 else (0.25, 0.38)
    nucleus = _spots(patch, _scatter(rng, lobes, 0.15 if lobes == 1 else 0.5, size, (1.2, 1.8)))
    nucleus = np.minimum(nucleus, np.float32(0.9)) * (1 + np.float32(0.6) * grains)
    density = _tinted(np.float32(0.6) + np.float32(0.8) * grains, tint)
    density += _tinted(nucleus, 1.3 * _PURPLE)
    density *= cover
    return replace(patch, depth=patch.depth - np.float32(edge.mask), density=density)


def platelet(rng: Generator, centre: tuple[float, float], radius: float) -> Patch:
    """A platelet: a small granular pink to violet body. It is not a cell in the masks."""
    kind = 'torn' if rng.random() < 0.5 else 'disc'
    patch = _window(rng, centre, radius, kind, 0.18, 1 + 0.6 * rng.random())
    grains = _spots(patch, _scatter(rng, 12, 0.7, (0.12, 0.28), (0.2, 0.6)))
    cover = coverage(patch.depth, max(0.1 * radius, 1.0))
    colour = (_PINK + (_PURPLE - _PINK) * np.float32(rng.random())) * rng.uniform(0.6, 1.3)
    density = _tinted(cover * (np.float32(0.35) + grains), colour)
    return replace(patch, density=density)


def debris(rng: Generator, centre: tuple[float, float], radius: float, stain: np.ndarray) -> Patch:
    """Dirt: a dark speck, a crumb of stain or a pale smudge, whichever the generator draws."""
    sort = rng.random()
    colour = stain * rng.uniform(0.6, 1.4) if sort < 0.5 else _PURPLE * rng.uniform(0.5, 1.1)
    if sort > 0.8:
        colour = np.full(3, rng.uniform(0.5, 1.5))
    patch = _window(rng, centre, radius, 'bitten', 0.25, 1 + 1.5 * rng.random())
    soft = rng.uniform(0.8, max(1.0, 0.7 * radius))
    return replace(patch, density=_tinted(coverage(patch.depth, soft), colour))
