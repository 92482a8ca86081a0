"""Composes one synthetic Giemsa-stained thin blood smear and its label map.

The image is built as light is lost: each cell, parasite and crumb adds its optical density to one
canvas (so overlapping cells darken each other), then come illumination, focus, camera sharpening
and grain. The labels follow the real masks: red cells (parasitised ones too) and white cells are
labelled, platelets, debris and cells far out of focus are not; a thin line parts neighbours; a cell
that is mostly hidden by another is one piece with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from scipy import ndimage

from cellkit.smears.cells import Edge, Patch, debris, platelet, red_cell, smudge, white_cell

KINDS = ('disc', 'stoma', 'target', 'burr', 'fold', 'tear', 'lemon', 'bitten', 'sickle')
REFERENCE_SIZE = (1200, 1600)  # the size at which every length below is meant, in pixels


@dataclass(frozen=True)
class Look:
    """How the smears of one slide look: stain, cells, optics. Pairs are (low, high).

    Attributes:
        background: CIE L*, a*, b* of the empty slide.
        cell: CIE L*, a*, b* of a typical cell.
        kinds: Share of each kind of cell (`red_cell`).
        cells: Number of cells.
        area: Cell area in px.
        pallor: Depth of the pale centre, 0 to 1.
        overlap: How far neighbours may overlap, as a share of the sum of their radii.
        clumping: Share of cells laid against another one.
        bevel: Width of the rim over which a cell grows to its full thickness, px.
        glow: Optical density that the bright line around the cells lacks; below 0 a dark line.
        blur: Defocus as the sigma of a Gaussian, px.
        unfocused: Share of cells out of focus.
        haze: Number of wide clouds.
        dirt: Number of crumbs to expect.
        grain: Standard deviation of the camera's noise, in grey levels.
        vignette: Loss of light in the corners, 0 to 1.
        scale_bar: Share of images with a scale bar.
        elongated: Share of cells stretched to 1.2 to 1.9 times their width.
        mottle: How much the thickness of a cell varies from place to place, 0 to 1.
        specks: Number of specks of a pixel or two to expect.
        blotches: Unevenness of the empty slide, in grey levels.
        jpeg: Share of images that were JPEG files once.
        inset: How far inside a cell's outline its label ends, px.
        merged_from: Share of a cell's area from which, hidden under another, it is one with it.
        least_visible: Share of a cell from which, cut by the border, it is labelled.
    """

    background: tuple[float, float, float]
    cell: tuple[float, float, float]
    kinds: dict[str, float]
    cells: tuple[int, int] = (30, 90)
    area: tuple[float, float] = (7500, 9500)
    pallor: tuple[float, float] = (0.1, 0.5)
    overlap: tuple[float, float] = (0.05, 0.3)
    clumping: tuple[float, float] = (0.2, 0.7)
    bevel: tuple[float, float] = (8.0, 16.0)
    glow: tuple[float, float] = (-0.05, 0.06)
    blur: tuple[float, float] = (1.1, 2.1)
    unfocused: float = 0.03
    haze: tuple[int, int] = (0, 0)
    dirt: tuple[float, float] = (3, 40)
    grain: tuple[float, float] = (1.8, 3.2)
    vignette: tuple[float, float] = (0.0, 0.12)
    scale_bar: float = 0.0
    elongated: float = 0.0
    mottle: float = 0.0
    specks: float = 0.0
    blotches: float = 0.0
    jpeg: float = 0.0
    inset: float = 0.0
    merged_from: float = 0.5
    least_visible: float = 0.25


# Colours, sizes and numbers: what was measured on the slides of the real set, widened by `_vary`.
LOOKS: dict[str, Look] = {
    'cream_navy': Look(
        background=(92.5, -4, 6.3),
        cell=(33, 4, -18),
        kinds={'disc': 0.42, 'burr': 0.3, 'tear': 0.15, 'stoma': 0.08, 'fold': 0.05},
        cells=(28, 68),
        area=(8800, 10500),
        pallor=(0.0, 0.2),
        overlap=(0.02, 0.2),
    ),
    'blue_burr': Look(
        background=(91, -1.3, 0),
        cell=(42, 7, -24),
        kinds={'burr': 0.6, 'disc': 0.2, 'stoma': 0.1, 'target': 0.05, 'fold': 0.05},
        cells=(80, 160),
        area=(5700, 7300),
        pallor=(0.5, 0.95),
        blur=(0.9, 1.6),
        haze=(0, 1),
    ),
    'grey_green': Look(
        background=(92, -0.5, 2.2),
        cell=(56, 2, -9),
        kinds={'disc': 0.78, 'stoma': 0.12, 'burr': 0.05, 'target': 0.03, 'bitten': 0.02},
        cells=(45, 105),
        area=(7400, 9200),
        pallor=(0.35, 0.85),
        overlap=(0.0, 0.2),
        dirt=(10, 90),
        grain=(2.4, 3.6),
        scale_bar=0.6,
    ),
    'indigo': Look(
        background=(89, 1.5, -3.2),
        cell=(25, 28, -41),
        kinds={'disc': 0.47, 'burr': 0.35, 'tear': 0.15, 'fold': 0.03},
        cells=(25, 60),
        area=(9000, 10500),
        pallor=(0.1, 0.7),
    ),
    'lilac': Look(
        background=(92, 1.0, -1.8),
        cell=(41, 16, -27),
        kinds={'disc': 0.62, 'stoma': 0.15, 'tear': 0.08, 'lemon': 0.1, 'fold': 0.05},
        cells=(50, 100),
        area=(8500, 10000),
        pallor=(0.35, 0.85),
    ),
    'maroon': Look(
        background=(92.5, 1.5, -1.8),
        cell=(31, 21, -18),
        kinds={'disc': 0.88, 'bitten': 0.05, 'tear': 0.05, 'sickle': 0.02},
        cells=(70, 190),
        area=(6800, 8200),
        pallor=(0.75, 0.95),
        overlap=(0.3, 0.6),
        clumping=(0.4, 0.8),
        bevel=(11.0, 18.0),
        blur=(1.5, 2.4),
    ),
    'white_violet': Look(
        background=(100, 0, 0),
        cell=(57, 17, -29),
        kinds={'disc': 0.77, 'stoma': 0.1, 'tear': 0.05, 'target': 0.05, 'fold': 0.03},
        cells=(35, 110),
        area=(8500, 10200),
        pallor=(0.3, 0.85),
        overlap=(0.05, 0.4),
        grain=(0.8, 1.8),
        vignette=(0.0, 0.02),
    ),
    'slate': Look(
        background=(89, -0.8, 0.2),
        cell=(37, 9, -22),
        kinds={'disc': 0.5, 'tear': 0.13, 'lemon': 0.12, 'burr': 0.13, 'stoma': 0.07, 'fold': 0.05},
        cells=(55, 125),
        area=(7500, 9500),
        pallor=(0.05, 0.5),
        overlap=(0.15, 0.45),
        clumping=(0.5, 0.9),
        glow=(-0.05, 0.12),
    ),
    'thick': Look(
        background=(89, -1.5, -1.5),
        cell=(30, 7, -20),
        kinds={'burr': 0.55, 'disc': 0.45},
        cells=(85, 140),
        area=(7800, 9500),
        pallor=(0.2, 0.8),
        overlap=(0.15, 0.45),
        clumping=(0.6, 0.9),
        bevel=(10.0, 18.0),
        blur=(1.6, 3.0),
        unfocused=0.25,
        haze=(6, 14),
    ),
    'dim': Look(
        background=(61, -1.3, 2.8),
        cell=(48.5, -0.5, -2.5),
        kinds={'disc': 0.75, 'tear': 0.1, 'burr': 0.1, 'sickle': 0.05},
        cells=(35, 85),
        area=(7600, 8600),
        pallor=(0.0, 0.7),
        overlap=(0.0, 0.15),
        blur=(1.6, 2.6),
        grain=(0.7, 1.2),
        vignette=(0.1, 0.25),
    ),
}


def _rgb(lab: tuple[float, float, float]) -> np.ndarray:
    """(3,) RGB in 0..1 of one CIE L*a*b* colour."""
    rgb = cv2.cvtColor(np.array([[lab]], np.float32), cv2.COLOR_LAB2RGB)[0, 0]
    return np.clip(np.round(rgb.astype(np.float64), 4), 0.02, 1.0)


def _vary(rng: Generator, look: Look) -> Look:
    """The look of one slide: the family's, with its colours moved a little."""
    contrast = look.background[0] - look.cell[0]
    background = np.array(look.background)
    if background[0] < 97:  # an overexposed background stays white
        background = background + rng.normal(0.0, (2.0, 0.8, 1.3))
    cell = np.array(look.cell) + rng.normal(0.0, (0.11 * contrast, 3.0, 3.5))
    cell[0] = min(cell[0], background[0] - 8.0)
    return replace(look, background=tuple(background), cell=tuple(cell))


