"""The honest values of a training run: chosen on validation, reported on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

Part = Literal['train', 'val', 'test']


def evaluate(
    run: Path | str | None = None,
    part: Part = 'test',
    *,
    checkpoints: Sequence[Path | str] = (),
    score_thr: float | Literal['run'] | None = None,
    config: Path | str | None = None,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    data: Path | str | None = None,
    out: Path | str | None = None,
    samples: int = 1000,
    seed: int = 0,
    device: str | None = None,
    fresh: bool = False,
    tta: bool = False,
    every_epoch_on_test: bool = False,
) -> dict[str, Any]:
    """Evaluate a run.

    1. The best checkpoint by segm mAP on validation: the one that training marked so, or the best
       of those named.
    2. On validation, the score threshold by count error
       (:func:`cellkit.metrics.counting.stable_threshold`).
    3. The part's values with that checkpoint and threshold, once, with bootstrap intervals.

    Args:
        run: The run folder; the checkpoints' or the newest one when None.
        part: The part to report.
        checkpoints: Files, or names in the run folder, among which validation decides.
        score_thr: Score threshold instead of the one chosen on validation; ``'run'`` takes the one
            that the run was evaluated with before, whatever the data now.
        config: Config file; the run's when None.
        overrides: Changes to the config, see :mod:`tools.runs.overrides`.
        data: Prepared data folder; the run's when None.
        out: Folder of the results; the run's when None.
        samples: Bootstrap samples of the intervals; 0: none.
        seed: Of the bootstrap.
        device: ``"cpu"``, ``"cuda"`` …; the GPU if there is one when None.
        fresh: Predict again even if nothing has changed.
        tta: Test-time augmentation: merge what the model finds in four flips of each image. The
            results go to a folder of their own, ``tta``.
        every_epoch_on_test: Also a table of the test values of every checkpoint, for comparison
            with other reports; it must not be used to choose anything.

    Returns:
        What stands in ``evaluation.json`` too; docs/evaluation.md has every definition.

    Raises:
        UserError: Something that was named can't be used.
        OSError: The results can't be written.
    """
    from tools.evaluate.session import Session  # late: it takes seconds, --help shouldn't

    session = Session(run, checkpoints, config, overrides, data, out, device, fresh, tta)
    result = session.evaluate(part, score_thr, samples, seed)
    if every_epoch_on_test:
        session.every_epoch_on_test(result['score_thr'])
    return result


def score(
    predictions: Path | str,
    part: Part = 'test',
    *,
    data: Path | str | None = None,
    out: Path | str | None = None,
    score_thr: float | None = None,
    allow_missing: bool = False,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score the predictions of any program with the same figures; docs/compare.md.

    Args:
        predictions: Folder of label images or COCO JSON, or one COCO JSON file.
        part: Whose images they are of.
        data: Prepared data folder; DATA_ROOT's or ``data/bccd`` when None.
        out: Folder of the results; ``work_dirs/scored/NAME`` when None.
        score_thr: Score from which a cell counts; all do when None.
        allow_missing: Take images without predictions as images without cells.
        samples: Bootstrap samples of the intervals; 0: none.
        seed: Of the bootstrap.

    Returns:
        What stands in ``evaluation.json`` too.

    Raises:
        UserError: The predictions or the data can't be used.
        OSError: The results can't be written.
    """
    from tools.evaluate.foreign import score_folder  # late, as above

    path = Path(predictions)
    return score_folder(path, part, data, out, score_thr, allow_missing, samples, seed)


def compare(
    one: Path | str,
    other: Path | str,
    part: Part = 'test',
    *,
    data: Path | str | None = None,
    out: Path | str | None = None,
    score_thr: float | None = None,
    allow_missing: bool = False,
    samples: int = 1000,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Compare two on the same images with a paired bootstrap; docs/compare.md.

    Args:
        one: A run folder, ``box``, or predictions as in :func:`score`.
        other: Likewise.
        part: Whose images they are of.
        data: Prepared data folder; DATA_ROOT's or ``data/bccd`` when None.
        out: Folder of the results; ``work_dirs/scored/ONE_against_OTHER`` when None.
        score_thr: Score from which a cell counts, of both; when None a run's own, and all cells
            of a folder.
        allow_missing: As in :func:`score`.
        samples: Bootstrap samples, at least one.
        seed: Of the bootstrap.
        device: For a run, ``"cpu"``, ``"cuda"`` …; the GPU if there is one when None.

    Returns:
        What stands in ``comparison.json`` too.

    Raises:
        UserError: One of them or the data can't be used.
        OSError: The results can't be written.
    """
    from tools.evaluate.foreign import compare_two  # late, as above

    both = Path(one), Path(other)
    return compare_two(*both, part, data, out, score_thr, allow_missing, samples, seed, device)
