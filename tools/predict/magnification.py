"""At which scale the network should see a picture: the one at which its cells are as large as those
that the model learned from.

The rule. Where training and picture both have a pixel size, it is the quotient. Otherwise the
ordinary pass tells: of the cells inside the picture, the median diameter must lie within
`TOLERANCE` of the model's, and cells must cover half of what is darker than the background (Otsu's
threshold); then the picture is as it is. If not, a few tiles are looked at on a `LADDER` of scales.
The fit of a scale is the share of the dark area that cells cover, times the share (by area) of
those cells that have the model's size: too small a scale leaves cells out or takes clumps for
cells, too large a one takes parts for cells or leaves dark area over. Of the scales that
fit nearly best the one with most cells is taken, and refined by the median diameter found there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from cellkit.cell_scale import CellScale
from cellkit.files.regions import Regions
from cellkit.label_maps import areas_and_boxes
from cellkit.plain import is_plain
from cellkit.tiles import Window, tile_windows
from tools.predict.detector import Detector, Segmentation

TOLERANCE = 1.35
"""Factor by which cells may differ from the model's: real smears of one set do by up to 1.19."""

LADDER = (1 / 4, 1 / 2, 2, 4, 8)
"""Scales that are tried, where 1 is the ordinary one."""

SIMILAR = 1.5
"""Factor within which a single cell has the model's size; scales of the ladder lie a factor 2
apart, so the best one is off by at most 1.41."""

LEAST_CELLS = 3
NEARLY = 0.75
"""Share of the best fit from which on the number of cells decides: at a small scale whole fields
of a mosaic pass for cells, and fit well."""

LEAST_FIT = 0.5
"""Below, a scale explains too little of the picture; ordinary real smears have 0.73 and more."""

TILES = 3
"""Tiles that are looked at on each step of the ladder: those with most dark area."""

ROUNDS = 3
"""Refinements at most."""

OTSU = cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU

ACROSS = 16
"""Pixels across a cell at which it is measured."""

LEAST_DIAMETER = 5.0
"""Pixels; smaller cells can't be told from dirt, whatever a pixel size says."""

SPOTS = 16
"""Parts of a large picture among which a typical one is chosen."""


class Choice(NamedTuple):
    """How a picture is done.

    Attributes:
        scale: Factor on what the network sees against the ordinary way.
        source: What says so, in a word or two.
        tile: (height, width) of the tiles to work in, pixels; None for the ordinary way.
        remark: For a user; goes on after the picture's name.
    """

    scale: float = 1.0
    source: str = 'as it is'
    tile: tuple[int, int] | None = None
    remark: str = ''


class Look(NamedTuple):
    """What was found at one scale: the median ``diameter`` of so many ``cells``, pixels, how it
    fits, and the cells of the model's size on a pixel.
    """

    diameter: float
    cells: int
    cover: float
    fit: float
    density: float


