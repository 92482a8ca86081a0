"""The honest figures of a training run: chosen on validation, reported on test.

    python -m tools.evaluate                               # the newest run in work_dirs
    python -m tools.evaluate work_dirs/NAME --part test
    python -m tools.evaluate epoch_10.pth epoch_20.pth     # the better one on validation

1. The best checkpoint by segm mAP on validation: the one that training marked so, or the best of
   those named.
2. On validation, the score threshold of least relative count error, ties by pooled Dice.
3. The part's figures with that checkpoint and threshold, once, with bootstrap intervals.

What is written where, and every definition: docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from cellkit.metrics.evaluation import (
    SCORE_THRESHOLDS,
    ImageRecord,
    ThresholdChoice,
    choose_threshold,
    figures,
    intervals,
)
from tools.errors import UserError, run_command

if TYPE_CHECKING:
    from tools.evaluation_session import Session

BEST_BY = 'coco/segm_mAP'


class Chosen(NamedTuple):
    """A checkpoint and how it was chosen, in words, with the candidates' figures on validation."""

    file: Path
    how: str
    candidates: dict[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0, or 2 if something could not be used.
    """
    arguments = parser().parse_intermixed_args(argv)
    stopped = 'stopped; nothing was written but whole predictions'
    return run_command('evaluate', lambda: evaluate(arguments), stopped)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog='evaluate',
        description='Best checkpoint and score threshold on validation, figures on test.',
    )
    add = result.add_argument
    add(
        'run',
        nargs='*',
        type=Path,
        metavar='RUN_OR_CHECKPOINT',
        help='a run folder, or checkpoint files of one run (default: the newest run)',
    )
    add('--part', choices=('train', 'val', 'test'), default='test', help='the part to report')
    add('--score-thr', type=float, help='score threshold instead of the one chosen on validation')
    add('--config', type=Path, help="config file (default: the run's)")
    add('--data', type=Path, help="prepared data folder (default: the run's)")
    add('--out', type=Path, help="folder of the results (default: the run's)")
    add('--samples', type=int, default=1000, help='bootstrap samples of the intervals; 0: none')
    add('--seed', type=int, default=0, help='of the bootstrap')
    add('--device', help='cpu, cuda, cuda:1 ... (default: the GPU if there is one)')
    add('--fresh', action='store_true', help='predict again even if nothing has changed')
    add(
        '--every-epoch-on-test',
        action='store_true',
        help='also a table of the test figures of every checkpoint, for comparison with other '
        'reports: it shows the test set 20 times and must not be used to choose anything',
    )
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='changes to the config')
    return result


def evaluate(arguments: argparse.Namespace) -> None:
    """Do what the command line asks for; see :func:`main`.

    Raises:
        UserError: Something that the user named can't be used.
        OSError: The results can't be written.
    """
    from tools.evaluation_files import write_evaluation  # late: --help is quick
    from tools.evaluation_session import Session

    session = Session(arguments)
    chosen = choose_checkpoint(session)
    print(f'checkpoint: {chosen.file.name}, {chosen.how}', flush=True)
    choice = None
    threshold, source = arguments.score_thr, 'given with --score-thr'
    validation = {}
    if threshold is None:
        records = session.measure(chosen.file, 'val', SCORE_THRESHOLDS, instances=False)
        choice = choose_threshold(records)
        threshold = choice.value
        source = 'least relative count error on validation, ties by pooled Dice'
        if not any(record.found.any() for record in records):
            source = 'the default: nothing was predicted on validation, so none could be chosen'
        validation = figures(session.measure(chosen.file, 'val', [threshold]))
    print(f'score threshold: {threshold:g}, {source}', flush=True)

    part = arguments.part
    records = session.measure(chosen.file, part, [threshold])
    result = session.describe(chosen, part)
    result |= {'score_thr': threshold, 'score_thr_source': source}
    result |= {'validation': validation, 'threshold_choice': choice and choice._asdict()}
    result['figures'] = figures(records)
    result['intervals'] = {}
    if arguments.samples > 0:
        bar = session.bar('intervals', 'sample')
        result['intervals'] = intervals(records, arguments.samples, arguments.seed, progress=bar)
    result['bootstrap'] = {'samples': arguments.samples, 'seed': arguments.seed, 'level': 0.95}
    result['images'] = [image_row(record) for record in records]
    result['notes'] = notes(records, part, choice, session.limit(chosen.file, part))
    result['notes'] += session.changed_training_data()
    written = write_evaluation(session.out, result)
    print(written.table)
    for note in result['notes']:
        print(f'note: {note}.')
    print(f'written: {", ".join(str(file) for file in written.files)}')
    if arguments.every_epoch_on_test:
        every_epoch(session, threshold)


def choose_checkpoint(session: Session) -> Chosen:
    """The candidate of greatest segm mAP on validation."""
    candidates = session.candidates
    if len(candidates) == 1:
        file = candidates[0]
        how = 'the only one there was'
        if session.named:
            how = 'named by hand'
        elif file.name.startswith('best_'):
            how = 'which training marked as best on validation'
        return Chosen(file, how, {})
    values = {}
    for file in candidates:
        records = session.measure(file, 'val', SCORE_THRESHOLDS, instances=False)
        value = figures(records)[BEST_BY]
        values[file] = -1.0 if math.isnan(value) else value
        print(f'{file.name}: {BEST_BY} {value:.4f} on validation', flush=True)
    best = max(candidates, key=values.__getitem__)
    how = f'the best of {len(candidates)} by {BEST_BY} on validation ({values[best]:.4f})'
    return Chosen(best, how, {file.name: value for file, value in values.items()})


def image_row(record: ImageRecord) -> dict[str, Any]:
    """One image's own figures."""
    own = figures([record])
    names = ('pixel/dice', 'pixel/iou', 'instance/f1_50', 'instance/f1_75', 'instance/pq')
    return {
        'image_id': record.image_id,
        'file_name': record.file_name,
        'true': record.true,
        'predicted': int(record.found[0]),
        'detections': record.detections,
        'segm_mAP': own['coco/segm_mAP'],
        **{name.split('/')[1]: own[name] for name in (*names, 'instance/boundary_f1')},
    }


def notes(
    records: Sequence[ImageRecord], part: str, choice: ThresholdChoice | None, limit: int | None
) -> list[str]:
    """What a reader of the figures must know, a sentence each, without its full stop."""
    found = []
    if not any(record.detections for record in records):
        found.append(
            f'the model predicted nothing on any of the {len(records)} {part} images, so the '
            'figures are those of empty predictions: it needs more training'
        )
    elif not any(record.found[0] for record in records):
        found.append(f'no detection on {part} reaches the score threshold')
    if part == 'val' and choice is not None:
        found.append('the score threshold was chosen on these very images')
    if part == 'train':
        found.append('the model was trained on these very images')
    full = sum(limit is not None and record.detections >= limit for record in records)
    if full:
        found.append(
            f'{full} of {len(records)} images have as many detections as the model may give '
            f'({limit}), so cells may be missing: raise model.test_cfg.rcnn.max_per_img'
        )
    if limit is not None and limit < 300:
        found.append(f'the model gives at most {limit} detections an image')
    return found


def every_epoch(session: Session, threshold: float) -> None:
    """The test figures of every checkpoint of the run, for comparison only."""
    from tools.evaluation_files import write_every_epoch

    rows = []
    for file in session.steps:
        records = session.measure(file, 'test', [threshold])
        rows.append({'checkpoint': file.stem} | figures(records))
    if not rows:
        raise UserError(f'{session.folder}: holds no epoch_*.pth or iter_*.pth to go through')
    written = write_every_epoch(session.out, rows, threshold)
    print(written.table)
    print(f'written: {", ".join(str(file) for file in written.files)}')


if __name__ == '__main__':
    sys.exit(main())
