"""Thresholds tried on stored predictions: score, suppression of boxes, visibility."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.metrics.aggregated_jaccard import aji, aji_terms
from cellkit.metrics.counting import count_values
from cellkit.metrics.instances import (
    ABOVE_HALF,
    CELL_IOU_THRESHOLDS,
    detection_values,
    match_counts,
    panoptic_values,
)
from cellkit.metrics.pieces import ImagePieces
from cellkit.metrics.pixel import pixel_values
from tools.runs.predictions import PartPredictions
from tools.tune.space import Space

STANDARD = {'score_thr': 0.5, 'nms_iou': 0.5, 'least_visible': 0.5}
"""What holds without a search; a run has a score threshold of its own."""
MODEL_SETTINGS = {'nms_iou': 'model.test_cfg.rcnn.nms.iou_threshold'}
"""Those that a config holds."""

Tables = Sequence[np.ndarray]  # intersections, an image each
Group = Callable[[Tables], dict[str, Any]]


class Thresholds:
    """Values of a part of the data at any thresholds.

    Args:
        predictions: Of the part.
        truth: Of the same images.

    Raises:
        UserError: The annotations are of other images.
    """

    def __init__(self, predictions: PartPredictions, truth: GroundTruth) -> None:
        bar = tqdm(sorted(predictions.results), 'reading', unit='image', leave=False, disable=None)
        self.images = [ImagePieces(truth[k], *predictions.detections(k)) for k in bar]

    def values(self, thresholds: Mapping[str, float], keys: Sequence[str]) -> dict[str, float]:
        """Values by key at some thresholds; those that aren't named are :data:`STANDARD`."""
        tables = [image.table(**STANDARD | dict(thresholds)) for image in self.images]
        found: dict[str, Any] = {}
        for key in keys:
            if key not in found:
                found |= READERS[key](tables)
        return {key: float(found[key]) for key in keys}


def check_thresholds(space: Space) -> None:
    """Whether a space names thresholds, and values that they change.

    Raises:
        UserError: It doesn't.
    """
    for parameter in space.parameters:
        if parameter.name not in STANDARD:
            raise UserError(
                f'{space.file}: nothing reads `{parameter.name}`; the thresholds are '
                f'{", ".join(STANDARD)}'
            )
    if space.fixed:
        raise UserError(f'{space.file}: nothing is trained, so there are no settings to fix')
    for key in space.objectives:
        if key not in READERS:
            raise UserError(
                f'{space.file}: thresholds change no value {key}; name one of {", ".join(READERS)}'
            )


def _pixel(tables: Tables) -> dict[str, Any]:
    unions = [[t[1:, 1:].sum(), t[1:].sum(), t[:, 1:].sum()] for t in tables]
    return {f'pixel/{name}': value for name, value in pixel_values(np.array(unions)).items()}


def _count(tables: Tables) -> dict[str, Any]:
    true, found = np.array([np.subtract(t.shape, 1) for t in tables]).T
    return {f'count/{name}': value for name, value in count_values(true, found).items()}


def _panoptic(tables: Tables) -> dict[str, Any]:
    counts = np.sum([match_counts(t, [ABOVE_HALF])[0] for t in tables], axis=0)
    return {f'instance/{name}': value for name, value in panoptic_values(counts).items()}


def _aji(tables: Tables) -> dict[str, Any]:
    terms = np.stack([aji_terms(t) for t in tables])
    return {'instance/aji': aji(terms).mean(), 'instance/aji_pooled': aji(terms.sum(0))}


def _matched(tables: Tables, threshold: float) -> dict[str, Any]:
    counts = np.sum([match_counts(t, [threshold])[0] for t in tables], axis=0)
    ending = f'_{round(100 * threshold):02d}'
    return {f'instance/{name}{ending}': v for name, v in detection_values(counts).items()}


GROUPS: tuple[Group, ...] = (
    _pixel, _count, _panoptic, _aji,
    *(partial(_matched, threshold=threshold) for threshold in CELL_IOU_THRESHOLDS),
)  # fmt: skip
NOTHING = [np.zeros((1, 1), np.int64)]  # an image without cells, to learn what a group is called
READERS = {key: group for group in GROUPS for key in group(NOTHING)}
"""What computes each value."""
