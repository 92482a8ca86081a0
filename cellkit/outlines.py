"""Exact outlines of masks along the edges of their pixels, and masks of outlines.

Coordinates are those of pixel corners: (0, 0) is the upper left corner of the first pixel, whose
centre is (0.5, 0.5). QuPath, ImageJ's traced selections and COCO polygons count so. An outline runs
along pixel edges, so that filling it gives back the mask pixel for pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from cellkit.label_maps import areas_and_boxes

Polygon = list[np.ndarray]
"""An outer ring and the rings of its holes: (V, 2) x, y each, the first point not repeated."""


def outlines_of(label_map: np.ndarray, num: int) -> Iterator[list[Polygon]]:
    """The outline of each label 1..num of a (H, W) map; empty for a label without a pixel."""
    areas, boxes = areas_and_boxes(label_map, num)
    for label in range(1, num + 1):
        x1, y1, x2, y2 = boxes[label].tolist()
        yield outline(label_map[y1:y2, x1:x2] == label, x1, y1) if areas[label] else []


def outline(mask: np.ndarray, x: int = 0, y: int = 0) -> list[Polygon]:
    """Trace a mask along the edges of its pixels.

    Pieces that touch at a corner only are polygons of their own, so every ring is simple and every
    polygon valid for GEOS and JTS; only corners are points. Outer rings have positive area by the
    shoelace formula, holes negative, as RFC 7946 has it.

    Args:
        mask: (h, w) bool, a crop of the picture.
        x, y: Column and row of its upper left pixel in the picture.

    Returns:
        Polygons of (V, 2) int64 rings in pixels of the picture, from the top left one on.
    """
    inside = np.pad(np.asarray(mask, bool), 1)
    rings = [part for ring in _traced(inside) for part in _parted(ring)]
    shells = [_from_top_left(ring) for ring in rings]
    outer = [bool(inside[ring[0][1] + 1, ring[0][0] + 1]) for ring in shells]
    offset = np.array([x, y])
    arrays = [
        np.array(ring if out else [ring[0], *ring[:0:-1]]) + offset
        for ring, out in zip(shells, outer, strict=True)
    ]
    if outer.count(True) == 1:
        return [[arrays[k] for k in sorted(range(len(arrays)), key=lambda k: not outer[k])]]
    _, pieces = cv2.connectedComponents(inside.view(np.uint8), connectivity=4)
    found: dict[int, Polygon] = {}
    for is_outer in (True, False):  # a hole's owner is the pixel above its top left one
        for ring, array, out in zip(shells, arrays, outer, strict=True):
            if out == is_outer:
                owner = int(pieces[ring[0][1] + out, ring[0][0] + 1])
                found.setdefault(owner, []).append(array)
    return list(found.values())


def _traced(inside: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """Closed lines around a padded mask: points (x, y) of the mask without padding."""
    bits = inside.view(np.uint8)
    # Patterns of the four pixels around each corner: upper left 1, upper right 2, lower left 4.
    pattern = bits[:-1, :-1] + 2 * bits[:-1, 1:] + 4 * bits[1:, :-1] + 8 * bits[1:, 1:]
    rows, columns = np.nonzero(IS_CORNER[pattern])
    crossed = CROSSED[pattern[rows, columns]]
    # Where two pixels touch at a corner two lines turn, each around one of the pixels.
    twice = np.repeat(np.arange(len(rows)), 1 + (crossed > 0))
    rows, columns, crossed = rows[twice], columns[twice], crossed[twice]
    second = np.zeros(len(twice), int)
    second[1:] = twice[1:] == twice[:-1]
    # Corners in a row are joined in pairs, as are those in a column.
    along = _partners(np.lexsort((second, columns, rows)))
    down = _partners(np.lexsort((np.where(crossed == 2, 1 - second, second), rows, columns)))
    points = list(zip(columns.tolist(), rows.tolist(), strict=True))
    free = [True] * len(points)
    for start in range(len(points)):
        ring, k = [], start
        while free[k]:
            other = along[k]
            free[k] = free[other] = False
            ring += [points[k], points[other]]
            k = down[other]
        if ring:
            yield ring


IS_CORNER = np.array([0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0], bool)
CROSSED = np.array([0] * 6 + [2] + [0] * 2 + [1] + [0] * 6, np.uint8)  # 9 is \, 6 is /


def _partners(order: np.ndarray) -> list[int]:
    partner = np.empty(len(order), int)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    return partner.tolist()


def _parted(ring: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """A line cut where it meets itself into rings that don't."""
    if len(set(ring)) == len(ring):
        yield ring
        return
    path: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    for point in ring:
        if point in place:
            cut = place[point]
            yield path[cut:]
            for gone in path[cut:]:
                del place[gone]
            del path[cut:]
        place[point] = len(path)
        path.append(point)
    yield path


