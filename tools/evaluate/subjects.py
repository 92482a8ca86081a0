"""What is scored: a run, or the predictions of any program, on the images of one part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.files.foreign.folder import Predictions, read_predictions_of
from cellkit.files.prepared import annotation_file, data_root
from cellkit.metrics.records import Detections, ImageRecord, measure_image
from tools.runs.run import BOX, Run

NOTHING = Detections([], np.zeros(0), np.zeros((0, 4)))


class Subject(NamedTuple):
    """Something that predicted the cells of a part.

    Attributes:
        name: As tables call it.
        made_by: A sentence without its full stop.
        records: One an image, in order of image ids.
        threshold: Score from which a detection counts.
        threshold_source: In words.
        scored: Whether its cells have scores.
        notes: What a reader must know, sentences without their full stop.
    """

    name: str
    made_by: str
    records: Sequence[ImageRecord]
    threshold: float
    threshold_source: str
    scored: bool = True
    notes: Sequence[str] = ()


def truth_of(data: Path | str | None, part: str) -> GroundTruth:
    """The true cells of a part.

    Args:
        data: Prepared data folder; the one that DATA_ROOT names, or the default one, when None.
        part: ``"train"``, ``"val"`` or ``"test"``.
    """
    return GroundTruth(annotation_file(Path(data or data_root()), part))


def is_run(path: Path) -> bool:
    """Whether a folder is a training run's or the box."""
    return path.is_dir() and (path.resolve() == BOX.resolve() or bool(Run(path).checkpoints))


def folder_subject(
    path: Path, truth: GroundTruth, score_thr: float | None = None, allow_missing: bool = False
) -> Subject:
    """Measure a folder of predictions, or a COCO JSON file.

    Args:
        path: See :func:`cellkit.files.foreign.folder.read_predictions_of`.
        truth: The true cells.
        score_thr: Score from which a cell counts; all count when None.
        allow_missing: Take images that it has nothing of as images without cells.

    Raises:
        UserError: Images are missing, or the files can't be used.
    """
    found = read_predictions_of(path, truth.images)
    if found.missing and not allow_missing:
        raise UserError(
            f'{path}: has nothing of {len(found.missing)} of {len(truth.images)} images '
            f'({_some(found.missing)}); add them, or count no cells there with --allow-missing'
        )
    bar = tqdm(sorted(truth.images), f'measuring {path}', unit='image', leave=False, disable=None)
    records = [measure_image(k, truth[k], found.detections.get(k, NOTHING)) for k in bar]
    threshold = 0.0 if score_thr is None else score_thr
    source = 'given with --score-thr'
    if score_thr is None:
        source = 'every cell that is given counts'
    notes = _notes(path, found)
    return Subject(
        path.name, f'Predictions in {path}', records, threshold, source, found.scored, notes
    )


def run_subject(session: Any, name: str, part: str, score_thr: float | None = None) -> Subject:
    """What a run's best checkpoint predicts, at its own score threshold.

    Args:
        session: The run opened for evaluation (:class:`tools.evaluate.session.Session`).
        name: What tables call it.
        part: Of its data.
        score_thr: Instead of the run's.
    """
    chosen = session.choose_checkpoint()
    found = session.run.threshold(session.checkpoint(chosen.file), score_thr)
    return Subject(
        name,
        f'Checkpoint {chosen.file.name} ({chosen.how})',
        session.records(chosen.file, part),
        found.value,
        found.source,
    )


def described(subject: Subject) -> Mapping[str, Any]:
    """For JSON."""
    keys = ('name', 'made_by', 'threshold', 'threshold_source', 'scored', 'notes')
    return {key: getattr(subject, key) for key in keys}


def _notes(path: Path, found: Predictions) -> list[str]:
    notes = list(found.remarks)
    if not found.scored:
        notes.append(
            f'the cells in {path} have no scores, all count as 1: average precision is that of one '
            'operating point in the order of the files, not of a ranking'
        )
    if found.missing:
        notes.append(
            f'{path} has nothing of {len(found.missing)} images, where no cells count as found '
            f'({_some(found.missing)})'
        )
    if found.extra:
        notes.append(
            f'{path} has {len(found.extra)} that are of no image of this part '
            f'({_some(found.extra)})'
        )
    return notes


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:3]) + (' …' if len(names) > 3 else '')
