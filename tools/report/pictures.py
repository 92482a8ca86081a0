"""Pictures of the best and worst images, with true and predicted outlines and the errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from cellkit.contours import SHIFT, contours_of
from cellkit.errors import BadFile
from cellkit.files.pictures import read_picture
from cellkit.files.stored import Whites
from cellkit.label_maps import areas_and_boxes, resize
from cellkit.metrics.error_analysis import ALONE, FOUND, SPLIT, TRUE_OUTCOMES, Outcomes
from cellkit.overlaps import keep_labels
from cellkit.visible import visible_cells
from tools.report.analysis import Part
from tools.report.figures import OUTCOME_COLOURS
from tools.report.tables import number

TRUE_COLOUR, PREDICTED_COLOUR = '#00A651', '#FFE600'
WIDTH = 1000  # pixels of a picture in the page
TINT = 0.5
BEST, WORST = 2, 4  # numbers of pictures


class Picture(NamedTuple):
    """An image with outlines.

    Attributes:
        file: Name of the JPEG.
        jpeg: Its content.
        best: Whether it is one of the best.
        caption: The image's own values and errors, in words.
    """

    file: str
    jpeg: bytes
    best: bool
    caption: str


def best_and_worst(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], bool]]:
    """The images of greatest and of least panoptic quality, none of them twice.

    Returns:
        Rows, best first, then the worst from the very worst on; and whether it is one of the best.
    """
    ranked = sorted(rows, key=lambda row: (-(row['pq'] or 0), row['file_name']))
    best = ranked[: min(BEST, (len(ranked) + 1) // 2)]
    worst = ranked[len(best) :][::-1][:WORST]
    return [(row, True) for row in best] + [(row, False) for row in worst]


def draw_pictures(part: Part, rows: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Pictures of the best and worst images; those whose file can't be read are left out."""
    pictures, numbers = [], {True: 0, False: 0}
    for row, best in best_and_worst(rows):
        true, detections = part.truth[row['image_id']], part.predictions.detections(row['image_id'])
        try:
            image = read_picture(part.images / true.file_name, Whites.of(true.white)).pixels
        except BadFile:
            continue
        if image.shape[:2] != true.size:
            continue
        outcomes = part.records[row['image_id']].outcomes(part.threshold)
        pred_map, kept = visible_cells(detections.rles, detections.scores, true.size)
        pred_map, _ = keep_labels(pred_map, detections.scores[kept] >= part.threshold)
        drawn = draw(image, true.label_map(), pred_map, outcomes)
        _, jpeg = cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, 85])
        numbers[best] += 1
        name = f'image_{"best" if best else "worst"}_{numbers[best]}.jpg'
        pictures.append(Picture(name, jpeg.tobytes(), best, _caption(row, outcomes)))
    return pictures


def draw(
    image: np.ndarray, true_map: np.ndarray, pred_map: np.ndarray, outcomes: Outcomes
) -> np.ndarray:
    """Tint what is wrong, outline the true and the predicted cells.

    Args:
        image: (H, W, 3) uint8 BGR.
        true_map: (H, W) int32 label map.
        pred_map: Likewise.
        outcomes: Of both.

    Returns:
        (h, w, 3) uint8 BGR, at most :data:`WIDTH` wide.
    """
    scale = min(WIDTH / image.shape[1], 1.0)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    drawn = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    true_map, pred_map = (resize(part, size[::-1]) for part in (true_map, pred_map))
    tints = np.array([_bgr(OUTCOME_COLOURS[name]) for name in TRUE_OUTCOMES], np.float32)
    kinds = np.concatenate([[FOUND], outcomes.true])[true_map]
    found = np.concatenate([[FOUND], outcomes.predicted])[pred_map]
    colours = tints[kinds]
    colours[found == SPLIT] = _bgr(OUTCOME_COLOURS['split'])
    colours[found == ALONE] = _bgr(OUTCOME_COLOURS['spurious'])
    wrong = (kinds != FOUND) | (found == ALONE) | (found == SPLIT)
    drawn[wrong] = (drawn[wrong] * (1 - TINT) + colours[wrong] * TINT).astype(np.uint8)
    for label_map, colour, width in ((true_map, TRUE_COLOUR, 2), (pred_map, PREDICTED_COLOUR, 1)):
        curves = _contours(label_map)
        cv2.polylines(drawn, curves, True, _bgr(colour), width, cv2.LINE_AA, SHIFT)
    return drawn


def _contours(label_map: np.ndarray) -> list[np.ndarray]:
    areas, boxes = areas_and_boxes(label_map, int(label_map.max(initial=0)))
    curves = [contours_of(label_map, k, boxes[k]) for k in np.flatnonzero(areas).tolist()]
    return [curve for found in curves for curve in found]


def _bgr(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[k : k + 2], 16) for k in (5, 3, 1))


def _caption(row: Mapping[str, Any], outcomes: Outcomes) -> str:
    counts = np.bincount(outcomes.true, minlength=len(TRUE_OUTCOMES))
    wrong = list(zip(counts, TRUE_OUTCOMES, strict=True))[FOUND + 1 :]
    wrong.append((np.count_nonzero(outcomes.predicted == SPLIT), 'extra pieces'))
    wrong.append((np.count_nonzero(outcomes.predicted == ALONE), 'spurious'))
    errors = ', '.join(f'{count} {name}' for count, name in wrong if count)
    pq, dice = number(row['pq'], '.3f'), number(row['dice'], '.3f')
    return (
        f'{row["file_name"]}: {row["true"]} cells, {row["predicted"]} counted; panoptic quality '
        f'{pq}, Dice {dice}; {errors or "no error"}'
    )
