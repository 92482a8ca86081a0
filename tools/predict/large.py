"""Find the cells of a picture that is larger than the memory: tile by tile, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from cellkit.files.regions import Regions
from cellkit.label_maps import areas_and_boxes
from cellkit.metrics.calibrated import Calibration
from cellkit.plain import is_plain
from cellkit.rle import encode_crops
from cellkit.rows import Group, cells_by_rows
from cellkit.shapes import COLUMNS, shape_values
from cellkit.tiles import Piece
from tools.predict.detector import Detector, Tile
from tools.predict.large_files import WRITERS
from tools.predict.outcome import Outcome, border_of, measured
from tools.predict.tile_store import TileStore

SOME = 256
"""Cells whose run lengths are made at once."""


class Mask(NamedTuple):
    """A cell's place and its pixels, packed."""

    x: int
    y: int
    shape: tuple[int, int]
    bits: np.ndarray

    def unpacked(self) -> np.ndarray:
        """(h, w) bool."""
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(self.bits, count=count).reshape(self.shape).view(bool)


@dataclass
class Large:
    """What was found in a large picture.

    Attributes:
        name: Of the picture, for messages and ids.
        picture: It.
        masks: Of each cell.
        cells: Values of each cell, by the names of ``cellkit.shapes.COLUMNS``, and ``score``.
        resolution: Sides of one pixel of what the network saw, in pixels of the picture.
        pixel_size: Micrometres a pixel, or None.
    """

    name: str
    picture: Regions
    masks: Sequence[Mask]
    cells: Sequence[dict[str, Any]]
    resolution: float
    pixel_size: float | None


def look_at_tiles(
    detector: Detector,
    picture: Regions,
    store: TileStore,
    run: Callable[[Callable, Iterable], Iterable] = map,
    progress: Callable[..., Iterable] = lambda results, total, initial: results,
) -> None:
    """Look at all tiles that the store does not hold; empty ones are passed over.

    Args:
        detector: One with tiles.
        picture: What to look at.
        store: Where it is kept.
        run: As ``map``: calls the network.
        progress: Wraps the tiles' results for a progress bar.
    """
    windows = detector.windows(picture.size)

    def look_at(number: int) -> None:
        window = windows[number]
        part = picture.read(window)
        empty = Tile([], 0.0, False)
        found = empty if is_plain(part) else detector.look_at(part, window, picture.size)
        store.put(number, found)

    left = [number for number in range(len(windows)) if number not in store]
    done = len(windows) - len(left)
    for _ in progress(run(look_at, left), total=len(windows), initial=done):
        pass


def large_outcome(
    name: str,
    detector: Detector,
    picture: Regions,
    store: TileStore,
    formats: Sequence[str],
    pixel_size: float | None = None,
    calibration: Calibration | None = None,
) -> tuple[Outcome, bool]:
    """Measure and draw the cells that the tiles show, when all were looked at.

    Args:
        name: Of the picture, for messages.
        detector: The one that looked.
        picture: It.
        store: The tiles; the files are written beside them.
        formats: Keys of ``WRITERS``.
        pixel_size: Micrometres a pixel, or None.
        calibration: Says how sure a score is.

    Returns:
        The outcome, whose files are paths, and whether the network gave as many detections in a
        tile as it may.
    """
    resolution, full = 0.0, False

    def rows() -> Iterator[tuple[list[Piece], int]]:
        nonlocal resolution, full
        windows = list(enumerate(detector.windows(picture.size)))
        groups = [list(row) for _, row in groupby(windows, lambda item: item[1].y1)]
        ends = [row[0][1].y1 for row in groups[1:]] + [picture.size[0]]
        for row, end in zip(groups, ends, strict=True):
            tiles = [store.get(number, window) for number, window in row]
            resolution = max(resolution, *(tile.resolution for tile in tiles))
            full = full or any(tile.full for tile in tiles)
            yield [piece for tile in tiles for piece in tile.pieces], end

    masks: list[Mask] = []
    values: list[dict[str, np.ndarray]] = []
    scores, doubtful = [np.zeros(0)], [np.zeros(0)]
    for group in cells_by_rows(rows(), detector.score_thr):
        masks += _masks(group)
        values.append(shape_values(group.label_map))
        values[-1]['x'] += group.x
        values[-1]['y'] += group.y
        values[-1]['centroid_x'] += group.x
        values[-1]['centroid_y'] += group.y
        scores.append(group.scores)
        doubtful.append(group.doubtful)
    resolution = resolution or 1.0
    columns = _columns(values, picture.size, border_of(resolution))
    found = np.concatenate(scores)
    count, cells, evidence = measured(
        columns, found, np.concatenate(doubtful), picture.size, calibration
    )
    seen = Large(name, picture, masks, cells, resolution, pixel_size)
    files = {}
    for key in formats:
        files[key] = store.folder / f'{key}.part'
        WRITERS[key](seen, files[key])
    rles = [rle for some in _parts(masks) for rle in _encoded(some, picture.size)]
    return Outcome(files, count, cells, rles, evidence), full


def _masks(group: Group) -> Iterator[Mask]:
    _, boxes = areas_and_boxes(group.label_map, len(group.scores))
    for label, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        if label:
            mask = group.label_map[y1:y2, x1:x2] == label
            yield Mask(group.x + x1, group.y + y1, mask.shape, np.packbits(mask))


def _columns(
    values: Sequence[dict[str, np.ndarray]], size: tuple[int, int], border: int
) -> dict[str, np.ndarray]:
    """The values of all groups, cells numbered through and judged by the picture's border."""
    none = shape_values(np.zeros((1, 1), np.int32))
    found = {key: np.concatenate([part[key] for part in (none, *values)]) for key in COLUMNS}
    found['label'] = np.arange(1, len(found['label']) + 1)
    x, y, (height, width) = found['x'], found['y'], size
    found['touches_border'] = (
        (np.minimum(x, y) < border)
        | (x + found['width'] > width - border)
        | (y + found['height'] > height - border)
    )
    return found


def _parts(masks: Sequence[Mask]) -> Iterator[Sequence[Mask]]:
    return (masks[k : k + SOME] for k in range(0, len(masks), SOME))


def _encoded(masks: Sequence[Mask], size: tuple[int, int]) -> list[dict[str, Any]]:
    crops = [mask.unpacked() for mask in masks]
    return encode_crops(crops, [mask.x for mask in masks], [mask.y for mask in masks], *size)
