"""Cells of an image too large for the memory, from the pieces that its tiles show, row by row.

Only pieces of different tiles that share pixels have anything to do with each other: where they are
one cell, or one hides the other. So groups that share no pixel are done one after another, with the
same outcome as all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cellkit.overlaps import keep_labels
from cellkit.rle import encode_crops
from cellkit.tiles import Piece, merge_pieces, share_pixels
from cellkit.visible import visible_cells


class Group(NamedTuple):
    """Cells that lie in one crop of the image.

    Attributes:
        label_map: (h, w) int32, 0 background, 1..N.
        scores: (N,) float64, of labels 1..N.
        doubtful: (M,) float64 scores of what else might be a cell.
        x, y: The crop's upper left pixel in the image.
    """

    label_map: np.ndarray
    scores: np.ndarray
    doubtful: np.ndarray
    x: int
    y: int


def cells_of(
    pieces: Sequence[Piece], size: tuple[int, int], threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Merge pieces, and resolve overlaps by score.

    Args:
        pieces: Those of an image, or all that share pixels with each other.
        size: (height, width) of the image, pixels.
        threshold: Pieces of a lower score are merged by themselves, so that what is doubtful
            changes no cell.

    Returns:
        (H, W) int32 label map, 0 background, 1..N, and their (N,) float64 scores.
    """
    cells = merge_pieces([piece for piece in pieces if piece.score >= threshold])
    cells += merge_pieces([piece for piece in pieces if piece.score < threshold])
    masks, xs, ys = ([getattr(cell, key) for cell in cells] for key in ('mask', 'x', 'y'))
    scores = np.array([cell.score for cell in cells], float)
    label_map, kept = visible_cells(encode_crops(masks, xs, ys, *size), scores, size)
    return label_map, scores[kept]


def cells_by_rows(rows: Iterable[tuple[Sequence[Piece], int]], threshold: float) -> Iterator[Group]:
    """The cells of an image, as :func:`cells_of` has them but for their order.

    Args:
        rows: Of each row of tiles, downwards, the pieces and the first row of pixels of the next
            row of tiles, which for the last one is the image's height.
        threshold: As there.

    Yields:
        Groups by the place of their first piece. Some hold no cell, only what is doubtful.
    """
    for group in _settled(rows):
        boxes = np.array([piece.box for piece in group])
        (x, y), (x2, y2) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
        # With the tiles' places: pieces are compared where both tiles look.
        moved = [_moved(piece, -x, -y) for piece in group]
        label_map, scores = cells_of(moved, (y2 - y, x2 - x), threshold)
        sure = scores >= threshold
        label_map, _ = keep_labels(label_map, sure)
        yield Group(label_map, scores[sure], scores[~sure], x, y)


def _moved(piece: Piece, x: int, y: int) -> Piece:
    x1, y1, x2, y2 = piece.window
    window = type(piece.window)(x1 + x, y1 + y, x2 + x, y2 + y)
    return piece._replace(x=piece.x + x, y=piece.y + y, window=window)


def _settled(rows: Iterable[tuple[Sequence[Piece], int]]) -> Iterator[list[Piece]]:
    """Groups of pieces that share no pixel with any other, now or in a row to come."""
    waiting: list[list[Piece]] = []
    for pieces, next_row in rows:
        waiting = _joined([*waiting, *([piece] for piece in pieces)])
        still = []
        for group in waiting:
            if max(piece.box.y2 for piece in group) > next_row:
                still.append(group)
            else:
                yield group
        waiting = still
    yield from waiting


def _joined(groups: Sequence[list[Piece]]) -> list[list[Piece]]:
    """The groups, with those united that share a pixel; each in the order of its pieces."""
    pieces = [piece for group in groups for piece in group]
    owners = [k for k, group in enumerate(groups) for _ in group]
    parents = list(range(len(groups)))

    def root(k: int) -> int:
        while parents[k] != k:
            parents[k] = k = parents[parents[k]]
        return k

    for a, b in _overlapping(pieces):
        first, second = sorted((root(owners[a]), root(owners[b])))
        if first != second and share_pixels(pieces[a], pieces[b]):
            parents[second] = first
    found: dict[int, list[Piece]] = {}
    for k, group in enumerate(groups):
        found.setdefault(root(k), []).extend(group)
    return list(found.values())


def _overlapping(pieces: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """Pairs of pieces of different tiles whose boxes overlap, by a sweep from the left."""
    boxes = np.array([piece.box for piece in pieces], np.int64).reshape(-1, 4)
    order = np.argsort(boxes[:, 0], kind='stable')
    x1, y1, x2, y2 = boxes[order].T
    ends = np.searchsorted(x1, x2)  # those from here on begin right of it
    for k, end in enumerate(ends.tolist()):
        rest = slice(k + 1, end)
        for j in np.flatnonzero((y1[rest] < y2[k]) & (y2[rest] > y1[k])).tolist():
            a, b = int(order[k]), int(order[k + 1 + j])
            if pieces[a].window != pieces[b].window:
                yield a, b
