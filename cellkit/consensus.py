"""One set of detections from those of several views of an image, merged on run lengths.

A flipped or turned image shows a network the same cells in another way, and its errors differ: the
mean is better than any view (test-time augmentation). Masks are put to the vote pixel by pixel as
weighted boxes are averaged in Solovyev, Wang and Gabruseva, "Weighted boxes fusion" (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from cellkit.rle import Runs, decode_runs, encode_runs, image_size

SAME_CELL = 0.5
"""Least IoU of two views' masks of one cell."""

_STEPS = 1 << 40  # whole-number weights: sums that are equal come out so, in any order


class Consensus(NamedTuple):
    """Merged detections, best first.

    Attributes:
        rles: K COCO RLE dicts.
        scores: (K,) float64: the mean over all views, 0 where a view lacks the cell.
        boxes: (K, 4) float64: the members' mean by score.
        agreement: (K,) float64: the share of views that have it.
    """

    rles: list[dict]
    scores: np.ndarray
    boxes: np.ndarray
    agreement: np.ndarray


def consensus(
    rles: Sequence[dict], scores: np.ndarray, boxes: np.ndarray, views: np.ndarray, num_views: int
) -> Consensus:
    """Merge the detections of several views, which lie on one image.

    Going down the scores, a detection joins the group whose best one it shares most with, at least
    :data:`SAME_CELL`, and which has none of its view yet; else it begins a group. A pixel is in a
    group's mask if detections with half of the group's scores have it.

    Args:
        rles: N COCO RLE dicts of one size, of all views.
        scores: (N,) float, greater than 0, at most 1.
        boxes: (N, 4) float, any coordinates.
        views: (N,) int, 0 to ``num_views - 1``: the view that each is from.
        num_views: Number of views, those without a detection too.
    """
    scores, boxes = np.asarray(scores, float), np.asarray(boxes, float).reshape(-1, 4)
    if not len(rles):
        return Consensus([], scores, boxes, scores)
    order = np.argsort(-scores, kind='stable')
    groups = _group([rles[k] for k in order], np.asarray(views)[order])
    groups = groups[np.argsort(order)]
    num = int(groups.max()) + 1
    sums = np.bincount(groups, scores, num)
    size = image_size(rles)
    merged = encode_runs(_majority(decode_runs(rles), scores, groups, num), num, *size)
    means = np.stack([np.bincount(groups, scores * side, num) / sums for side in boxes.T], axis=1)
    agreement = np.bincount(groups, minlength=num) / num_views
    best = np.argsort(-sums, kind='stable')
    return Consensus(
        [merged[k] for k in best], sums[best] / num_views, means[best], agreement[best]
    )


def _group(rles: Sequence[dict], views: np.ndarray) -> np.ndarray:
    """The group of each of N detections, which come in order of their scores, best first."""
    shared = coco_mask.iou(rles, rles, [0] * len(rles))
    groups = np.zeros(len(rles), np.int64)
    leaders: list[int] = []
    has = np.zeros((len(rles), int(views.max()) + 1), bool)
    for k, view in enumerate(views):
        fit = np.where(has[: len(leaders), view], 0.0, shared[k, leaders])
        if len(leaders) and fit.max() >= SAME_CELL:
            groups[k] = int(fit.argmax())
        else:
            groups[k] = len(leaders)
            leaders.append(k)
        has[groups[k], view] = True
    return groups


def _majority(runs: Runs, scores: np.ndarray, groups: np.ndarray, num: int) -> Runs:
    """Runs of the pixels that masks with at least half of their group's scores have."""
    weights = np.maximum(np.rint(scores * _STEPS), 1).astype(np.int64)
    half = np.zeros(num, np.int64)
    np.add.at(half, groups, weights)
    group, weight = groups[runs.owners], weights[runs.owners]
    places, owners = np.concatenate([runs.starts, runs.ends]), np.concatenate([group, group])
    order = np.lexsort((places, owners))
    places, owners = places[order], owners[order]
    votes = np.cumsum(np.concatenate([weight, -weight])[order])  # 0 again after each group
    last = np.append((places[1:] != places[:-1]) | (owners[1:] != owners[:-1]), True)
    places, owners, votes = places[last], owners[last], votes[last]
    inside = 2 * votes >= half[owners]
    inside &= votes > 0
    before = np.concatenate(([False], inside[:-1]))  # the last place of a group has no votes
    starts, ends = inside & ~before, before & ~inside
    return Runs(places[starts], places[ends], owners[starts])


def flip_rles(rles: Sequence[dict], direction: str) -> list[dict]:
    """Masks as they lie after a flip of the image, from their run lengths.

    Args:
        rles: N COCO RLE dicts of one size.
        direction: ``"horizontal"`` (left and right change), ``"vertical"`` or ``"diagonal"``
            (both), as MMDetection names them.

    Raises:
        ValueError: There is no such direction.
    """
    if direction not in ('horizontal', 'vertical', 'diagonal'):
        raise ValueError(f'direction must be horizontal, vertical or diagonal, not {direction}')
    if not rles:
        return []
    height, width = image_size(rles)
    starts, ends, owners = decode_runs(rles)
    if direction != 'diagonal':  # by columns: their order or their pixels' order stays
        starts, ends, owners = _cut_at_columns(starts, ends, owners, height)
        column = starts // height
        if direction == 'horizontal':
            shift = (width - 1 - 2 * column) * height
            starts, ends = starts + shift, ends + shift
        else:
            both = (2 * column + 1) * height
            starts, ends = both - ends, both - starts
    else:
        starts, ends = height * width - ends, height * width - starts
    order = np.lexsort((starts, owners))
    return encode_runs(Runs(starts[order], ends[order], owners[order]), len(rles), height, width)


def _cut_at_columns(starts: np.ndarray, ends: np.ndarray, owners: np.ndarray, height: int) -> Runs:
    """The same pixels in runs of one column each."""
    first, last = starts // height, (ends - 1) // height
    counts = last - first + 1
    rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    column = np.repeat(first, counts) + rank
    return Runs(
        np.maximum(np.repeat(starts, counts), column * height),
        np.minimum(np.repeat(ends, counts), (column + 1) * height),
        np.repeat(owners, counts),
    )
