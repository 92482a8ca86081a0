"""Write a set of synthetic blood smears.

python -m data_prep.demo --out data/demo_smears
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.files.program import run_program
from data_prep.demo import DEMO_SET


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='demo', description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--out', type=Path, default=DEMO_SET, help='folder to write')
    add('--train', type=int, default=24, help='training images')
    add('--test', type=int, default=6, help='test images')
    add('--seed', type=int, default=0)
    add('--workers', type=int, help='processes; all usable cores by default')
    args = parser.parse_args(argv)

    def work() -> None:
        from data_prep.demo import write_demo_set  # late: --help is quick

        folder = write_demo_set(args.out, args.train, args.test, args.seed, workers=args.workers)
        print(f'{folder}: {args.train} training and {args.test} test smears, synthetic')

    return run_program('demo', work, 'stopped; nothing was changed')


if __name__ == '__main__':
    sys.exit(main())
