"""What the evaluation's predictions show: precision-recall curves and the cause of every error."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from cellkit.label_maps import areas_and_boxes
from cellkit.metrics.average_precision import (
    ALL_AREAS,
    Curves,
    ImageMatches,
    match_masks,
    precision_recall,
)
from cellkit.metrics.error_analysis import (
    FOUND,
    PREDICTED_OUTCOMES,
    TRUE_OUTCOMES,
    Outcomes,
    explain,
    neighbours,
)
from cellkit.metrics.ground_truth import GroundTruth, TrueImage
from cellkit.overlaps import intersection_table, keep_labels
from cellkit.visible import visible_cells
from tools.errors import UserError
from tools.fingerprint import sha256_of

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
    """The evaluated part: its annotations and predictions.

    Args:
        run: The run folder.
        evaluation: What ``tools.evaluate`` wrote.
        data: The prepared data folder; by default the one that the evaluation names, and if that
            isn't there the one that DATA_ROOT names.

    Attributes:
        truth: The annotations.
        info: What the annotation file says of itself.
        images: Folder of the images.
        results: COCO results by image id.
        about: What the predictions depend on and what they cost.

    Raises:
        UserError: Annotations or predictions aren't there or are others than those evaluated.
    """

    def __init__(self, run: Path, evaluation: Mapping[str, Any], data: Path | None = None) -> None:
        again = f'run `make evaluate RUN={shlex.quote(str(run))}` again'
        file = annotation_file(evaluation, data)
        content = file.read_bytes()
        if sha256_of(file) != evaluation['annotations_sha256']:
            raise UserError(f'{file}: the annotations have changed since the evaluation; {again}')
        self.info = json.loads(content).get('info', {})
        self.truth = GroundTruth(file)
        self.images = file.parent.parent / 'images'
        self.threshold = float(evaluation['score_thr'])
        predictions = run / evaluation['predictions']
        try:
            self.about = json.loads(predictions.with_suffix('.about.json').read_bytes())
            if self.about['checkpoint_sha256'] != evaluation['checkpoint_sha256']:
                raise UserError(
                    f'{predictions}: is of another checkpoint than the figures; {again}'
                )
            self.results: dict[int, list[dict]] = {k: [] for k in self.about['image_ids']}
            for item in json.loads(predictions.read_bytes()):
                self.results[item['image_id']].append(item)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{predictions}: the predictions aren't there or can't be read; {again}"
            ) from error

    def compare(self, image_id: int) -> Compared:
        """Label maps of an image, the outcomes of its cells, and its matches for the curves."""
        true, results = self.truth[image_id], self.results[image_id]
        rles = [item['segmentation'] for item in results]
        scores = np.array([item['score'] for item in results], float)
        matches = match_masks(rles, scores, true.rles, true.areas, area_ranges=ALL_AREAS)
        pred_map, kept = visible_cells(rles, scores, true.size)
        pred_map, number = keep_labels(pred_map, scores[kept] >= self.threshold)
        true_map = true.label_map()
        table = intersection_table(true_map, pred_map, len(true.rles), number)
        return Compared(true, true_map, pred_map, table, explain(table), matches)


class Compared(NamedTuple):
    """One image's truth and prediction."""

    true: TrueImage
    true_map: np.ndarray
    pred_map: np.ndarray
    table: np.ndarray
    outcomes: Outcomes
    matches: ImageMatches


def annotation_file(evaluation: Mapping[str, Any], data: Path | None = None) -> Path:
    """The annotation file that was evaluated, wherever the data lie now.

    Raises:
        UserError: There is none.
    """
    named = Path(evaluation['annotations'])
    candidates = [named]
    if os.environ.get('DATA_ROOT'):
        candidates.append(Path(os.environ['DATA_ROOT']) / 'annotations' / named.name)
    if data is not None:
        candidates = [data / 'annotations' / named.name]
    for file in candidates:
        if file.is_file():
            return file
    raise UserError(
        f'{candidates[0]}: there is no such annotation file; prepare the data (make prepare) or '
        'name the prepared folder with --data'
    )


def analyse(part: Part) -> Analysis:
    """Go through all images of a part."""
    areas = np.concatenate([part.truth[k].areas for k in part.results] or [np.zeros(0)])
    diameter = float(np.median(2 * np.sqrt(areas / np.pi))) if len(areas) else 0.0
    matches, true, predicted = [], [], []
    for image_id in tqdm(
        sorted(part.results), desc='error analysis', unit='image', disable=None, leave=False
    ):
        compared = part.compare(image_id)
        matches.append(compared.matches)
        radius = CROWDING_RADIUS * diameter
        centres = _cells(image_id, compared.true_map, compared.outcomes.true)
        found = _cells(image_id, compared.pred_map, compared.outcomes.predicted)
        around = neighbours(centres.centre, centres.centre, radius) - 1
        true.append(centres._replace(neighbours=around))
        # A prediction that is found is one of the cells around it.
        own = (found.outcome == FOUND).astype(np.int64)
        around = np.maximum(neighbours(found.centre, centres.centre, radius) - own, 0)
        predicted.append(found._replace(neighbours=around))
    return Analysis(precision_recall(matches), _joined(true), _joined(predicted), diameter)


def _cells(image_id: int, label_map: np.ndarray, outcomes: np.ndarray) -> Cells:
    areas, boxes = areas_and_boxes(label_map, len(outcomes))
    areas, boxes = areas[1:], boxes[1:]
    height, width = label_map.shape
    at_border = (
        (boxes[:, :2] < BORDER).any(1)
        | (boxes[:, 2] > width - BORDER)
        | (boxes[:, 3] > height - BORDER)
    )
    return Cells(
        np.full(len(outcomes), image_id),
        outcomes,
        areas,
        (boxes[:, :2] + boxes[:, 2:]) / 2,
        np.zeros(len(outcomes), np.int64),
        at_border & (areas > 0),
    )


def _joined(cells: list[Cells]) -> Cells:
    return Cells(*(np.concatenate(parts) for parts in zip(*cells, strict=True)))


def error_rows(part: Part, analysis: Analysis) -> list[dict[str, Any]]:
    """A row for every cell that is wrong, to look it up in its image."""
    rows = []
    for kind, cells, names in (
        ('true', analysis.true, TRUE_OUTCOMES),
        ('predicted', analysis.predicted, PREDICTED_OUTCOMES),
    ):
        for k in np.flatnonzero(cells.outcome != FOUND):
            rows.append(
                {
                    'image': part.truth[int(cells.image[k])].file_name,
                    'cell': kind,
                    'error': names[cells.outcome[k]],
                    'x': round(float(cells.centre[k, 0]), 1),
                    'y': round(float(cells.centre[k, 1]), 1),
                    'area_px': int(cells.area[k]),
                    'neighbours': int(cells.neighbours[k]),
                    'at_border': bool(cells.at_border[k]),
                }
            )
    return sorted(rows, key=lambda row: row['image'])
