"""From overlapping predictions to one label map of whole, connected cells."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cellkit.instances import CONNECTIVITY
from cellkit.label_maps import areas_and_boxes
from cellkit.rle import decode_runs, decode_to_label_map


def visible_cells(
    rles: Sequence[dict], scores: np.ndarray, size: tuple[int, int], least: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`paint_by_score`, and of each cell the largest connected piece, as the instance rule
    has it.
    """
    label_map, kept = paint_by_score(rles, scores, size, least)
    keep_largest_piece(label_map, len(kept))
    return label_map, kept


def paint_by_score(
    rles: Sequence[dict], scores: np.ndarray, size: tuple[int, int], least: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Paint predictions by score, without those that better ones hide.

    A pixel goes to the prediction of highest score that covers it. Going down the scores, one is
    left out if less than the share ``least`` of its pixels is still free: suppression of boxes lets
    such second outlines of one cell through.

    Args:
        rles: N COCO RLE dicts.
        scores: (N,) float; at equal scores the later one goes first.
        size: (H, W) of the image in pixels.
        least: 0..1.

    Returns:
        (H, W) int32 label map, 0 background, k + 1 where the k-th of the predictions that were kept
        lies; and the (K,) int64 indices of those in ``rles``, ascending.
    """
    scores = np.asarray(scores, float)
    starts, ends, owners = decode_runs(rles)
    first = np.searchsorted(owners, np.arange(len(rles) + 1))
    taken = np.zeros(size[0] * size[1], bool)  # column by column, as the runs count
    kept = []
    for k in np.argsort(scores, kind='stable')[::-1]:
        own = slice(first[k], first[k + 1])
        lengths = ends[own] - starts[own]
        before = np.cumsum(lengths) - lengths
        pixels = np.arange(lengths.sum()) + np.repeat(starts[own] - before, lengths)
        free = len(pixels) - np.count_nonzero(taken[pixels])
        if free == 0 or free < least * len(pixels):
            continue
        taken[pixels] = True
        kept.append(int(k))
    kept = np.sort(np.array(kept, np.int64))
    order = np.argsort(scores[kept], kind='stable')
    return decode_to_label_map([rles[k] for k in kept], order, size), kept


def keep_largest_piece(
    label_map: np.ndarray, num: int, labels: Sequence[int] | None = None
) -> None:
    """Erase, in place, all but the largest connected piece of each label 1..num, or of some."""
    areas, boxes = areas_and_boxes(label_map, num)
    for k in np.flatnonzero(areas) if labels is None else labels:
        x1, y1, x2, y2 = boxes[k].tolist()
        crop = label_map[y1:y2, x1:x2]
        count, pieces, stats = _pieces(crop == k)
        if count > 1:
            largest = 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])
            crop[(pieces > 0) & (pieces != largest)] = 0


def count_pieces(mask: np.ndarray) -> int:
    """Number of connected pieces of an (H, W) mask, foreground where non-zero."""
    return _pieces(mask != 0)[0]


def _pieces(mask: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=CONNECTIVITY
    )
    return count - 1, pieces, stats
