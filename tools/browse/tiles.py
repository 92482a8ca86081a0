"""Draw a sample as it stands on the sheet."""

from __future__ import annotations

import cv2
import numpy as np
from mmdet.structures.mask import BaseInstanceMasks

from cellkit.contours import CELL_COLOUR, OTHER_COLOUR, SHIFT, contours_of
from custom_modules.structures.label_map_masks import LabelMapMasks
from data_prep.sheet import Tile, fitted
from tools.browse.samples import Sample

LEGEND = 'cells green, ignored ones amber with a cross'
SIDE = 45
"""Most letters of a line below a tile."""


def tile(what: str, sample: Sample) -> Tile:
    """A sample with outlines; below it what it is, how many cells it has and of which image."""
    height, width = sample.image.shape[:2]
    size = fitted(width, height)
    drawn = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
    scale = size[0] / width
    for masks, colour in ((sample.cells, CELL_COLOUR), (sample.ignored, OTHER_COLOUR)):
        if masks is None:
            continue
        for curves, box in _outlined(masks, scale):
            cv2.polylines(drawn, curves, True, colour[::-1], 1, cv2.LINE_AA, SHIFT)
            if masks is sample.ignored:
                _cross(drawn, box * scale, colour[::-1])
    counts = [(sample.cells, 'cells'), (sample.ignored, 'ignored')]
    told = [f'{len(masks)} {word}' for masks, word in counts if masks is not None and len(masks)]
    words = f'{what}: {", ".join(told) or "no cells"}, {width}x{height}'
    name = sample.name
    name = name if len(name) <= SIDE else f'{name[: SIDE // 2]}…{name[-(SIDE // 2) :]}'
    return Tile(drawn[..., ::-1], f'{words}\n{name}')


def _outlined(masks: BaseInstanceMasks, scale: float) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Curves and box of each mask that has a pixel."""
    boxes = masks.get_bboxes('hbox').numpy().astype(int)
    if isinstance(masks, LabelMapMasks):
        maps = [(masks.label_map, int(label)) for label in masks.ids]
    else:
        maps = [(bitmap, 1) for bitmap in masks.to_ndarray()]
    pairs = zip(maps, boxes, strict=True)
    return [(contours_of(*one, box, scale=scale), box) for one, box in pairs if box.any()]


def _cross(drawn: np.ndarray, box: np.ndarray, colour: tuple[int, ...]) -> None:
    x, y = (box[:2] + box[2:]) / 2
    place = round(float(x)), round(float(y))
    cv2.drawMarker(drawn, place, colour, cv2.MARKER_TILTED_CROSS, 10, 1, cv2.LINE_AA)
