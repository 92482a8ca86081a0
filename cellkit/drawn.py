"""From what people draw to cells: one rule each for overlaps, holes, pieces and the picture's edge.

A pixel belongs to an outline if its centre lies inside (:func:`cellkit.outlines.fill`). Holes are
not part of a cell, its pieces are. What lies outside the picture is cut off. Where two drawings
overlap, a pixel goes to the smaller one, at equal size to the one drawn later; a drawing of which
others cover more than half is left out, and so is what an overlap cuts off a cell in one piece.
Lines, points and empty drawings have no area and are left out, as is what covers nearly the whole
picture: a frame, not a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cellkit.label_maps import areas_and_boxes
from cellkit.outlines import Polygon, fill
from cellkit.overlaps import keep_labels
from cellkit.rle import decode_runs, decode_to_label_map, encode_crops, image_size
from cellkit.visible import count_pieces, keep_largest_piece, paint_by_score

Drawn = list[Polygon] | dict[str, Any] | None
"""One drawing: polygons in pixels from the picture's corner, a COCO RLE dict with packed counts, or
None for one that is marked as no cell.
"""

FRAME = 0.9
"""A drawing that covers this share of the picture or more is no cell."""

REASONS: dict[str, str] = {
    'marked': 'marked as no cell',
    'no_area': 'without area',
    'outside': 'outside the picture',
    'frame': 'around the whole picture',
    'hidden': 'covered by others',
}
"""Why drawings are left out, in words; without area is also what holds no pixel's centre."""


class Cells(NamedTuple):
    """The cells of a picture.

    Attributes:
        label_map: (H, W) int32, 0 background, 1..N in the order of the drawings.
        specks: Areas in pixels of what is smaller than a cell may be.
        left_out: Number of drawings by reason, for reasons that there were.
    """

    label_map: np.ndarray
    specks: list[int]
    left_out: dict[str, int]

    @property
    def reasons(self) -> list[str]:
        """What was left out, in words: how many and why."""
        return [f'{number} {REASONS[reason]}' for reason, number in self.left_out.items()]


def cells_of(drawings: Sequence[Drawn], size: tuple[int, int], min_area: int = 1) -> Cells:
    """Make a label map of a picture's drawings; the module says by which rules.

    Args:
        drawings: In the order in which they were drawn.
        size: (H, W) of the picture, pixels.
        min_area: Least pixels of a cell, all its pieces together.

    Raises:
        ValueError: A run-length mask is of another size or can't be read.
    """
    left_out = dict.fromkeys(REASONS, 0)
    rles: list[dict | None] = []
    crops = []
    for drawing in drawings:
        if isinstance(drawing, dict):
            image_size([drawing], size)
            rles.append(drawing)
        elif drawing is None:
            left_out['marked'] += 1
        elif _outside(drawing, size):
            left_out['outside'] += 1
        else:
            crops.append(fill(drawing, size))
            rles.append(None)
    packed = iter(encode_crops(*zip(*crops, strict=True), *size) if crops else ())
    rles = [rle or next(packed) for rle in rles]
    areas = _areas(rles)
    left_out['no_area'] = int(np.count_nonzero(areas == 0))
    frames = areas >= FRAME * size[0] * size[1]
    left_out['frame'] = int(np.count_nonzero(frames & (areas > 0)))
    wanted = np.flatnonzero((areas > 0) & ~frames)
    rles, areas = [rles[k] for k in wanted], areas[wanted]
    label_map, kept = paint_by_score(rles, -areas, size)
    left_out['hidden'] = len(rles) - len(kept)
    rles, areas = [rles[k] for k in kept], areas[kept]
    _drop_what_was_cut_off(label_map, rles, areas)
    sizes = areas_and_boxes(label_map, len(rles))[0][1:]
    big = sizes >= min_area
    label_map, _ = keep_labels(label_map, big)
    told = {reason: count for reason, count in left_out.items() if count}
    return Cells(label_map, sizes[~big].tolist(), told)


def _outside(polygons: Sequence[Polygon], size: tuple[int, int]) -> bool:
    """Whether there are points and none of their box lies in the picture."""
    points = [ring for rings in polygons for ring in rings if len(ring)]
    if not points:
        return False
    low, high = (np.array(f(np.concatenate(points), axis=0)) for f in (np.min, np.max))
    return bool((high <= 0).any() or (low >= size[::-1]).any())


def _areas(rles: Sequence[dict]) -> np.ndarray:
    starts, ends, owners = decode_runs(rles)
    lengths = (ends - starts).astype(float)
    return np.bincount(owners, lengths, len(rles)).astype(int)


def _drop_what_was_cut_off(label_map: np.ndarray, rles: Sequence[dict], areas: np.ndarray) -> None:
    """Erase, in place, what an overlap parted from a cell that was drawn in one piece."""
    now, _ = areas_and_boxes(label_map, len(rles))
    cut = np.flatnonzero(now[1:] < areas)
    whole = [k + 1 for k in cut.tolist() if count_pieces(decode_to_label_map([rles[k]])) == 1]
    keep_largest_piece(label_map, len(rles), whole)
