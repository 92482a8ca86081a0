"""Composes one synthetic Giemsa-stained thin blood smear and its label map.

The image is built as light is lost: each cell, parasite and crumb adds its optical density to one
canvas (so overlapping cells darken each other), then come layers out of focus, illumination, lens
and camera. Red cells (parasitised ones too) and white cells are labelled; platelets, debris, ghosts
and cells far out of focus are not.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator

from cellkit.smears.bodies import (
    Edge,
    coverage,
    debris,
    platelet,
    red_cell,
    thickness,
    white_cell,
)
from cellkit.smears.camera import noise, photograph, scale_bar, streaks
from cellkit.smears.canvas import Canvas
from cellkit.smears.looks import REFERENCE_SIZE, Look, look_of, rgb_of

BEYOND = 0.6
"""Radii by which the centre of a cell that the border cuts may lie outside the picture."""

_COARSE = 8  # clouds are drawn at this fraction of the size
_STAGES = ('ring', 'trophozoite', 'trophozoite', 'schizont', 'gametocyte')


def draw_smear(
    rng: Generator,
    size: tuple[int, int] = REFERENCE_SIZE,
    cells: int | None = None,
    look: str | None = None,
    joined: float = 0.02,
    scale: float | None = None,
    beyond: float = BEYOND,
) -> tuple[np.ndarray, np.ndarray]:
    """One synthetic smear, or a field of one.

    Args:
        rng: Random generator; the same state gives the same smear.
        size: (height, width) in pixels.
        cells: Number of cells drawn; drawn by chance from the look's range if None.
        look: Key of `LOOKS`, or `WILD`; by chance if None.
        joined: Share of the neighbouring pairs without a line between them, as in real masks.
        scale: Pixels a pixel of the reference size, in which a cell is about 100 px across. If
            None the picture shows as much of a slide as one of the reference size.
        beyond: How far a cell's centre may lie outside the picture, in its radii. With -1.8 no cell
            is cut, so that pictures laid side by side meet on background.

    Returns:
        Image, (H, W, 3) uint8 RGB, and label map, (H, W) int32, 0 background, 1..n cells.

    Raises:
        KeyError: There is no look of that name.
    """
    slide = look_of(rng, look)
    height, width = size
    share = height * width / (REFERENCE_SIZE[0] * REFERENCE_SIZE[1])
    if scale is None:
        scale = float(np.sqrt(share))
    share /= scale**2  # of a picture of the reference size
    if cells is None:
        crowding = np.exp(rng.normal(0.0, 0.35)) if share < 0.7 else 1.0  # uneven over a slide
        cells = round(rng.uniform(*slide.cells) * share * crowding)
        cells = min(max(cells, 1), round(200 * share))
    background = rgb_of(slide.background)
    stain = np.log(background / np.minimum(rgb_of(slide.cell), 0.95 * background))
    if slide.background[0] > 98:  # overexposed: the sensor is full even where the slide is dirty
        background = background * rng.uniform(1.0, 1.08)
    canvas = Canvas(size)
    _draw_dirt(rng, canvas, slide, stain, scale, share)
    pressed = _draw_cells(rng, canvas, slide, stain, cells, scale, beyond)
    _draw_clouds(rng, canvas, slide, stain, scale, share)
    image = photograph(rng, canvas.density, slide, background, scale)
    if rng.random() < slide.scale_bar * min(share, 1):
        scale_bar(image, scale)
    line = max(1, round(rng.uniform(1.5, 3.0) * scale))
    smallest = max(100, 700 * scale**2)
    # Annotators differ; where cells press each other a line shows, and they part more of them.
    hidden = rng.uniform(0.5, 0.7) if pressed else rng.uniform(0.2, 0.5)
    return image, canvas.labelled(rng, joined, hidden, line, smallest)


def _centres(
    rng: Generator, look: Look, radii: np.ndarray, shape: tuple[int, int], beyond: float
) -> list[tuple[float, float]]:
    """Where the cells lie, (y, x): some alone, some against others, no deeper than allowed."""
    size = np.array(shape, float)
    overlap, clumping = rng.uniform(*look.overlap), rng.uniform(*look.clumping)
    lean = rng.normal(0.0, 1.0, 2)  # crowding grows along one direction
    placed = np.empty((len(radii), 2))
    tries = 16
    for count, radius in enumerate(radii):
        at = rng.uniform(-beyond * radius, size + beyond * radius, (tries, 2))
        tilt = ((at - size / 2) / size) @ lean - 0.5 * abs(lean).sum()
        bad = rng.random(tries) > np.exp(tilt)
        deepest = overlap * rng.random(tries) ** 0.7
        if count:
            others = radii[:count]
            near = rng.integers(count, size=tries)
            away = (radius + others[near]) * (1 - rng.uniform(-0.04, np.maximum(deepest, 0)))
            turn = rng.uniform(0, 2 * np.pi, tries)
            against = rng.random(tries) < clumping
            beside = placed[near] + away[:, None] * np.stack([np.sin(turn), np.cos(turn)], 1)
            at[against] = beside[against]
            bad &= ~against
            out = (beyond + 0.1) * radius
            bad |= ((at <= -out) | (at >= size + out)).any(1)
            gap = np.hypot(*np.moveaxis(placed[:count] - at[:, None], 2, 0)) / (others + radius)
            room = gap.min(1) - (1 - deepest)
        else:
            room = np.zeros(tries)
        fits = (room >= -1e-6) & ~bad
        best = np.argmax(fits) if fits.any() else np.argmax(room - 10 * bad)
        placed[count] = at[best]
    return [(float(y), float(x)) for y, x in placed]


def _mask_end(edge: Edge, stain: np.ndarray, blur: float, beyond: float) -> float:
    """Signed distance to the outline at which the mask of such a cell ends, in pixels.

    Annotators see light, not density: where it has fallen half-way depends on stain and focus, and
    is found along a line across the outline. The mask ends `beyond` pixels outside that place.
    """
    reach = 12 + 3 * edge.soft + edge.bevel
    depth = np.arange(-reach, reach, 0.25, dtype=np.float32)
    density = coverage(depth, edge.soft) * thickness(depth, edge.bevel, 0.75)
    light = np.exp(-density * np.float32(stain.mean()))
    sigma = max(4 * blur, 0.3)
    light = cv2.GaussianBlur(light[None], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    half = (light[0, 0] + light[0, -1]) / 2
    return float(depth[np.argmax(light[0] <= half)]) - beyond


def _draw_cells(
    rng: Generator,
    canvas: Canvas,
    look: Look,
    stain: np.ndarray,
    count: int,
    scale: float,
    beyond: float,
) -> bool:
    """Lay `count` cells on the canvas, a few of them parasitised, pale or white.

    Returns:
        Whether they press each other flat.
    """
    area = 1.05 * rng.uniform(*look.area) * scale**2
    radii = np.sqrt(area / np.pi) * np.exp(rng.normal(0.0, rng.uniform(0.04, 0.11), count))
    centres = _centres(rng, look, radii, canvas.label.shape, beyond)
    names, shares = list(look.kinds), np.array(list(look.kinds.values()))
    kinds = rng.choice(len(names), count, p=shares / shares.sum())
    pallor = rng.uniform(*look.pallor)
    soft = rng.uniform(0.7, 1.6) * max(scale, 0.5)
    opaque = rng.uniform(*look.opaque)
    gap = rng.uniform(0.0, 1.2 * opaque) * (rng.random() < 0.8)
    sharp = Edge(soft, rng.uniform(*look.bevel) * scale, rng.uniform(*look.glow))
    sharp = replace(sharp, opaque=opaque, gap=min(gap, 0.9))
    stain = stain / (0.95 - 0.33 * pallor)  # so that a cell's typical colour is the look's
    beyond, blur = rng.uniform(*look.mask_edge) * scale, np.mean(look.blur) * scale
    sharp = replace(sharp, mask=_mask_end(sharp, stain, blur, beyond))
    sick, white, pale_share = rng.uniform(0.0, 0.07), rng.uniform(0.0, 0.008), rng.uniform(0, 0.06)
    spread = rng.uniform(0.08, 0.24)
    meeting = 'over' if opaque > 0.5 or rng.random() < 0.6 else 'under'
    if rng.random() < 0.7 * opaque:
        meeting = 'press'
    tinge = rng.uniform(0.005, 0.03)
    wind = rng.uniform(0, 2 * np.pi)  # tails of one smear point one way
    for centre, radius, kind in zip(centres, radii, kinds, strict=True):
        edge = sharp
        if rng.random() < look.unfocused:
            edge = Edge(rng.uniform(3, 11) * scale, sharp.bevel, opaque=opaque)
            edge = replace(edge, mask=_mask_end(edge, stain, blur, beyond))
        fate = rng.random()
        if fate < white:
            canvas.add_cell(white_cell(rng, centre, radius * rng.uniform(1.0, 1.6), edge), meeting)
            continue
        parasite = _STAGES[int(rng.integers(len(_STAGES)))] if fate > 1 - sick else None
        if parasite not in (None, 'ring'):
            radius *= rng.uniform(1.0, 1.25)
        amount = np.exp(rng.normal(0.0, spread)) * (1 + rng.normal(0.0, tinge, 3))
        if rng.random() < pale_share:
            amount *= rng.uniform(0.3, 0.65)
        shape = names[kind]
        if shape == 'burr':  # shrunk, so thicker
            radius, amount = radius * rng.uniform(0.85, 1.0), amount * rng.uniform(1.0, 1.3)
        if parasite:
            shape = 'amoeba' if parasite != 'ring' and rng.random() < 0.4 else 'disc'
        pale = float(np.clip(pallor + rng.normal(0.06, 0.18), 0.0, 0.97))
        turn = wind + rng.normal(0.0, 0.5) if rng.random() < 0.7 else None
        cell = red_cell(rng, centre, radius, shape, stain * amount, pale, edge, parasite, turn)
        canvas.add_cell(cell, meeting)
    return meeting == 'press'


def _draw_dirt(
    rng: Generator, canvas: Canvas, look: Look, stain: np.ndarray, scale: float, share: float
) -> None:
    """Platelets, crumbs, ghosts of burst cells and threads: what a smear holds besides cells."""
    shape = canvas.label.shape

    def anywhere() -> tuple[float, float]:
        return float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1]))

    for _ in range(rng.poisson(3 * share)):
        canvas.add(platelet(rng, anywhere(), rng.uniform(6, 28) * scale))
    strength = rng.uniform(0.1, 0.6)
    for _ in range(rng.poisson(rng.uniform(*look.dirt) * share)):
        radius = max(rng.lognormal(0.8, 0.6) * scale, 0.8)
        canvas.add(debris(rng, anywhere(), radius, stain), strength)
    if rng.random() < 0.3 * max(share, 0.5):  # crumbs in a heap, as stain that fell out
        heap, spread = np.array(anywhere()), rng.uniform(8, 40) * scale
        dye = np.array([0.75, 1.55, 0.55]) * rng.uniform(0.3, 1.6)
        dye = stain * rng.uniform(0.3, 1.5) if rng.random() < 0.4 else dye
        for at in heap + rng.normal(0.0, spread, (int(rng.integers(4, 25)), 2)):
            radius = max(rng.lognormal(1.5, 0.6) * scale, 0.8)
            canvas.add(debris(rng, tuple(at), radius, dye), rng.uniform(0.2, 1.0))
    for _ in range(rng.poisson(1.0 * share)):
        radius = rng.uniform(10, 40) * scale
        canvas.add(debris(rng, anywhere(), radius, stain), rng.uniform(0.1, 0.9))
    crowded = look.clouds[1] > 1
    if rng.random() < (0.7 if crowded else 0.25):
        for _ in range(rng.poisson((20 if crowded else 6) * share)):
            radius = rng.uniform(40, 90) * scale
            ghost = red_cell(rng, anywhere(), radius, 'amoeba', stain, 0.9)
            canvas.add(ghost, rng.uniform(0.02, 0.09))
    if rng.random() < 0.08:
        pink = np.float32([0.15, 0.6, 0.2]) * np.float32(rng.uniform(0.2, 0.8))
        length, width = rng.uniform(15, 40) * scale, rng.uniform(2.5, 6) * scale
        canvas.density += streaks(rng, shape, length, width) * pink[:, None, None]


def _draw_clouds(
    rng: Generator, canvas: Canvas, look: Look, stain: np.ndarray, scale: float, share: float
) -> None:
    """What is far out of focus: stain around clusters, layers of cells, spilt stain."""
    height, width = canvas.label.shape
    small = (height // _COARSE + 2, width // _COARSE + 2)
    halo = rng.uniform(*look.halo)
    low, high = look.clouds
    clouds = rng.poisson(rng.uniform(low, high) * max(share, 0.4)) if high else 0
    pink = rng.random() < 0.12 * max(share, 0.5)
    if not (halo > 0.005 or clouds or pink):
        return
    layer = np.zeros((3, *small), np.float32)
    if halo > 0.005:
        near, far = rng.uniform(8, 25) * scale / _COARSE, rng.uniform(25, 80) * scale / _COARSE
        for plane, density in zip(layer, canvas.density, strict=True):
            coarse = cv2.resize(density, small[::-1], interpolation=cv2.INTER_AREA)
            plane += np.float32(0.6 * halo) * cv2.GaussianBlur(coarse, (0, 0), near)
            plane += np.float32(0.6 * halo) * cv2.GaussianBlur(coarse, (0, 0), far)
    if clouds > 1 and rng.random() < 0.7:  # a veil over part of the picture
        veil = noise(rng, small, rng.uniform(100, 300) * scale / _COARSE)
        veil = np.clip(veil - np.float32(rng.uniform(-0.5, 1.0)), 0, 2)
        layer += veil * (stain * rng.uniform(0.1, 0.4)).astype(np.float32)[:, None, None]
    yy = np.arange(small[0], dtype=np.float32)[:, None]
    xx = np.arange(small[1], dtype=np.float32)[None, :]

    def cloud(colour: np.ndarray, extent: float, ragged: float) -> None:
        cy, cx = rng.uniform(0, small[0]), rng.uniform(0, small[1])
        wave = np.float32(ragged) * noise(rng, small, max(extent / 32, 0.8))
        dy = (yy - np.float32(cy)) * np.float32(rng.uniform(0.6, 1.7))
        rho = np.hypot(dy, xx - np.float32(cx)) * np.float32(_COARSE / extent) + wave
        body = np.exp(-(np.maximum(rho, 0) ** 2)) * np.clip(np.float32(0.8) + wave, 0, None)
        layer[...] += body * np.asarray(colour, np.float32)[:, None, None]

    for _ in range(clouds):
        if rng.random() < 0.4:  # a cell of another layer
            cloud(stain * rng.uniform(0.15, 0.7), rng.uniform(45, 70) * scale, 0.03)
        else:
            cloud(stain * rng.uniform(0.05, 0.6), rng.uniform(60, 350) * scale, 0.1)
    if pink:
        colour = np.array([0.15, 0.5, 0.15]) * rng.uniform(0.2, 0.8)
        cloud(colour, rng.uniform(80, 220) * scale, 0.25)
    np.maximum(layer, 0, out=layer)
    for plane, density in zip(layer, canvas.density, strict=True):
        density += cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
