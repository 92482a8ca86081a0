"""How the smears of a slide look: families measured on real slides, and one drawn at large."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

REFERENCE_SIZE = (1200, 1600)
"""(height, width) in pixels of the picture in which all lengths of a look are meant."""

WILD = 'wild'
"""The name under which `look_of` draws a look at large."""


@dataclass(frozen=True)
class Look:
    """How the smears of one slide look: stain, cells, optics. Pairs are (low, high).

    Attributes:
        background: CIE L*, a*, b* of the empty slide.
        cell: CIE L*, a*, b* of a typical cell.
        kinds: Share of each kind of cell (`red_cell`).
        cells: Number of cells in a picture of the reference size.
        area: Cell area in px.
        pallor: Depth of the pale centre, 0 to 1.
        overlap: How far neighbours may overlap, as a share of the sum of their radii.
        clumping: Share of cells laid against another one.
        bevel: Width of the rim over which a cell grows to its full thickness, px.
        glow: Optical density that the bright line around the cells lacks; below 0 a dark line.
        mask_edge: How far the mask reaches beyond the line where the light has fallen half-way
            from the background's to the cell's, px.
        opaque: Share of the density beneath that a cell hides: 0 where cells darken each other.
        halo: Share of the density that is spread widely: light from layers out of focus.
        blur: Defocus as the sigma of a Gaussian, px.
        unfocused: Share of cells out of focus.
        clouds: Number of wide clouds.
        dirt: Number of crumbs to expect.
        grain: Standard deviation of the camera's noise, in grey levels.
        vignette: Loss of light in the corners, 0 to 1.
        scale_bar: Share of images with a scale bar.
    """

    background: tuple[float, float, float]
    cell: tuple[float, float, float]
    kinds: dict[str, float]
    cells: tuple[int, int] = (30, 90)
    area: tuple[float, float] = (7500, 9500)
    pallor: tuple[float, float] = (0.1, 0.5)
    overlap: tuple[float, float] = (0.05, 0.45)
    clumping: tuple[float, float] = (0.2, 0.7)
    bevel: tuple[float, float] = (8.0, 16.0)
    glow: tuple[float, float] = (-0.05, 0.06)
    mask_edge: tuple[float, float] = (0.7, 2.2)
    opaque: tuple[float, float] = (0.0, 0.6)
    halo: tuple[float, float] = (0.0, 0.05)
    blur: tuple[float, float] = (1.1, 2.1)
    unfocused: float = 0.03
    clouds: tuple[int, int] = (0, 0)
    dirt: tuple[float, float] = (3, 40)
    grain: tuple[float, float] = (1.8, 3.2)
    vignette: tuple[float, float] = (0.0, 0.12)
    scale_bar: float = 0.0


# Colours, sizes and numbers: what was measured on the slides of the real set, widened by `vary`.
LOOKS: dict[str, Look] = {
    'cream_navy': Look(
        background=(92.5, -4, 6.3),
        cell=(33, 4, -18),
        kinds={
            'disc': 0.36,
            'burr': 0.28,
            'tear': 0.12,
            'oval': 0.08,
            'bowl': 0.06,
            'stoma': 0.05,
            'fold': 0.05,
        },
        cells=(28, 68),
        area=(8800, 10500),
        pallor=(0.0, 0.2),
        overlap=(0.02, 0.35),
        mask_edge=(3.2, 4.8),
        opaque=(0.5, 1.0),
        halo=(0.04, 0.2),
    ),
    'blue_burr': Look(
        background=(91, -1.3, 0),
        cell=(42, 7, -24),
        kinds={
            'burr': 0.5,
            'bowl': 0.18,
            'disc': 0.15,
            'stoma': 0.08,
            'target': 0.04,
            'fold': 0.05,
        },
        cells=(80, 160),
        area=(5700, 7300),
        pallor=(0.5, 0.95),
        blur=(0.9, 1.6),
        clouds=(0, 1),
        overlap=(0.1, 0.5),
        mask_edge=(1.2, 2.6),
        opaque=(0, 0.5),
        halo=(0.0, 0.04),
    ),
    'grey_green': Look(
        background=(92, -0.5, 2.2),
        cell=(56, 2, -9),
        kinds={
            'disc': 0.6,
            'bowl': 0.16,
            'stoma': 0.08,
            'burr': 0.05,
            'oval': 0.04,
            'target': 0.03,
            'torn': 0.04,
        },
        cells=(45, 105),
        area=(7400, 9200),
        pallor=(0.35, 0.85),
        dirt=(10, 90),
        grain=(2.4, 3.6),
        scale_bar=0.6,
        overlap=(0.05, 0.45),
        mask_edge=(0.2, 1.3),
        opaque=(0, 0.5),
        halo=(0.0, 0.03),
    ),
    'indigo': Look(
        background=(89, 1.5, -3.2),
        cell=(25, 28, -41),
        kinds={'disc': 0.37, 'burr': 0.33, 'tear': 0.12, 'bowl': 0.12, 'fold': 0.03, 'torn': 0.03},
        cells=(25, 60),
        area=(9000, 10500),
        pallor=(0.1, 0.7),
        overlap=(0.05, 0.35),
        mask_edge=(2.7, 4.0),
        opaque=(0.3, 0.9),
        halo=(0.02, 0.1),
    ),
    'lilac': Look(
        background=(92, 1.0, -1.8),
        cell=(41, 16, -27),
        kinds={
            'disc': 0.45,
            'bowl': 0.15,
            'stoma': 0.14,
            'tear': 0.08,
            'lemon': 0.08,
            'fold': 0.06,
            'burr': 0.04,
        },
        cells=(50, 100),
        area=(8500, 10000),
        pallor=(0.35, 0.85),
        overlap=(0.1, 0.5),
        mask_edge=(1.3, 2.3),
        opaque=(0.0, 0.6),
        halo=(0, 0.04),
    ),
    'maroon': Look(
        background=(92.5, 1.5, -1.8),
        cell=(31, 21, -18),
        kinds={
            'disc': 0.74,
            'oval': 0.12,
            'bitten': 0.05,
            'tear': 0.04,
            'torn': 0.03,
            'sickle': 0.02,
        },
        cells=(70, 190),
        area=(6800, 8200),
        pallor=(0.75, 0.95),
        clumping=(0.4, 0.8),
        bevel=(11.0, 18.0),
        blur=(1.5, 2.4),
        overlap=(0.35, 0.65),
        mask_edge=(2.6, 3.5),
        opaque=(0, 0.25),
        halo=(0.0, 0.04),
    ),
    'white_violet': Look(
        background=(100, 0, 0),
        cell=(57, 17, -29),
        kinds={
            'disc': 0.56,
            'bowl': 0.19,
            'stoma': 0.1,
            'tear': 0.04,
            'oval': 0.04,
            'target': 0.04,
            'fold': 0.03,
        },
        cells=(35, 110),
        area=(8500, 10200),
        pallor=(0.3, 0.85),
        grain=(0.8, 1.8),
        vignette=(0.0, 0.02),
        overlap=(0.1, 0.55),
        mask_edge=(0.7, 2.1),
        opaque=(0, 0.5),
        halo=(0, 0.0),
    ),
    'slate': Look(
        background=(89, -0.8, 0.2),
        cell=(37, 9, -22),
        kinds={
            'disc': 0.36,
            'tear': 0.11,
            'lemon': 0.09,
            'burr': 0.14,
            'bowl': 0.11,
            'stoma': 0.06,
            'fold': 0.06,
            'oval': 0.07,
        },
        cells=(55, 125),
        area=(7500, 9500),
        pallor=(0.05, 0.5),
        clumping=(0.5, 0.9),
        glow=(-0.05, 0.12),
        overlap=(0.15, 0.5),
        mask_edge=(1.4, 2.5),
        opaque=(0.5, 1.0),
        halo=(0.0, 0.06),
    ),
    'thick': Look(
        background=(89, -1.5, -1.5),
        cell=(30, 7, -20),
        kinds={'burr': 0.5, 'disc': 0.4, 'bowl': 0.1},
        cells=(85, 140),
        area=(8400, 10200),
        pallor=(0.2, 0.8),
        clumping=(0.6, 0.9),
        bevel=(10.0, 18.0),
        blur=(1.6, 3.0),
        unfocused=0.25,
        clouds=(6, 14),
        overlap=(0.2, 0.55),
        mask_edge=(0.4, 3.2),
        opaque=(0.1, 0.6),
        halo=(0.2, 0.7),
    ),
    'dim': Look(
        background=(61, -1.3, 2.8),
        cell=(48.5, -0.5, -2.5),
        kinds={'disc': 0.6, 'tear': 0.11, 'burr': 0.12, 'oval': 0.07, 'sickle': 0.04, 'torn': 0.06},
        cells=(35, 85),
        area=(7600, 8600),
        pallor=(0.0, 0.7),
        glow=(-0.02, 0.07),
        blur=(1.6, 2.6),
        grain=(0.7, 1.2),
        vignette=(0.1, 0.25),
        overlap=(0.0, 0.3),
        mask_edge=(-1.0, 2.2),
        opaque=(0.4, 1.0),
        halo=(0, 0.03),
    ),
}


def rgb_of(lab: tuple[float, float, float]) -> np.ndarray:
    """(3,) RGB in 0..1 of one CIE L*a*b* colour."""
    rgb = cv2.cvtColor(np.array([[lab]], np.float32), cv2.COLOR_LAB2RGB)[0, 0]
    return np.clip(np.round(rgb.astype(np.float64), 4), 0.02, 1.0)


def vary(rng: Generator, look: Look) -> Look:
    """The look of one slide: the family's, with its colours moved a little."""
    contrast = look.background[0] - look.cell[0]
    background = np.array(look.background)
    if background[0] < 97:  # an overexposed background stays white
        background = background + rng.normal(0.0, (2.0, 0.8, 1.3))
    cell = np.array(look.cell) + rng.normal(0.0, (0.11 * contrast, 3.0, 3.5))
    cell[0] = min(cell[0], background[0] - 8.0)
    return replace(look, background=tuple(background), cell=tuple(cell))