def random_look(rng: Generator) -> Look:
    """A slide that need not be of any family: one family's make-up, stains and optics drawn wide.

    For training: what a model sees must reach further than the slides that it will meet. The
    ranges hold what was measured on the training part of the real sample, where mask edges lie a
    pixel inside the half height of an edge, outlines are less sharp than the families', a tenth of
    the cells is elongated and the empty slide is uneven.
    """
    look = _vary(rng, LOOKS[sorted(LOOKS)[int(rng.integers(len(LOOKS)))]])
    shares = {kind: share * rng.uniform(0.3, 3.0) for kind, share in look.kinds.items()}
    for kind in KINDS:
        shares[kind] = shares.get(kind, 0.0) + 0.04 * rng.random()
    changes: dict = dict(
        kinds=shares,
        cells=(10, 190),
        area=tuple(sorted(rng.uniform(5500, 10500, 2))),
        elongated=rng.uniform(0.0, 0.3),
        mottle=rng.uniform(0.0, 0.25),
        specks=rng.uniform(0, 150) * (rng.random() < 0.5),
        blotches=rng.uniform(0.0, 2.5),
        blur=(0.8, 2.9),
        grain=(0.5, 4.0),
        glow=(-0.12, 0.12),
        bevel=(4.0, 18.0),
        jpeg=0.3,
        inset=rng.normal(0.4, 0.25),
        merged_from=rng.uniform(0.3, 0.55),
        least_visible=0.5,
    )
    if rng.random() < 0.5:  # a stain of no family
        light = rng.uniform(55, 100)
        changes['background'] = (light, *rng.normal(0.0, (2.5, 4.0)))
        dark = max(light - rng.uniform(15, 70), 15.0)
        changes['cell'] = (dark, rng.uniform(-4, 30), rng.uniform(-42, 6))
        changes['pallor'] = tuple(sorted(rng.uniform(0.0, 0.95, 2)))
    if rng.random() < 0.3:  # crowded: cells lie on one another
        changes['overlap'] = (0.2, 0.7)
        changes['clumping'] = (0.4, 0.9)
    if rng.random() < 0.15:  # a thick layer, in part out of focus
        changes['haze'], changes['unfocused'] = (2, 8), rng.uniform(0.05, 0.25)
    return replace(look, **changes)


