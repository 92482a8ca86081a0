"""Pictures of the best and worst images, with true and predicted outlines and the errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from cellkit.label_maps import areas_and_boxes
from cellkit.metrics.error_analysis import ALONE, FOUND, SPLIT, TRUE_OUTCOMES
from tools.report_analysis import Compared, Part
from tools.report_figures import OUTCOME_COLOURS

TRUE_COLOUR, PREDICTED_COLOUR = '#00A651', '#FFE600'
WIDTH = 1000  # pixels of a picture in the page
TINT = 0.5
JPEG_QUALITY = 85
PICTURES = (2, 4)  # best and worst


class Picture(NamedTuple):
    """An image with outlines.

    Attributes:
        file: Name of the JPEG.
        jpeg: Its content.
        row: The image's own figures.
        best: Whether it is one of the best.
        counts: How many of its cells had each outcome.
    """

    file: str
    jpeg: bytes
    row: Mapping[str, Any]
    best: bool
    counts: dict[str, int]


def best_and_worst(
    rows: Sequence[Mapping[str, Any]], numbers: tuple[int, int] = PICTURES
) -> list[tuple[Mapping[str, Any], bool]]:
    """The images of greatest and of least panoptic quality, none of them twice.

    Args:
        rows: The images' own figures.
        numbers: How many best and worst at most.

    Returns:
        Rows, best first, then the worst from the very worst on; and whether it is one of the best.
    """
    ranked = sorted(rows, key=lambda row: (-(row['pq'] or 0), row['file_name']))
    best = ranked[: min(numbers[0], (len(ranked) + 1) // 2)]
    worst = ranked[len(best) :][::-1][: numbers[1]]
    return [(row, True) for row in best] + [(row, False) for row in worst]


def draw_pictures(part: Part, rows: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Pictures of the best and worst images; those whose file can't be read are left out."""
    pictures = []
    numbers = {True: 0, False: 0}
    for row, best in best_and_worst(rows):
        compared = part.compare(row['image_id'])
        path = part.images / compared.true.file_name
        image = cv2.imread(str(path)) if path.is_file() else None
        if image is None or image.shape[:2] != compared.true.size:
            continue
        numbers[best] += 1
        name = f'image_{"best" if best else "worst"}_{numbers[best]}.jpg'
        drawn = draw(image, compared)
        _, jpeg = cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        pictures.append(Picture(name, jpeg.tobytes(), row, best, _counts(compared)))
    return pictures


def draw(image: np.ndarray, compared: Compared) -> np.ndarray:
    """Tint what is wrong, outline the true and the predicted cells.

    Args:
        image: (H, W, 3) uint8 BGR.
        compared: Of that image.

    Returns:
        (h, w, 3) uint8 BGR, at most :data:`WIDTH` wide.
    """
    scale = min(WIDTH / image.shape[1], 1.0)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    drawn = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    true_map = cv2.resize(compared.true_map, size, interpolation=cv2.INTER_NEAREST)
    pred_map = cv2.resize(compared.pred_map, size, interpolation=cv2.INTER_NEAREST)
    outcomes = compared.outcomes
    tints = np.array([_bgr(OUTCOME_COLOURS[name]) for name in TRUE_OUTCOMES], np.float32)
    kinds = np.concatenate([[FOUND], outcomes.true])[true_map]
    found = np.concatenate([[FOUND], outcomes.predicted])[pred_map]
    colours = tints[kinds]
    colours[found == SPLIT] = _bgr(OUTCOME_COLOURS['split'])
    colours[found == ALONE] = _bgr(OUTCOME_COLOURS['spurious'])
    wrong = (kinds != FOUND) | (found == ALONE) | (found == SPLIT)
    drawn[wrong] = (drawn[wrong] * (1 - TINT) + colours[wrong] * TINT).astype(np.uint8)
    for label_map, colour, width in ((true_map, TRUE_COLOUR, 2), (pred_map, PREDICTED_COLOUR, 1)):
        cv2.polylines(drawn, _contours(label_map), True, _bgr(colour), width, cv2.LINE_AA)
    return drawn


def _contours(label_map: np.ndarray) -> list[np.ndarray]:
    number = int(label_map.max(initial=0))
    areas, boxes = areas_and_boxes(label_map, number)
    found = []
    for k in np.flatnonzero(areas):
        x1, y1, x2, y2 = boxes[k].tolist()
        mask = (label_map[y1:y2, x1:x2] == k).astype(np.uint8)
        contours, _ = cv2.findContours(
            mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x1, y1)
        )
        found.extend(contours)
    return found


def _bgr(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[k : k + 2], 16) for k in (5, 3, 1))


def _counts(compared: Compared) -> dict[str, int]:
    counts = np.bincount(compared.outcomes.true, minlength=len(TRUE_OUTCOMES))
    result = {name: int(number) for name, number in zip(TRUE_OUTCOMES, counts, strict=True)}
    result['extra pieces'] = int(np.count_nonzero(compared.outcomes.predicted == SPLIT))
    result['spurious'] = int(np.count_nonzero(compared.outcomes.predicted == ALONE))
    return result
