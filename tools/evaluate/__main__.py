"""Evaluate a run on the command line.

    python -m tools.evaluate                                  # the newest run in work_dirs
    python -m tools.evaluate work_dirs/NAME --part val
    python -m tools.evaluate epoch_10.pth epoch_20.pth        # the better one on validation

What is written where, and every definition: docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.prepared import PARTS
from cellkit.files.program import run_program, words
from tools.evaluate import evaluate


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
        evaluate(runs[0] if runs else None, overrides=overrides, **options)

    return run_program('evaluate', work, 'stopped; nothing was written but whole predictions')


if __name__ == '__main__':
    sys.exit(main())