def _centres(
    rng: Generator, look: Look, radii: np.ndarray, shape: tuple[int, int]
) -> list[tuple[float, float]]:
    """Where the cells lie, (y, x): some alone, some against others, no deeper than allowed."""
    size = np.array(shape)
    overlap, clumping = rng.uniform(*look.overlap), rng.uniform(*look.clumping)
    placed = np.empty((0, 2))
    lean = rng.normal(0.0, 1.0, 2)  # crowding grows along one direction
    for radius in radii:
        others = radii[: len(placed)]
        for attempt in range(60):
            deepest = overlap * min(1.0, 0.5 + attempt / 30)
            if len(placed) and rng.random() < clumping:
                near = int(rng.integers(len(placed)))
                away = (radius + others[near]) * (1 - rng.uniform(-0.03, deepest))
                turn = rng.uniform(0, 2 * np.pi)
                at = placed[near] + away * np.array([np.sin(turn), np.cos(turn)])
            else:
                at = rng.uniform(-0.6 * radius, size + 0.6 * radius)
                tilt = lean @ ((at - size / 2) / size)
                if rng.random() > np.exp(tilt - 0.5 * abs(lean).sum()) and attempt < 40:
                    continue
            if (at <= -0.7 * radius).any() or (at >= size + 0.7 * radius).any():
                continue
            gap = np.hypot(*(placed - at).T) / (others + radius)
            if len(placed) == 0 or gap.min() > 1 - deepest or attempt == 59:
                break
        placed = np.vstack([placed, at])
    return [(float(y), float(x)) for y, x in placed]


