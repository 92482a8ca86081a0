"""Train on the command line; `make train` calls it.

python -m tools.train                                  # the config that fits machine and data
python -m tools.train configs/bccd_vitb_mask_rcnn.py --cfg-options optim_wrapper.optimizer.lr=5e-4
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.files.program import run_program, words
from tools.runs.child import end_with_the_starter
from tools.train import train


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog='train', description='Train one run.')
    add = result.add_argument
    add('config', nargs='?', type=Path, help='config file (default: the one that fits)')
    add('--work-dir', type=Path, help='run folder (default: work_dirs/CONFIG)')
    add(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CHECKPOINT',
        help="go on from the run's last checkpoint, or from this one",
    )
    add('--gpus', type=int, default=1, help='processes, one for each GPU (default: 1)')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[], help='changes to the config')
    add('--opts', metavar='"A=1 B=2"', help='the same in one string, as make hands them on')
    add('--with-starter', action='store_true', help='end when the program that started it does')
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    if args.with_starter:
        end_with_the_starter()

    def work() -> None:
        overrides = [*args.cfg_options, *words(args.opts)]
        folder = train(
            args.config, overrides, work_dir=args.work_dir, resume=args.resume, gpus=args.gpus
        )
        print(f'Trained: {folder}; next: `make evaluate`, `make report`, `make predict IMAGES=…`.')

    return run_program('train', work, 'stopped; `make train RESUME=1` goes on from there')


if __name__ == '__main__':
    sys.exit(main())
