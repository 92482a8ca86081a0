"""Thousands of thresholds tried on one image's detections without painting it once more.

Detections that overlap cut each other into pieces: connected pixels that the same detections cover.
A score threshold, suppression of boxes and the rule of visible cells only choose which detection
gets which piece, so that one image's table of intersections takes a millisecond instead of a
pass over its pixels. The table is the one of :func:`cellkit.metrics.records.measure_image` for the
detections that remain, to the pixel.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from skimage.measure import label

from cellkit.metrics.truth import TrueImage
from cellkit.rle import decode_runs


class ImagePieces:
    """One image's detections and truth, cut into pieces.

    Args:
        true: The image's true cells.
        rles: D COCO RLE dicts.
        scores: (D,) float.
        boxes: (D, 4) float, x, y, width, height in pixels.
    """

    def __init__(
        self, true: TrueImage, rles: list[dict], scores: np.ndarray, boxes: np.ndarray
    ) -> None:
        self.scores = np.asarray(scores, float)
        # As visible_cells goes: down the scores, of equal ones the later first.
        self.order = np.argsort(self.scores, kind='stable')[::-1]
        self.number_true = len(true.rles)
        groups, members = _groups(rles, true.size)
        pieces = label(groups.reshape(true.size, order='F'), background=0, connectivity=2)
        number = int(pieces.max(initial=0))
        first = np.zeros(number + 1, np.int64)
        first[pieces.ravel()] = groups.reshape(true.size, order='F').ravel()
        self._areas: list[int] = np.bincount(pieces.ravel(), minlength=number + 1).tolist()
        self._own: list[list[int]] = [[] for _ in rles]
        for piece in range(1, number + 1):
            for detection in members[first[piece]]:
                self._own[detection].append(piece)
        self._total = [sum(self._areas[piece] for piece in own) for own in self._own]
        self._near = _neighbours(pieces)
        pairs = pieces.astype(np.int64) * (self.number_true + 1) + true.label_map()
        found, self._shared = np.unique(pairs, return_counts=True)
        self._piece, self._true = np.divmod(found, self.number_true + 1)
        self._rivals = _rivals(np.asarray(boxes, float).reshape(-1, 4))

    def table(
        self, score_thr: float = 0.0, nms_iou: float = 1.0, least_visible: float = 0.5
    ) -> np.ndarray:
        """Intersections of the true cells with those that the thresholds leave.

        Args:
            score_thr: Detections of a lower score are left out.
            nms_iou: Those whose box has a greater IoU with that of a better one, too.
            least_visible: See :func:`cellkit.visible.visible_cells`.

        Returns:
            (T + 1, P + 1) int64 pixels, the predicted cells in order of the detections.
        """
        owner = [0] * len(self._areas)
        kept = []
        for k in self._after_suppression(score_thr, nms_iou):
            own = [piece for piece in self._own[k] if not owner[piece]]
            free = sum(self._areas[piece] for piece in own)
            if free == 0 or free < least_visible * self._total[k]:
                continue
            for piece in own:
                owner[piece] = k + 1
            kept.append((k, own))
        for _, own in kept:
            for piece in self._crumbs(own) if len(own) > 1 else ():
                owner[piece] = 0
        column = np.zeros(len(self.scores) + 1, np.int64)
        column[np.sort([k for k, _ in kept]).astype(np.int64) + 1] = np.arange(1, len(kept) + 1)
        width = len(kept) + 1
        cells = self._true * width + column[np.array(owner)[self._piece]]
        counted = np.bincount(cells, self._shared, (self.number_true + 1) * width)
        return counted.astype(np.int64).reshape(-1, width)

    def _after_suppression(self, score_thr: float, nms_iou: float) -> list[int]:
        suppressed: set[int] = set()
        left = []
        for k in self.order.tolist():
            if self.scores[k] < score_thr:
                break
            if k not in suppressed:
                left.append(k)
                suppressed.update(other for other, iou in self._rivals[k] if iou > nms_iou)
        return left

    def _crumbs(self, own: list[int]) -> list[int]:
        """The pieces of a painted cell outside its largest connected part."""
        left, parts = set(own), []
        while left:
            part, edge = [], [min(left)]
            left.discard(edge[0])
            while edge:
                piece = edge.pop()
                part.append(piece)
                fresh = self._near[piece] & left
                left -= fresh
                edge.extend(fresh)
            parts.append(part)
        largest = max(parts, key=lambda part: sum(self._areas[piece] for piece in part))
        return [piece for part in parts if part is not largest for piece in part]


def _groups(rles: list[dict], size: tuple[int, int]) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """For each pixel, column by column, which detections cover it: an index of a list of them."""
    starts, ends, owners = decode_runs(rles)
    first = np.searchsorted(owners, np.arange(len(rles) + 1))
    groups = np.zeros(size[0] * size[1], np.int64)
    members: list[tuple[int, ...]] = [()]
    for k in range(len(rles)):
        own = slice(first[k], first[k + 1])
        lengths = ends[own] - starts[own]
        before = np.cumsum(lengths) - lengths
        pixels = np.arange(lengths.sum()) + np.repeat(starts[own] - before, lengths)
        there, place = np.unique(groups[pixels], return_inverse=True)
        groups[pixels] = len(members) + place
        members += [(*members[group], k) for group in there]
    return groups, members


def _neighbours(pieces: np.ndarray) -> dict[int, set[int]]:
    """Which pieces touch which, also corner to corner."""
    near: dict[int, set[int]] = defaultdict(set)
    sides = (
        (pieces[:, :-1], pieces[:, 1:]),
        (pieces[:-1], pieces[1:]),
        (pieces[:-1, :-1], pieces[1:, 1:]),
        (pieces[:-1, 1:], pieces[1:, :-1]),
    )
    for one, other in sides:
        touch = (one != other) & (one > 0) & (other > 0)
        pairs = np.unique(np.stack([one[touch], other[touch]]), axis=1)
        for a, b in pairs.T.tolist():
            near[a].add(b)
            near[b].add(a)
    return near


def _rivals(boxes: np.ndarray) -> list[list[tuple[int, float]]]:
    """For each box those that overlap it, with the IoU."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    shared = sides.clip(0).prod(2)
    area = boxes[:, 2:].prod(1)
    union = area[:, None] + area - shared
    iou = np.where(union > 0, shared / np.where(union > 0, union, 1), 0)
    np.fill_diagonal(iou, 0)
    return [[(int(j), float(row[j])) for j in np.flatnonzero(row)] for row in iou]