class _Canvas:
    """Optical density of the smear and, beside it, which cell each pixel belongs to."""

    def __init__(
        self, shape: tuple[int, int], inset: float = 0.0, least_visible: float = 0.25
    ) -> None:
        self.inset, self.least_visible = inset, least_visible
        self.density = np.zeros((*shape, 3))
        self.label = np.zeros(shape, np.int32)
        self.depth = np.zeros(shape)
        self.areas: list[int] = []  # px of each labelled cell on the canvas, hidden ones too
        self.shared: dict[tuple[int, int], int] = {}  # px that two cells have in common

    def _window(self, patch: Patch) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where a patch lies on the canvas, and which part of it that is; may be empty."""
        start = np.array([patch.y, patch.x])
        low, high = np.clip([start, start + patch.depth.shape], 0, self.label.shape)
        return tuple(map(slice, low, high)), tuple(map(slice, low - start, high - start))

    def add(self, patch: Patch, strength: float = 1.0) -> None:
        """Lay something on the smear that is not a cell."""
        outer, inner = self._window(patch)
        self.density[outer] += strength * patch.density[inner]

    def add_cell(self, patch: Patch) -> None:
        """Lay a cell on the smear; where cells overlap a pixel goes to the one it is deeper in."""
        outer, inner = self._window(patch)
        depth = patch.depth[inner]
        covered = depth > self.inset
        visible = int(covered.sum())
        self.density[outer] += patch.density[inner]
        if visible < self.least_visible * int((patch.depth > self.inset).sum()):
            return  # a sliver at the border: drawn, not labelled
        number = len(self.areas) + 1
        self.areas.append(visible)
        below, count = np.unique(self.label[outer][covered], return_counts=True)
        for other, pixels in zip(below.tolist(), count.tolist(), strict=True):
            if other:
                self.shared[other, number] = pixels
        wins = covered & (depth > self.depth[outer])
        self.label[outer][wins] = number
        self.depth[outer][wins] = depth[wins]


def _merge_hidden(canvas: _Canvas, merged_from: float = 0.5) -> np.ndarray:
    """Label map in which a cell hidden by another over this share of its area is one with it."""
    root = np.arange(len(canvas.areas) + 1)
    for (low, high), pixels in sorted(canvas.shared.items()):
        if pixels > merged_from * min(canvas.areas[low - 1], canvas.areas[high - 1]):
            root[root == root[high]] = root[low]
    return root[canvas.label].astype(np.int32)


def _part_neighbours(rng: Generator, label: np.ndarray, joined: float) -> np.ndarray:
    """Clear the pixels where two labels meet, but for a share `joined` of the pairs."""
    big = label.max() + 1
    kernel = np.ones((3, 3), np.uint8)
    highest = cv2.dilate(label.astype(np.float32), kernel)
    lowest = cv2.erode(np.where(label == 0, big, label).astype(np.float32), kernel)
    line = (label > 0) & (highest != lowest) & (lowest < big)
    pairs = np.stack([lowest[line], highest[line]], axis=1)
    unique, member = np.unique(pairs, axis=0, return_inverse=True)
    cut = rng.random(len(unique)) >= joined
    line[line] = cut[member.ravel()]
    return np.where(line, 0, label)


def _whole_cells(label: np.ndarray, smallest: int) -> np.ndarray:
    """Number the labels anew, keep each one's largest piece, drop those below `smallest` px."""
    out = np.zeros_like(label)
    number = 0
    for old, box in enumerate(ndimage.find_objects(label), start=1):
        if box is None:
            continue
        crop = (label[box] == old).astype(np.uint8)
        _, pieces, table, _ = cv2.connectedComponentsWithStats(crop, connectivity=8)
        areas = table[1:, cv2.CC_STAT_AREA]
        if areas.max() >= smallest:
            number += 1
            out[box][pieces == 1 + int(np.argmax(areas))] = number
    return out