class Magnification:
    """Chooses the scale of pictures for a model.

    Args:
        detector: Of whole pictures.
        cells: What the model learned from.
    """

    def __init__(self, detector: Detector, cells: CellScale) -> None:
        self.detector, self.cells = detector, cells

    def tile(self, diameter: float) -> tuple[int, int]:
        """(height, width) of tiles in which cells of so many pixels are as large as in training."""
        height, width = self.cells.size
        factor = diameter / self.cells.diameter
        return max(round(height * factor), 32), max(round(width * factor), 32)

    def expected(self, base: tuple[int, int]) -> float:
        """Diameter of cells, pixels, that are as large as in training where (height, width) pixels
        are resized as one picture.
        """
        factor = self.detector.factor
        return self.cells.diameter * factor(self.cells.size) / factor(base)

    def of_pixel_size(self, pixel_size: float | None, base: tuple[int, int]) -> Choice | None:
        """By the micrometres a pixel; None where that is not known of picture and training.

        Args:
            pixel_size: Of the picture.
            base: (height, width) that would be resized as one picture.
        """
        if not (pixel_size and self.cells.diameter_um):
            return None
        diameter = self.cells.diameter_um / pixel_size
        if diameter < LEAST_DIAMETER:
            return None
        return self._choice(diameter, base, pixel_size)

    def of_picture(
        self,
        picture: np.ndarray,
        first: Segmentation,
        run: Callable[[Callable, Iterable], Iterable] = map,
    ) -> Choice:
        """By the cells of a picture.

        Args:
            picture: (H, W, 3) uint8 BGR.
            first: What the ordinary pass found.
            run: As ``map``: calls the network.
        """
        return self._by_cells(picture, picture.shape[:2], first, run)

    def of_regions(
        self, picture: Regions, run: Callable[[Callable, Iterable], Iterable] = map
    ) -> Choice:
        """By the cells of a typical part of a large picture, whose ordinary way is tiles of the
        size of the training images.
        """
        part = typical_part(picture, self.cells.size)
        return Choice() if part is None else self._by_cells(part, self.cells.size, None, run)

    def _by_cells(
        self,
        picture: np.ndarray,
        base: tuple[int, int],
        first: Segmentation | None,
        run: Callable[[Callable, Iterable], Iterable],
    ) -> Choice:
        expected = self.expected(base)
        dark = darkness(picture, expected)
        if first is None:
            look = self._try(picture, dark, expected, run)
        else:
            everywhere = Window(0, 0, picture.shape[1], picture.shape[0])
            look = look_of([first.label_map], [everywhere], dark, expected)
        within = 1 / TOLERANCE <= look.diameter / expected <= TOLERANCE
        if (look.cells >= LEAST_CELLS and look.cover >= LEAST_FIT and within) or is_plain(picture):
            return Choice()
        looks = [(look, expected)]
        for step in LADDER:
            diameter = expected / step
            if not LEAST_DIAMETER <= diameter <= 2 * min(picture.shape[:2]):
                continue
            found = self._try(picture, dark, diameter, run)
            if found.cells >= LEAST_CELLS:
                looks.append((found, diameter))
        least = NEARLY * max(found.fit for found, _ in looks)
        best, at = max(
            (item for item in looks if item[0].fit >= least), key=lambda item: item[0].density
        )
        if best.fit < LEAST_FIT or not best.cells:
            said = 'shows too little that has the size of cells at any scale, so it was left as it'
            return Choice(source='not told', remark=f'{said} is; --scale sets it')
        for _ in range(ROUNDS):
            if 1 / 1.1 <= best.diameter / at <= 1.1:
                break
            at = max(best.diameter, LEAST_DIAMETER)
            found = self._try(picture, dark, at, run)
            if found.cells < LEAST_CELLS or found.fit < LEAST_FIT:
                break
            best = found
        return self._choice(best.diameter, base)

    def _choice(
        self, diameter: float, base: tuple[int, int], pixel_size: float | None = None
    ) -> Choice:
        expected = self.expected(base)
        scale = expected / diameter
        if 1 / TOLERANCE <= scale <= TOLERANCE:
            return Choice()
        told = f' by its pixel size of {pixel_size:g} µm' if pixel_size else ''
        remark = (
            f'was done at scale {scale:.3g}, since its cells are {diameter:.0f} pixels across'
            f'{told}, where the model expects {expected:.0f}; --scale sets another, --scale 1 '
            'leaves it as it is'
        )
        source = 'pixel size' if pixel_size else 'cells'
        return Choice(scale, source, self.tile(diameter), remark)

    def _try(
        self,
        picture: np.ndarray,
        dark: Dark,
        diameter: float,
        run: Callable[[Callable, Iterable], Iterable],
    ) -> Look:
        """Look at the darkest tiles as if cells had this diameter, pixels."""
        detector = self.detector.in_tiles(self.tile(diameter))
        windows = tile_windows(picture.shape[:2], detector.tile, 0)
        chosen = sorted(windows, key=lambda window: (-dark.share(window), window))[:TILES]
        crops = [
            np.ascontiguousarray(picture[window.y1 : window.y2, window.x1 : window.x2])
            for window in chosen
        ]
        found = [part.counted(detector.score_thr) for part in run(detector.segment, crops)]
        return look_of([part.label_map for part in found], chosen, dark, diameter)


