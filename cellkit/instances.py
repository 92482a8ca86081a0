"""From a foreground mask to cell instances: the one place where the instance rule stands.

A cell is a connected component (8 neighbours) with at least 100 pixels of a mask of two values, or
of ``mask > 127``. This rule reproduces the published object counts of the BCCD data set with masks;
with 4 neighbours the thin cuts between cells shed crumbs. Where a mask numbers its cells, one is
what has one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

CLASSES: tuple[str, ...] = ('cell',)
"""Class names in the order of their category ids, which start at 1."""

THRESHOLD: int = 127
"""A mask pixel is foreground when its value is greater than this (0..255)."""

CONNECTIVITY: int = 8
"""Neighbours of a pixel, 4 or 8."""

MIN_AREA: int = 100
"""Components smaller than this (pixels) are specks, not cells."""

# Touching cells: which components are looked at, and which maxima count.
AREA_RATIO = 1.3  # least area, in medians of the image's components
SOLIDITY = 0.97  # greatest area, in areas of the convex hull
DEPTH = 0.03  # least height of a seed over its saddle; larger cuts less


@dataclass(frozen=True)
class Speck:
    """A component too small to be a cell; its box is ``(x, y, width, height)``, in pixels."""

    bbox: tuple[int, int, int, int]
    area: int


def label_instances(
    mask: np.ndarray,
    threshold: int = THRESHOLD,
    connectivity: int = CONNECTIVITY,
    min_area: int = MIN_AREA,
) -> tuple[np.ndarray, list[Speck]]:
    """Label the cells of a ``(H, W)`` mask: a bool one, or a numeric one above ``threshold``.

    Returns:
        The label map, ``(H, W)`` int32 with 0 for background and ``1..N`` for the cells in the
        order of their first pixel in reading order (row by row), and the dropped specks.

    Raises:
        ValueError: The mask is not two-dimensional, or ``connectivity`` is neither 4 nor 8.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f'mask must have shape (H, W), not {mask.shape}; pass one channel')
    if connectivity not in (4, 8):
        raise ValueError(f'connectivity must be 4 or 8, not {connectivity}')
    foreground = mask if mask.dtype == bool else mask > threshold
    if mask.size == 0:
        return np.zeros(mask.shape, np.int32), []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(foreground).view(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S
    )
    cells = stats[:, cv2.CC_STAT_AREA] >= min_area
    cells[0] = False
    specks = [Speck((x, y, w, h), area) for x, y, w, h, area in stats[1:][~cells[1:]].tolist()]
    specks.sort(key=lambda speck: (speck.bbox[1], speck.bbox[0], speck.bbox, speck.area))
    kept = np.flatnonzero(cells)
    # OpenCV's order of labels depends on its algorithm and threads; reading order does not.
    kept = kept[np.argsort([_first_pixel(labels, k, stats[k]) for k in kept], kind='stable')]
    lookup = np.zeros(count, np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return _relabel(labels, lookup, stats), specks


def label_cells(label_map: np.ndarray, min_area: int = MIN_AREA) -> tuple[np.ndarray, list[Speck]]:
    """Take the cells of a ``(H, W)`` map of labels, 0 being background, as they are labelled.

    A label is one cell, also where it lies in several pieces or has neighbours without a gap. One
    with fewer than ``min_area`` pixels altogether is a speck.

    Returns:
        As :func:`label_instances`.
    """
    from scipy import ndimage  # slow to import

    areas = np.bincount(label_map.ravel())
    areas[0] = 0
    boxes = ndimage.find_objects(label_map)
    specks = []
    for k in np.flatnonzero((areas > 0) & (areas < min_area)):
        rows, columns = boxes[k - 1]
        box = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        specks.append(Speck(box, int(areas[k])))
    specks.sort(key=lambda speck: (speck.bbox[1], speck.bbox[0], speck.bbox, speck.area))
    kept = np.flatnonzero(areas >= max(min_area, 1))
    lookup = np.zeros(len(areas), np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    kept_map = lookup[label_map]
    return (_in_reading_order(kept_map) if len(kept) else kept_map), specks


def _relabel(labels: np.ndarray, lookup: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """``lookup[labels]``, in place and inside the changed labels' boxes where that is less work."""
    changed = np.flatnonzero(lookup != np.arange(len(lookup)))
    if np.prod(boxes[changed, 2:4], axis=1, dtype=np.int64).sum() > labels.size:
        return lookup[labels]
    places = []
    for k in changed:
        left, top, width, height = boxes[k, :4].tolist()
        view = labels[top : top + height, left : left + width]
        places.append((view, view == k, lookup[k]))
    for view, where, new in places:
        view[where] = new
    return labels


def split_touching(
    label_map: np.ndarray, min_area: int = MIN_AREA
) -> tuple[np.ndarray, dict[int, int]]:
    """Cut components that are several touching cells.

    Looked at are components that are large for their image and have a dent. Each is cut by a
    watershed of the distance to its border (scikit-image), seeded at the maxima that rise above
    the saddle to a higher one by at least :data:`DEPTH` of the component's greatest distance.

    Args:
        label_map: ``(H, W)`` int, 0 background, ``1..N`` components.
        min_area: A component isn't cut when a piece would be smaller than this (pixels).

    Returns:
        ``(H, W)`` int32 label map of the same foreground, cells in reading order, and for each
        component that was cut its label in the map that was given and its number of pieces.
    """
    from scipy import ndimage  # slow to import, as the others
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    result = label_map.astype(np.int32)
    boxes = ndimage.find_objects(result)
    areas = np.bincount(result.ravel())[1:]
    if not areas.any():
        return result, {}
    count, cut = len(areas), {}
    for k in np.flatnonzero(areas >= AREA_RATIO * np.median(areas[areas > 0])) + 1:
        component = label_map[boxes[k - 1]] == k
        if _solidity(component) > SOLIDITY:
            continue
        component = np.pad(component, 1)
        bitmap = component.view(np.uint8)
        distance = cv2.distanceTransform(bitmap, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        distance = cv2.GaussianBlur(distance, (0, 0), 2.0)  # a rough border makes false maxima
        seeds, found = ndimage.label(h_maxima(distance, DEPTH * distance.max()), np.ones((3, 3)))
        if found < 2:
            continue
        pieces = watershed(-distance, seeds, mask=component)[1:-1, 1:-1]
        # A seed may lie beside a very small component: its piece has no pixel.
        if np.bincount(pieces.ravel(), minlength=found + 1)[1:].min() < max(min_area, 1):
            continue
        rest = pieces > 1
        result[boxes[k - 1]][rest] = pieces[rest] - 1 + count
        count += found - 1
        cut[int(k)] = found
    return (_in_reading_order(result) if cut else result), cut


def _in_reading_order(label_map: np.ndarray) -> np.ndarray:
    """Renumber ``1..N`` (none empty) by each label's first pixel in reading order."""
    from scipy import ndimage  # slow to import

    boxes = ndimage.find_objects(label_map)
    firsts = [
        _first_pixel(label_map, k, (columns.start, rows.start, columns.stop - columns.start))
        for k, (rows, columns) in enumerate(boxes, start=1)
    ]
    lookup = np.zeros(len(boxes) + 1, np.int32)
    lookup[1 + np.argsort(firsts)] = np.arange(1, len(boxes) + 1)
    return lookup[label_map]


def _first_pixel(label_map: np.ndarray, k: int, box: Sequence[int]) -> int:
    """Flat index of label ``k``'s first pixel; ``box`` begins ``(left, top, width)``."""
    left, top, width = (int(v) for v in box[:3])
    column = int(np.argmax(label_map[top, left : left + width] == k))
    return top * label_map.shape[1] + left + column


def _solidity(component: np.ndarray) -> float:
    """Area of a component's crop over the area of its convex hull, both in pixels."""
    bitmap = component.astype(np.uint8)
    contours, _ = cv2.findContours(bitmap, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = np.zeros(component.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(contours)), 1)
    return float(np.count_nonzero(component) / max(np.count_nonzero(hull), 1))