def _draw_cells(
    rng: Generator, canvas: _Canvas, look: Look, stain: np.ndarray, count: int, scale: float
) -> None:
    """Lay `count` cells on the canvas, a few of them parasitised or white."""
    area = rng.uniform(*look.area) * scale**2
    radii = np.sqrt(area / np.pi) * np.exp(rng.normal(0.0, rng.uniform(0.04, 0.11), count))
    centres = _centres(rng, look, radii, canvas.label.shape)
    names, shares = list(look.kinds), np.array(list(look.kinds.values()))
    kinds = rng.choice(len(names), count, p=shares / shares.sum())
    pallor = rng.uniform(*look.pallor)
    sharp = Edge(max(scale, 0.5), rng.uniform(*look.bevel) * scale, rng.uniform(*look.glow))
    stain = stain / (0.95 - 0.33 * pallor)  # so that a cell's typical colour is the look's
    sick, white = rng.uniform(0.0, 0.06), rng.uniform(0.0, 0.006)
    stages = ('ring', 'trophozoite', 'trophozoite', 'schizont', 'gametocyte')
    for centre, radius, kind in zip(centres, radii, kinds, strict=True):
        edge = sharp
        if rng.random() < look.unfocused:
            edge = Edge(rng.uniform(3, 11) * scale, sharp.bevel)
        fate = rng.random()
        if fate < white:
            canvas.add_cell(white_cell(rng, centre, radius * rng.uniform(1.2, 1.7), edge.soft))
            continue
        parasite = stages[int(rng.integers(len(stages)))] if fate > 1 - sick else None
        if parasite not in (None, 'ring'):
            radius *= rng.uniform(1.0, 1.2)
        amount = np.exp(rng.normal(0.0, 0.2)) * (1 + rng.normal(0.0, 0.04, 3))
        stretch = 1.0
        if look.elongated and rng.random() < look.elongated:
            stretch = rng.uniform(1.2, 1.9)
        shape = 'disc' if parasite else names[kind]
        pale = float(np.clip(pallor + rng.normal(0.0, 0.15), 0.0, 0.97))
        cell = red_cell(rng, centre, radius, shape, stain * amount, pale, edge, parasite, stretch)
        if look.mottle:
            cell.density *= _mottle(rng, cell.depth.shape, look.mottle)
        canvas.add_cell(cell)


def _mottle(rng: Generator, shape: tuple[int, int], strength: float) -> np.ndarray:
    """(h, w, 1) factors around 1 that vary slowly over a cell."""
    coarse = rng.normal(1.0, strength, (6, 6))
    smooth = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0.3, 1.8)[..., None]


def _draw_dirt(
    rng: Generator, canvas: _Canvas, look: Look, stain: np.ndarray, scale: float, part: float
) -> None:
    """Platelets, crumbs, smudges and clouds: what a smear holds besides cells.

    `part` is the share of a whole picture's field that the canvas shows.
    """
    shape = canvas.label.shape

    def anywhere() -> tuple[float, float]:
        return float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1]))

    for _ in range(rng.poisson(3 * part)):
        canvas.add(platelet(rng, anywhere(), rng.uniform(8, 20) * scale))
    strength = rng.uniform(0.1, 0.6)
    for _ in range(rng.poisson(part * rng.uniform(*look.dirt))):
        radius = max(rng.lognormal(0.8, 0.6) * scale, 0.8)
        canvas.add(debris(rng, anywhere(), radius, stain), strength)
    for _ in range(rng.poisson(0.5 * part)):
        radius = rng.uniform(10, 30) * scale
        canvas.add(debris(rng, anywhere(), radius, stain), rng.uniform(0.1, 0.8))
    if look.specks:
        number = rng.poisson(part * look.specks)
        spots = np.zeros(shape)
        at = tuple(rng.integers(0, side, number) for side in shape)
        np.maximum.at(spots, at, rng.uniform(0.5, 4.0, number))
        spots = cv2.GaussianBlur(spots, (0, 0), rng.uniform(0.6, 1.4) * max(scale, 0.5))
        canvas.density += spots[..., None] * stain * rng.uniform(0.3, 1.2)
    if rng.random() < 0.12:
        pink = np.array([0.15, 0.5, 0.15]) * rng.uniform(0.2, 0.8)
        size = rng.uniform(80, 220) * scale
        canvas.density += smudge(rng, shape, pink, size, ragged=0.25)
    for _ in range(int(rng.integers(look.haze[0], look.haze[1] + 1))):
        colour = stain * rng.uniform(0.05, 0.5)
        size = rng.uniform(60, 260) * scale
        canvas.density += smudge(rng, shape, colour, size, ragged=0.08)


def _noise(rng: Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Gaussian noise of standard deviation 1, smooth over `sigma` pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), sigma)
    return noise / noise.std()