class Dark(NamedTuple):
    """Every ``step``-th pixel's green, which blood stains take most of."""

    green: np.ndarray
    step: int

    def share(self, window: Window) -> float:
        """Share of a window that is darker than its background, by Otsu's threshold in it alone:
        the backgrounds of a mosaic's fields differ more than cells from theirs.
        """
        step = self.step
        part = self.green[window.y1 // step : -(-window.y2 // step)]
        part = np.ascontiguousarray(part[:, window.x1 // step : -(-window.x2 // step)])
        if not part.size:
            return 0.0
        return float(cv2.threshold(part, 0, 1, OTSU)[1].mean())


def darkness(picture: np.ndarray, diameter: float) -> Dark:
    """What tells dark area.

    Args:
        picture: (H, W, 3) uint8 BGR.
        diameter: Of a cell, pixels; four steps or more lie across one.
    """
    step = max(min(int(diameter / ACROSS), max(picture.shape[:2]) // 256), 1)
    green = np.ascontiguousarray(picture[::step, ::step, 1])
    return Dark(green, step)


def look_of(
    label_maps: Sequence[np.ndarray], windows: Sequence[Window], dark: Dark, diameter: float
) -> Look:
    """Measure what tiles show.

    Args:
        label_maps: (h, w) int of each tile.
        windows: Their places.
        dark: Of the picture.
        diameter: That the model takes a cell to have, pixels.
    """
    step = max(int(diameter / ACROSS), 1)
    found, covered = [np.zeros(0)], 0
    for label_map in label_maps:
        small = label_map[::step, ::step]
        areas, boxes = areas_and_boxes(small, int(label_map.max(initial=0)))
        covered += int(areas.sum())
        height, width = small.shape
        inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2] < width) & (boxes[:, 3] < height)
        found.append(areas[inside & (areas > 0)])
    areas = np.concatenate(found) * float(step * step)
    diameters = np.sqrt(4 * areas / np.pi)
    similar = (diameters > diameter / SIMILAR) & (diameters < diameter * SIMILAR)
    shares = [
        dark.share(place) * (place.x2 - place.x1) * (place.y2 - place.y1) for place in windows
    ]
    cover = min(covered * step * step / max(sum(shares), 1.0), 1.0)
    median = float(np.median(diameters)) if len(diameters) else diameter
    fit = cover * float(areas[similar].sum() / areas.sum()) if len(areas) else 0.0
    area = sum((place.x2 - place.x1) * (place.y2 - place.y1) for place in windows)
    return Look(median, len(diameters), cover, fit, float(similar.sum()) / area)


def typical_part(picture: Regions, size: tuple[int, int]) -> np.ndarray | None:
    """The surroundings of the part of a large picture that has the median share of dark area.

    Args:
        picture: The large picture.
        size: (height, width) of parts, pixels; the surroundings are twice as high and wide.

    Returns:
        (h, w, 3) uint8 BGR; None where all parts that were looked at have one colour.
    """
    windows = tile_windows(picture.size, size, 0)
    some = windows[:: max(len(windows) // SPOTS, 1)]
    shares = []
    for window in some:
        part = picture.read(window)
        if not is_plain(part):
            dark = darkness(part, float(min(size)) / 12)
            everywhere = Window(0, 0, part.shape[1], part.shape[0])
            shares.append((dark.share(everywhere), window))
    if not shares:
        return None
    _, (x1, y1, x2, y2) = sorted(shares)[len(shares) // 2]
    height, width = picture.size
    wide, high = x2 - x1, y2 - y1
    around = Window(
        max(x1 - wide // 2, 0), max(y1 - high // 2, 0),
        min(x2 + wide // 2, width), min(y2 + high // 2, height),
    )  # fmt: skip
    return picture.read(around)
