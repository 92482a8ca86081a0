"""Cut a large image into overlapping tiles, and put the cells found in them together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cellkit.label_maps import areas_and_boxes

SAME_SHARE = 0.5
"""Two outlines from different tiles are one cell if they share this much of the smaller one."""


class Window(NamedTuple):
    """A tile's place in the image: ``x1 <= x < x2``, ``y1 <= y < y2``, pixels."""

    x1: int
    y1: int
    x2: int
    y2: int


class Piece(NamedTuple):
    """What one tile shows of a cell; x and y are the crop's upper left pixel in the image."""

    mask: np.ndarray  # (h, w) bool, the cell's tight crop
    x: int
    y: int
    score: float
    window: Window  # the tile
    cut: bool  # so close to an edge of the tile that more of the cell may lie beyond

    @property
    def box(self) -> Window:
        """The crop's place in the image."""
        return Window(self.x, self.y, self.x + self.mask.shape[1], self.y + self.mask.shape[0])


def least_overlap(tile: tuple[int, int]) -> int:
    """How much neighbouring tiles of (height, width) pixels overlap at least, pixels."""
    return min(tile) // 5


def cut_margin(tile: tuple[int, int]) -> int:
    """How close to a tile's edge inside the image a cell may be cut, for :func:`pieces_of`."""
    return max(least_overlap(tile) // 20, 2)


def tile_windows(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> list[Window]:
    """Places of equal tiles that cover an image, row by row.

    Args:
        size: (height, width) of the image, pixels.
        tile: (height, width) of a tile, pixels; cut to the image's where that is smaller.
        overlap: Least overlap of neighbouring tiles, pixels.

    Raises:
        ValueError: The overlap is not less than a tile's sides, or something is not positive.
    """
    if min(*size, *tile) < 1 or not 0 <= overlap < min(tile):
        raise ValueError(f"tiles of {tile} pixels can't overlap by {overlap} on an image of {size}")
    (rows, height), (columns, width) = (
        _starts(*pair, overlap) for pair in zip(size, tile, strict=True)
    )
    return [Window(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(size: int, tile: int, overlap: int) -> tuple[list[int], int]:
    """First pixels of the tiles along one axis, evenly spread, and their length."""
    tile = min(tile, size)
    count = 1 if tile == size else -(-(size - overlap) // (tile - overlap))
    return np.linspace(0, size - tile, count).astype(int).tolist(), tile


def pieces_of(
    label_map: np.ndarray,
    scores: Sequence[float],
    window: Window,
    size: tuple[int, int],
    margin: int,
) -> Iterator[Piece]:
    """A piece for each label of a tile that has a pixel.

    Args:
        label_map: (h, w) int of the tile, 0 background, 1..N.
        scores: N scores, of labels 1..N.
        window: The tile's place.
        size: (height, width) of the whole image, pixels.
        margin: A cell closer than this to an edge inside the image counts as cut, pixels.
    """
    areas, boxes = areas_and_boxes(label_map, len(scores))
    low_x = margin if window.x1 > 0 else 0
    low_y = margin if window.y1 > 0 else 0
    high_x = label_map.shape[1] - (margin if window.x2 < size[1] else 0)
    high_y = label_map.shape[0] - (margin if window.y2 < size[0] else 0)
    for k in np.flatnonzero(areas):
        x1, y1, x2, y2 = boxes[k].tolist()
        cut = x1 < low_x or y1 < low_y or x2 > high_x or y2 > high_y
        mask = label_map[y1:y2, x1:x2] == k
        yield Piece(mask, window.x1 + x1, window.y1 + y1, float(scores[k - 1]), window, cut)


def merge_pieces(pieces: Sequence[Piece]) -> list[Piece]:
    """One outline for each cell, from those that the tiles show.

    A cell that some tile shows whole is taken from there (the best score if several do), and other
    tiles' pieces of it are dropped. Cells that every tile cuts are united from their pieces: two
    belong together if they are mostly the same where both tiles look. These have the best score of
    their pieces and ``cut=True``.
    """
    order = sorted(pieces, key=lambda piece: (piece.cut, -piece.score))
    boxes = np.array([piece.box for piece in order], np.int64).reshape(-1, 4)
    whole: list[int] = []
    left: list[int] = []
    for k, piece in enumerate(order):
        if not any(_hides(order[j], piece) for j in _near(boxes, whole, k)):
            (left if piece.cut else whole).append(k)
    groups: list[list[int]] = []
    for k in left:
        near = set(_near(boxes, left, k))
        mine = [g for g in groups if any(j in near and _agree(order[j], order[k]) for j in g)]
        groups = [g for g in groups if g not in mine] + [[k, *(j for g in mine for j in g)]]
    united = [_unite([order[k] for k in group]) for group in groups]
    return [order[k] for k in whole] + united


def _near(boxes: np.ndarray, among: Sequence[int], k: int) -> list[int]:
    """Those of ``among`` whose boxes overlap box ``k``."""
    chosen = np.asarray(among, np.int64)
    low = np.maximum(boxes[chosen, :2], boxes[k, :2])
    high = np.minimum(boxes[chosen, 2:], boxes[k, 2:])
    return chosen[(low < high).all(axis=1)].tolist()


def _common(a: Window, b: Window) -> Window:
    return Window(max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2))


def _part(piece: Piece, window: Window) -> np.ndarray:
    """The piece's mask inside a window of the image that lies in its box."""
    x1, y1, x2, y2 = window
    return piece.mask[y1 - piece.y : y2 - piece.y, x1 - piece.x : x2 - piece.x]


def _shared(a: Piece, b: Piece) -> int:
    """Pixels of both pieces; their boxes must overlap."""
    common = _common(a.box, b.box)
    return int(np.count_nonzero(_part(a, common) & _part(b, common)))


def share_pixels(a: Piece, b: Piece) -> bool:
    """Whether two pieces whose boxes overlap have a pixel in common."""
    return _shared(a, b) > 0


def _hides(a: Piece, b: Piece) -> bool:
    """Whether they share much of the smaller one; a detector told those of one tile apart."""
    smaller = min(np.count_nonzero(a.mask), np.count_nonzero(b.mask))
    return a.window != b.window and _shared(a, b) / smaller >= SAME_SHARE


def _agree(a: Piece, b: Piece) -> bool:
    """Whether two pieces are mostly the same in the part of the image that both tiles show."""
    shared = 0 if a.window == b.window else _shared(a, b)
    if not shared:
        return False
    seen = _common(a.window, b.window)
    there = sum(np.count_nonzero(_part(piece, _common(piece.box, seen))) for piece in (a, b))
    return shared >= SAME_SHARE * (there - shared)


def _unite(pieces: Sequence[Piece]) -> Piece:
    """All pixels of the pieces as one."""
    best = max(pieces, key=lambda piece: piece.score)
    if len(pieces) == 1:
        return best
    boxes = np.array([piece.box for piece in pieces])
    (left, top), (right, bottom) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    mask = np.zeros((bottom - top, right - left), bool)
    for piece, (x1, y1, x2, y2) in zip(pieces, boxes, strict=True):
        mask[y1 - top : y2 - top, x1 - left : x2 - left] |= piece.mask
    return best._replace(mask=mask, x=int(left), y=int(top))