def _photograph(
    rng: Generator, density: np.ndarray, look: Look, background: np.ndarray, scale: float
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: light through the smear, then lens and camera."""
    height, width = density.shape[:2]
    texture = _noise(rng, (height, width), 1.2 * max(scale, 0.5))
    density *= 1 + rng.uniform(0.0, 0.06) * texture[..., None]
    yy, xx = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    cy, cx = rng.uniform(-0.4, 0.4, 2)
    loss = rng.uniform(*look.vignette) * ((yy - cy) ** 2 + (xx - cx) ** 2) / 2
    light = np.exp(-density) * background * (1 - loss)[..., None]
    light = cv2.GaussianBlur(light, (0, 0), max(rng.uniform(*look.blur) * scale, 0.3))
    fringe = np.clip(rng.normal(0.0, 0.25), -0.8, 0.8)  # red and blue, a fraction of a pixel apart
    for channel, shift in ((0, fringe), (2, -fringe)):
        moved = np.s_[:, 1:, channel] if shift > 0 else np.s_[:, :-1, channel]
        light[moved] -= shift * np.diff(light[..., channel], axis=1)
    sharpening = rng.uniform(0.0, 0.35)
    light += sharpening * (light - cv2.GaussianBlur(light, (0, 0), 2.5 * max(scale, 0.4)))
    sigma = rng.uniform(0.5, 1.0)
    grain = 0.6 * _noise(rng, (height, width, 3), 1.4 * sigma)
    grain += 0.8 * _noise(rng, (height, width, 1), sigma).reshape(height, width, 1)
    grain *= rng.uniform(*look.grain)
    if look.blotches:
        coarse = rng.normal(0.0, look.blotches, (height // 40 + 2, width // 40 + 2))
        grain += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.clip(np.rint(light * 255 + grain), 0, 255).astype(np.uint8)


def _as_jpeg(rng: Generator, image: np.ndarray) -> np.ndarray:
    """The image after a JPEG file of a quality that microscope software writes."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    return cv2.imdecode(cv2.imencode('.jpg', image, quality)[1], cv2.IMREAD_COLOR)


def _scale_bar(image: np.ndarray, scale: float) -> None:
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


def draw_smear(
    rng: Generator,
    size: tuple[int, int] = REFERENCE_SIZE,
    cells: int | None = None,
    look: str | Look | None = None,
    joined: float = 0.02,
    scale: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One synthetic smear, or a field of one.

    Args:
        rng: Random generator; the same state gives the same smear.
        size: (height, width) in pixels.
        cells: Number of cells drawn; drawn by chance from the look's range if None.
        look: Key of `LOOKS`, or one of your own; by chance if None.
        joined: Share of the neighbouring pairs without a line between them, as in real masks.
        scale: Size of everything over its size at `REFERENCE_SIZE`, where cells are about 100 px
            across. If None the picture shows a whole field, whatever its size.

    Returns:
        Image, (H, W, 3) uint8 RGB, and label map, (H, W) int32, 0 background, 1..n cells.

    Raises:
        KeyError: `look` is not in `LOOKS`.
    """
    if isinstance(look, Look):
        slide = look
    else:
        slide = _vary(rng, LOOKS[look or sorted(LOOKS)[int(rng.integers(len(LOOKS)))]])
    share = size[0] * size[1] / (REFERENCE_SIZE[0] * REFERENCE_SIZE[1])
    scale = float(np.sqrt(share)) if scale is None else scale
    part = share / scale**2
    if cells is None:
        cells = round(part * int(rng.integers(slide.cells[0], slide.cells[1] + 1)))
    background = _rgb(slide.background)
    stain = np.log(background / np.minimum(_rgb(slide.cell), 0.95 * background))
    canvas = _Canvas(size, slide.inset * scale, slide.least_visible)
    _draw_dirt(rng, canvas, slide, stain, scale, part)
    _draw_cells(rng, canvas, slide, stain, cells, scale)
    image = _photograph(rng, canvas.density, slide, background, scale)
    if rng.random() < slide.scale_bar:
        _scale_bar(image, scale)
    if slide.jpeg and rng.random() < slide.jpeg:
        image = _as_jpeg(rng, image)
    label = _part_neighbours(rng, _merge_hidden(canvas, slide.merged_from), joined)
    return image, _whole_cells(label, max(100, int(400 * scale**2)))
