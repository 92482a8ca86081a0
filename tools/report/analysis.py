"""What the evaluation's predictions show: precision-recall curves and the cause of every error."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.files.prepared import IMAGES, annotation_file
from cellkit.files.writing import sha256_of
from cellkit.metrics.average_precision import Curves, precision_recall
from cellkit.metrics.error_analysis import FOUND, neighbours
from cellkit.metrics.records import ImageRecord

CROWDING_RADIUS = 1.5  # typical cell diameters
BORDER = 2  # pixels


class Cells(NamedTuple):
    """Cells of all images, true or predicted.

    Attributes:
        image: (N,) int64 image id.
        outcome: (N,) int64 index into the outcomes' names.
        area: (N,) int64 pixels.
        centre: (N, 2) float64 x, y of the box's centre in pixels.
        neighbours: (N,) int64 true cells, other than itself, with their centre within
            :data:`CROWDING_RADIUS` typical diameters.
        at_border: (N,) bool, within :data:`BORDER` pixels of the image's border.
    """

    image: np.ndarray
    outcome: np.ndarray
    area: np.ndarray
    centre: np.ndarray
    neighbours: np.ndarray
    at_border: np.ndarray


class Analysis(NamedTuple):
    """What the predictions on a part show.

    Attributes:
        curves: Precision-recall curves of the masks, all detections.
        true: The true cells.
        predicted: The predicted cells at the score threshold.
        diameter: Typical diameter of a true cell, pixels.
    """

    curves: Curves
    true: Cells
    predicted: Cells
    diameter: float


class Part:
    """The evaluated part: its annotations, images, score threshold and predictions.

    Args:
        run: The run folder.
        evaluation: What ``tools.evaluate`` wrote.
        data: See :func:`evaluated_annotations`.

    Raises:
        UserError: Annotations or predictions aren't there or are others than those evaluated.
    """

    def __init__(self, run: Path, evaluation: Mapping[str, Any], data: Path | None = None) -> None:
        from tools.runs.predictions import read_predictions  # late: it imports MMDetection

        again = f'run `make evaluate RUN={shlex.quote(str(run))}` again'
        file = evaluated_annotations(evaluation, data)
        if sha256_of(file) != evaluation['annotations_sha256']:
            raise UserError(f'{file}: the annotations have changed since the evaluation; {again}')
        self.info = json.loads(file.read_bytes()).get('info', {})
        self.truth = GroundTruth(file)
        self.images = file.parent.parent / IMAGES
        self.threshold = float(evaluation['score_thr'])
        predictions = run / evaluation['predictions']
        try:
            self.predictions = read_predictions(predictions)
            checkpoint = self.predictions.about['checkpoint_sha256']
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{predictions}: the predictions aren't there or can't be read; {again}"
            ) from error
        if checkpoint != evaluation['checkpoint_sha256']:
            raise UserError(f'{predictions}: is of another checkpoint than the figures; {again}')

    @cached_property
    def records(self) -> dict[int, ImageRecord]:
        """What each image measures, by image id."""
        return {record.image_id: record for record in self.predictions.measure(self.truth)}


def evaluated_annotations(evaluation: Mapping[str, Any], data: Path | None = None) -> Path:
    """The annotation file that was evaluated, wherever the data lie now.

    Args:
        evaluation: What ``tools.evaluate`` wrote.
        data: The prepared data folder; by default the one that the evaluation names, and if that
            isn't there the one that DATA_ROOT names.

    Raises:
        UserError: There is none.
    """
    candidates = [Path(evaluation['annotations'])]
    if root := os.environ.get('DATA_ROOT'):
        candidates.append(annotation_file(Path(root), candidates[0].stem))
    if data is not None:
        candidates = [annotation_file(data, candidates[0].stem)]
    for file in candidates:
        if file.is_file():
            return file
    raise UserError(
        f'{candidates[0]}: there is no such annotation file; prepare the data (make prepare) or '
        'name the prepared folder with --data'
    )


def analyse(part: Part) -> Analysis:
    """Go through all images of a part."""
    areas = np.concatenate([part.truth[image_id].areas for image_id in part.records] or [[]])
    diameter = float(np.median(2 * np.sqrt(areas / np.pi))) if len(areas) else 0.0
    radius = CROWDING_RADIUS * diameter
    true, predicted = [], []
    for record in part.records.values():
        outcomes, shown = record.outcomes(part.threshold), record.scores >= part.threshold
        there = _cells(record, outcomes.true, record.true_areas, record.true_boxes)
        found = _cells(record, outcomes.predicted, record.areas[shown], record.boxes[shown])
        # A cell is one of the cells around it, and a prediction that is found is one too.
        around = neighbours(there.centre, there.centre, radius) - 1
        true.append(there._replace(neighbours=around))
        around = neighbours(found.centre, there.centre, radius) - (found.outcome == FOUND)
        predicted.append(found._replace(neighbours=np.maximum(around, 0)))
    curves = precision_recall([record.segm.of_all_areas() for record in part.records.values()])
    return Analysis(curves, _joined(true), _joined(predicted), diameter)


def _cells(
    record: ImageRecord, outcomes: np.ndarray, areas: np.ndarray, boxes: np.ndarray
) -> Cells:
    """The true or the predicted cells of an image, neighbours not counted yet."""
    low, high = boxes[:, :2], boxes[:, 2:]
    near = ((low < BORDER) | (high > np.array(record.size[::-1]) - BORDER)).any(1)
    ids, none = np.full(len(areas), record.image_id), np.zeros(len(areas), np.int64)
    return Cells(ids, outcomes, areas, (low + high) / 2, none, near & (areas > 0))


def _joined(cells: list[Cells]) -> Cells:
    return Cells(*(np.concatenate(parts) for parts in zip(*cells, strict=True)))
