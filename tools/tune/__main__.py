"""Search on the command line; `make tune` calls it.

    python -m tools.tune configs/tune/optimiser.py --trials 24
    python -m tools.tune configs/tune/thresholds.py --run work_dirs/NAME --trials 1000

The same command again, here or on another machine with the same --storage, is one more worker of
the same study. See docs/tune.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.files.program import run_program, words
from tools.tune import FOLDER, tune
from tools.tune.space import short


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog='tune', description='Search for better settings.')
    add = result.add_argument
    add('space', type=Path, help='what to search, such as configs/tune/optimiser.py')
    add('--trials', type=int, help='trials of the study in all (default: 16, or the whole grid)')
    add('--study', help="its name (default: the space's)")
    add('--storage', metavar='URL', help='database, grpc://HOST:PORT or journal file')
    add('--sampler', help="grid, random, tpe or gp (default: the space's)")
    add('--pruner', help="hyperband, median or none (default: the space's)")
    add('--run', type=Path, help='whose predictions are searched (default: the newest run)')
    add('--out', type=Path, default=FOLDER, help='folder of studies (default: %(default)s)')
    add('--gpus', type=int, default=1, help='processes of a run, one for each GPU (default: 1)')
    add('--grace', type=float, metavar='SECONDS', help="when a silent worker's trial is taken over")
    add('--report', action='store_true', help='search nothing, say what was found')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[], help='settings of every trial')
    add('--opts', metavar='"A=1 B=2"', help='the same in one string, as make hands them on')
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = vars(parser().parse_args(argv))

    def work() -> None:
        overrides = [*options.pop('cfg_options'), *words(options.pop('opts'))]
        tuned = tune(overrides=overrides, report_only=options.pop('report'), **options)
        states = ', '.join(f'{number} {state}' for state, number in tuned.states.items())
        print(f'{tuned.folder.name}: {states or "no trial yet"}; page: {tuned.page}')
        if tuned.parameters:
            values = ', '.join(f'{key} {value:.4f}' for key, value in tuned.values.items())
            print(f'best: {values} with')
            for name, value in tuned.parameters.items():
                print(f'  {name} = {short(value)}')
        if tuned.config:
            print(f'its config: {tuned.config}')

    return run_program('tune', work, 'stopped; the same command goes on from there')


if __name__ == '__main__':
    sys.exit(main())