def _wild(rng: Generator) -> Look:
    """A look at large, for slides unlike the measured ones: every property drawn widely."""
    lightness = 100 - 45 * rng.random() ** 2.5
    background = np.array([lightness, *rng.normal(0.0, (2.0, 3.5))])
    if rng.random() < 0.15:  # a yellow, blue or pink cast
        background[1:] += rng.normal(0.0, 6.0, 2)
    hue = np.deg2rad(rng.choice([rng.uniform(250, 325), rng.uniform(325, 385), rng.uniform(0, 360)],
                                p=[0.6, 0.3, 0.1]))  # fmt: skip
    chroma = rng.uniform(0.0, 48.0)
    darkness = rng.uniform(9.0, 68.0)
    cell = (max(lightness - darkness, 14.0), chroma * np.cos(hue), chroma * np.sin(hue))
    kinds = ('disc', 'bowl', 'stoma', 'target', 'burr', 'fold', 'tear', 'lemon', 'oval', 'bitten',
             'torn', 'sickle')  # fmt: skip
    weight = np.array([6, 2, 1, 0.6, 2, 0.5, 0.8, 0.6, 1, 0.4, 0.5, 0.4])
    shares = rng.gamma(0.5 * weight) + 0.01 * weight
    fullest, pale = 10 ** rng.uniform(1.3, 2.27), rng.random()
    size, deepest = rng.uniform(6000, 11000), rng.uniform(0.1, 0.6)
    return Look(
        background=tuple(background),
        cell=cell,
        kinds=dict(zip(kinds, shares.tolist(), strict=True)),
        cells=(round(0.5 * fullest), round(fullest)),
        area=(0.9 * size, 1.1 * size),
        pallor=(0.6 * pale, 0.95 * pale),
        overlap=(0.5 * deepest, deepest),
        clumping=(0.1, 0.9),
        bevel=(4.0, 20.0),
        glow=(-0.15, 0.15),
        mask_edge=(0.6, 3.2),
        opaque=(0.0, 1.0),
        halo=(0.0, 0.3) if rng.random() < 0.4 else (0.0, 0.02),
        blur=(0.6, 3.0),
        unfocused=rng.uniform(0.0, 0.12),
        clouds=(0, 12) if rng.random() < 0.35 else (0, 0),
        dirt=(0, 120),
        grain=(0.3, 4.5),
        vignette=(0.0, 0.3),
    )


def look_of(rng: Generator, name: str | None = None, wild: float = 0.3) -> Look:
    """The look of one slide.

    Args:
        rng: Random generator.
        name: Key of `LOOKS` or `WILD`; by chance if None.
        wild: How often that chance is a look at large, 0 to 1.

    Raises:
        KeyError: There is no look of that name.
    """
    if name is None:
        name = WILD if rng.random() < wild else sorted(LOOKS)[int(rng.integers(len(LOOKS)))]
    return _wild(rng) if name == WILD else vary(rng, LOOKS[name])