def _from_top_left(ring: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ring from its top left corner on, to the right first."""
    start = min(range(len(ring)), key=lambda k: (ring[k][1], ring[k][0]))
    turned = ring[start:] + ring[:start]
    return turned if turned[1][1] == turned[0][1] else [turned[0], *turned[:0:-1]]


def fill(
    polygons: Sequence[Sequence[np.ndarray]], size: tuple[int, int]
) -> tuple[np.ndarray, int, int]:
    """The pixels whose centres lie inside polygons, as a crop of the picture.

    In a polygon the even-odd rule holds for all its rings, so holes are holes in either direction;
    polygons are united. A centre on a line belongs to what lies right of or below it. Rings are
    closed by themselves; what lies outside the picture is cut off.

    Args:
        polygons: Polygons of (V, 2) x, y rings, in pixels, any number type.
        size: (height, width) of the picture.

    Returns:
        (h, w) bool, and column and row of its upper left pixel; (0, 0) if there is no pixel.
    """
    points = [np.asarray(ring, float).reshape(-1, 2) for rings in polygons for ring in rings]
    points = np.concatenate([*points, np.zeros((0, 2))])
    if not len(points):
        return np.zeros((0, 0), bool), 0, 0
    x1, y1 = np.maximum(np.floor(points.min(axis=0)), 0).astype(int).tolist()
    x2, y2 = np.minimum(np.ceil(points.max(axis=0)), size[::-1]).astype(int).tolist()
    if x2 <= x1 or y2 <= y1:
        return np.zeros((0, 0), bool), 0, 0
    filled = np.zeros((y2 - y1, x2 - x1), bool)
    for rings in polygons:
        filled |= _fill_one(rings, x1, y1, filled.shape)
    return filled, x1, y1


def _fill_one(rings: Sequence[np.ndarray], x: int, y: int, shape: tuple[int, int]) -> np.ndarray:
    """Even-odd filling of a window from (x, y) on."""
    height, width = shape
    rings = [np.asarray(ring, float).reshape(-1, 2) - (x + 0.5, y + 0.5) for ring in rings]
    begins = np.concatenate([*rings, np.zeros((0, 2))])
    ends = np.concatenate([*(np.roll(ring, -1, axis=0) for ring in rings), np.zeros((0, 2))])
    low = np.where((begins[:, 1] <= ends[:, 1])[:, None], begins, ends)
    high = begins + ends - low
    # Rows whose centres an edge crosses, from its upper end to before its lower one.
    first = np.clip(np.ceil(low[:, 1]), 0, height).astype(int)
    last = np.clip(np.ceil(high[:, 1]), 0, height).astype(int)
    counts = last - first
    edge = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (high[:, 0] - low[:, 0]) / np.where(counts > 0, high[:, 1] - low[:, 1], 1)
    column = np.ceil(low[edge, 0] + (row - low[edge, 1]) * slope[edge])
    column = np.clip(column, 0, width).astype(int)
    crossings = np.bincount(row * (width + 1) + column, minlength=height * (width + 1))
    crossings = crossings.reshape(height, width + 1)[:, :width]
    return np.cumsum(crossings, axis=1) % 2 == 1


def ellipse(x: float, y: float, across: float, down: float, angle: float = 0) -> Polygon:
    """An ellipse as a polygon that lies within 0.01 % of its radii.

    Args:
        x, y: Its centre, pixels from the corner of the picture.
        across, down: Its radii, pixels.
        angle: By how much it is turned, degrees, from x to y.
    """
    turns = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    points = np.stack([across * np.cos(turns), down * np.sin(turns)], axis=1)
    return [np.array([x, y]) + _turned(points, angle)]


def rectangle(x: float, y: float, width: float, height: float, angle: float = 0) -> Polygon:
    """A rectangle from its upper left corner, about which it is turned by ``angle`` degrees."""
    points = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    return [np.array([x, y]) + _turned(points, angle)]


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return points @ np.array([[cos, sin], [-sin, cos]])
