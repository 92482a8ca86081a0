"""Calibrate a detector on the records of validation images, and check it on those of others.

The candidates of an image are its visible cells whose score is at least :data:`LEAST_SCORE`,
whatever the score threshold: also those below it may be cells. A candidate is a hit if it is paired
with a true cell at IoU 0.5 as for F1 (:mod:`cellkit.metrics.instances`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cellkit.metrics.calibration import BINS, calibrate, fit_temperature, reliability
from cellkit.metrics.count_interval import (
    CountModel,
    Evidence,
    count_interval,
    evidence_of,
    fit_count_model,
)
from cellkit.metrics.records import ImageRecord
from cellkit.overlaps import iou_matrix, optimal_matching

LEAST_SCORE = 0.2
"""What lies below is a cell too rarely to be worth a mask: a candidate needs this score."""
LEAST_IMAGES, LEAST_CELLS = 5, 50
"""With fewer validation images, or fewer candidates on them, nothing is fitted."""
IOU = 0.5


class Calibration(NamedTuple):
    """How sure a detector is, as validation images have it.

    Attributes:
        temperature: Of the scores, see :mod:`cellkit.metrics.calibration`.
        counts: For intervals of counts.
        images: Number of validation images.
        candidates: Number of their candidates.
    """

    temperature: float
    counts: CountModel
    images: int
    candidates: int

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """(N,) probabilities that detections of (N,) scores are cells."""
        return calibrate(scores, self.temperature)

    def evidence(self, scores: np.ndarray) -> Evidence:
        """What an image's visible cells say of their number; those below the least score don't."""
        return evidence_of_scores(scores, self.temperature)

    def interval(self, evidence: Sequence[Evidence]) -> tuple[int, int]:
        """95 % interval for the number of cells in all these images together."""
        return count_interval(self.counts, evidence)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict() | {'counts': self.counts._asdict()}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Calibration:
        """What :meth:`as_dict` gave."""
        return cls(**{**found, 'counts': CountModel(**found['counts'])})


class Image(NamedTuple):
    """What calibration takes of a record: (P,) scores of the visible cells, hits, true cells."""

    scores: np.ndarray
    hits: np.ndarray
    true: int


def image_of(record: ImageRecord) -> Image:
    """The visible cells of a record and which of them are true."""
    hits = np.zeros(len(record.scores), bool)
    hits[optimal_matching(iou_matrix(record.table), IOU)[1]] = True
    return Image(record.scores, hits, record.true)


def fit_calibration(images: Sequence[Image]) -> Calibration | None:
    """Fit to validation images; None where they are too few."""
    scores = _joined([image.scores for image in images])
    hits = _joined([image.hits for image in images])
    chosen = scores >= LEAST_SCORE
    number = int(np.count_nonzero(chosen))
    if len(images) < LEAST_IMAGES or number < LEAST_CELLS:
        return None
    temperature = fit_temperature(scores[chosen], hits[chosen])
    evidence = [evidence_of_scores(image.scores, temperature) for image in images]
    counts = fit_count_model(evidence, [image.true for image in images])
    return Calibration(temperature, counts, len(images), number)


def evidence_of_scores(scores: np.ndarray, temperature: float) -> Evidence:
    """What an image's visible cells say of their number; those below the least score don't."""
    return evidence_of(calibrate(scores[scores >= LEAST_SCORE], temperature))


def check_calibration(
    images: Sequence[Image], calibrations: Sequence[Calibration], threshold: float, bins: int = BINS
) -> dict[str, Any]:
    """How well probabilities and intervals hold on images.

    Args:
        images: N images.
        calibrations: The one to use for each: not fitted on it (:func:`left_out`).
        threshold: Score from which a detection counts; the probabilities of others aren't judged.
        bins: Of the expected calibration error.

    Returns:
        ``cells`` that were judged; ``ece_score``, ``ece`` of score and of probability; ``mean``
        probability and ``share`` that are true; ``bins``, the reliability of both; ``intervals``:
        low and high end by image, ``covered``, how many hold the true number, ``width``, their
        mean width.
    """
    pairs = list(zip(calibrations, images, strict=True))
    kept = [image.scores >= threshold for image in images]
    scores = _joined([image.scores[k] for image, k in zip(images, kept, strict=True)])
    hits = _joined([image.hits[k] for image, k in zip(images, kept, strict=True)])
    sure = _joined([c.probabilities(i.scores[k]) for (c, i), k in zip(pairs, kept, strict=True)])
    of_score, of_probability = reliability(scores, hits, bins), reliability(sure, hits, bins)
    ends = [c.interval([c.evidence(image.scores)]) for c, image in pairs]
    covers = [low <= i.true <= high for (low, high), i in zip(ends, images, strict=True)]
    return {
        'cells': len(scores),
        'mean': float(sure.mean()) if len(sure) else np.nan,
        'share': float(hits.mean()) if len(hits) else np.nan,
        'ece_score': of_score.error,
        'ece': of_probability.error,
        'bins': {
            name: {key: column.tolist() for key, column in found._asdict().items()}
            for name, found in (('score', of_score), ('probability', of_probability))
        },
        'intervals': ends,
        'covered': sum(covers),
        'width': float(np.mean([high - low for low, high in ends])) if ends else np.nan,
    }


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)


def left_out(images: Sequence[Image]) -> list[Calibration] | None:
    """For each image the calibration fitted on all others.

    None where one of them can't be fitted.
    """
    found = [fit_calibration([*images[:k], *images[k + 1 :]]) for k in range(len(images))]
    return None if None in found else found
