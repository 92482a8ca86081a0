"""Evaluate a run on the command line.

    python -m tools.evaluate                                  # the newest run in work_dirs
    python -m tools.evaluate work_dirs/NAME --part val
    python -m tools.evaluate epoch_10.pth epoch_20.pth        # the better one on validation
    python -m tools.evaluate --predictions FOLDER             # those of any other program
    python -m tools.evaluate work_dirs/NAME --against FOLDER  # which of two is better

What is written where, and every definition: docs/evaluation.md and docs/compare.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.prepared import PARTS
from cellkit.files.program import run_program, words
from tools.evaluate import compare, evaluate, score


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog='evaluate',
        description='Best checkpoint and score threshold on validation, values on test.',
    )
    add = result.add_argument
    add(
        'run',
        nargs='*',
        type=Path,
        metavar='RUN_OR_CHECKPOINT',
        help='a run folder, checkpoint files of one run, or both (default: the newest run)',
    )
    add('--checkpoints', metavar='"A B"', help='checkpoints in one string, as make hands them on')
    add('--part', choices=PARTS, default='test', help='the part to report')
    add(
        '--score-thr',
        type=lambda text: text if text == 'run' else float(text),
        metavar='SCORE|run',
        help='score threshold instead of the one chosen on validation; run: the one that the run '
        'was evaluated with before, for other --data',
    )
    add('--config', type=Path, help="config file (default: the run's)")
    add('--data', type=Path, help="prepared data folder (default: the run's)")
    add('--out', type=Path, help="folder of the results (default: the run's)")
    add('--samples', type=int, default=1000, help='bootstrap samples of the intervals; 0: none')
    add('--seed', type=int, default=0, help='of the bootstrap')
    add('--device', help='cpu, cuda, cuda:1 ... (default: the GPU if there is one)')
    add('--fresh', action='store_true', help='predict again even if nothing has changed')
    add('--tta', action='store_true', help='merge four flips of each image (results: RUN/tta)')
    add(
        '--every-epoch-on-test',
        action='store_true',
        help='also a table of the test values of every checkpoint, for comparison with other '
        'reports: it shows the test set 20 times and must not be used to choose anything',
    )
    foreign = 'score the label images or COCO JSON of any program instead of a run'
    add('--predictions', type=Path, metavar='FOLDER', help=foreign)
    against = 'compare with another run or folder of predictions, on the same images'
    add('--against', type=Path, metavar='RUN_OR_FOLDER', help=against)
    missing = 'images that the predictions lack are images without cells'
    add('--allow-missing', action='store_true', help=missing)
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', default=(), help='changes to the config')
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = vars(parser().parse_intermixed_args(argv))

    def work() -> None:
        named = options.pop('run') + [Path(name) for name in words(options.pop('checkpoints'))]
        runs = [path for path in named if path.is_dir() or path.suffix != '.pth']
        if len(runs) > 1:
            raise UserError(f'{runs[1]}: a second run folder; name one run')
        options['checkpoints'] = [path for path in named if path not in runs]
        overrides = options.pop('cfg_options')
        predictions, against, allow = (
            options.pop(key) for key in ('predictions', 'against', 'allow_missing')
        )
        if predictions or against:
            if predictions and named:
                raise UserError(
                    f'{named[0]}: a run beside --predictions; compare the two with --against'
                )
            _foreign(predictions or _one_run(runs, options), against, allow, options, overrides)
            return
        evaluate(runs[0] if runs else None, overrides=overrides, **options)

    return run_program('evaluate', work, 'stopped; nothing was written but whole predictions')


def _one_run(runs: Sequence[Path], options: dict) -> Path:
    """The run that --against compares with; the newest one, or the box, where none is named."""
    from tools.runs.run import Run  # late, as it takes seconds

    if options['checkpoints']:
        raise UserError('--against takes a run folder, not checkpoints; name the folder')
    return runs[0] if runs else Run(None, or_box=True).folder


def _foreign(
    one: Path, against: Path | None, allow_missing: bool, options: dict, overrides: Sequence[str]
) -> None:
    """Score or compare, with those options that apply."""
    used = (
        'part',
        'data',
        'out',
        'score_thr',
        'samples',
        'seed',
        *(('device',) if against else ()),
    )
    unused = {key: value for key, value in options.items() if key not in used}
    if given := [key for key, value in (unused | {'cfg_options': overrides}).items() if value]:
        raise UserError(f'--{given[0].replace("_", "-")} has no use here; leave it out')
    if options['score_thr'] == 'run':
        raise UserError('--score-thr run is what a run is compared at anyhow; leave it out')
    kept = {key: options[key] for key in used} | {'allow_missing': allow_missing}
    if against:
        compare(one, against, **kept)
    else:
        score(one, **kept)


if __name__ == '__main__':
    sys.exit(main())
