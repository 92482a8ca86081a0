"""What is written of one picture: its files, and the values of its cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.count_interval import Evidence
from cellkit.rle import encode_label_map
from cellkit.shapes import shape_values
from tools.predict.detector import Segmentation
from tools.predict.formats import DEFAULT, FORMATS, Found


class Outcome(NamedTuple):
    """A picture's results.

    Attributes:
        files: The content of a file for each format, or where it lies, to be moved.
        values: Of the picture, by the keys of ``COUNT_COLUMNS``.
        cells: Values of each cell, by the keys of ``CELL_COLUMNS``.
        rles: COCO RLE dict of each cell.
        evidence: What the scores say of the number of cells; None without a calibration.
    """

    files: dict[str, bytes | Path]
    values: dict[str, Any]
    cells: list[dict[str, Any]]
    rles: list[dict[str, Any]]
    evidence: Evidence | None = None


def outcome_of(
    name: str,
    picture: np.ndarray,
    found: Segmentation,
    formats: Sequence[str] = DEFAULT,
    pixel_size: float | None = None,
    calibration: Calibration | None = None,
) -> Outcome:
    """Measure and draw a picture's cells.

    Args:
        name: Of the picture, for messages.
        picture: (H, W, 3) uint8 BGR.
        found: Its cells.
        formats: Keys of ``FORMATS``.
        pixel_size: Micrometres a pixel, or None.
        calibration: Says how sure a score is.

    Raises:
        BadFile: There are too many cells for one of the formats.
    """
    label_map, scores = found.label_map, found.scores
    values = shape_values(label_map, border_of(found.resolution))
    count, cells, evidence = measured(values, scores, found.doubtful, label_map.shape, calibration)
    rles = encode_label_map(label_map, len(scores))
    seen = Found(name, picture, label_map, cells, found.resolution, pixel_size)
    files = {key: FORMATS[key].encode(seen) for key in formats}
    return Outcome(files, count, cells, rles, evidence)


def border_of(resolution: float) -> int:
    """Width of a picture's border, pixels: the mask of a cell that is cut may end a pixel of the
    network's picture before the edge.
    """
    return max(math.ceil(resolution - 1e-3), 1)


def measured(
    values: Mapping[str, np.ndarray],
    scores: np.ndarray,
    doubtful: np.ndarray,
    size: tuple[int, int],
    calibration: Calibration | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]], Evidence | None]:
    """The values of a picture, of each cell, and the evidence, as :class:`Outcome` has them.

    Args:
        values: Of the N cells, by the names of ``cellkit.shapes.COLUMNS``.
        scores: (N,) float64.
        doubtful: (M,) float64 scores of what else might be a cell.
        size: (height, width) of the picture, pixels.
        calibration: Says how sure a score is.
    """
    at_border = values['touches_border']
    whole = values['area'][~at_border]  # what the border cuts says nothing about size
    count = {
        'cells': len(scores),
        'touching_border': int(np.count_nonzero(at_border)),
        'mean_area': float(np.mean(whole)) if len(whole) else None,
        'median_area': float(np.median(whole)) if len(whole) else None,
        'foreground_fraction': int(values['area'].sum()) / max(size[0] * size[1], 1),
        'width': size[1],
        'height': size[0],
        'scale': 1.0,  # who chooses another says so
        'scale_from': 'as it is',
    }
    evidence = calibration and calibration.evidence(np.append(scores, doubtful))
    ends = evidence and calibration.interval([evidence])
    count['cells_low'], count['cells_high'] = ends or (None, None)
    sure = calibration.probabilities(scores) if calibration else np.full(len(scores), None)
    columns = {**values, 'score': scores, 'probability': sure}
    columns = {key: column.tolist() for key, column in columns.items()}
    cells = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return count, cells, evidence
