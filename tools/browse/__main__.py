"""Draw a sheet of training samples with outlines; `make browse` calls it.

python -m tools.browse configs/augment/bccd_hybrid_mask_rcnn_cpu_all.py --number 3
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.files.prepared import PARTS
from cellkit.files.program import run_program, words
from tools.browse import browse


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog='browse', description='Draw training samples as the model sees them.'
    )
    add = result.add_argument
    add('config', type=Path, help='config file')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[], help='changes to the config')
    add('--opts', metavar='"A=1 B=2"', help='the same in one string, as make hands them on')
    add('--number', type=int, default=4, help='images, a row each (default: %(default)s)')
    add('--draws', type=int, default=4, help='samples of each (default: %(default)s)')
    add('--seed', type=int, default=0, help='of what is drawn by chance (default: %(default)s)')
    add('--part', choices=PARTS, default='train', help='of the data (default: %(default)s)')
    add('--out', type=Path, help='PNG to write (default: work_dirs/browse/CONFIG.png)')
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = vars(parser().parse_args(argv))
    config, given, opts = (options.pop(key) for key in ('config', 'cfg_options', 'opts'))

    def work() -> None:
        print(f'Written: {browse(config, [*given, *words(opts)], **options)}')

    return run_program('browse', work)


if __name__ == '__main__':
    sys.exit(main())
