"""Make the model in the box anew; `make box` calls it.

python -m tools.box                            # train (or go on), choose the threshold, pack
python -m tools.box --checkpoint FILE.pth …    # pack what was trained elsewhere, or its mean
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.files.program import run_program, words
from tools.box import SMEARS, WEIGHTS, make_box
from tools.runs.run import WORK_DIRS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='box', description='Make the model in the box anew.')
    add = parser.add_argument
    add(
        '--checkpoint',
        dest='checkpoints',
        nargs='+',
        type=Path,
        default=[],
        metavar='FILE',
        help='weights that were trained elsewhere: only pack them, of several the mean',
    )
    add('--opts', metavar='"A=1 B=2"', help='changes to the config')
    add('--out', type=Path, default=WEIGHTS, help='file of the weights (default: %(default)s)')
    add('--work-dir', type=Path, default=WORK_DIRS / 'box_hybrid_mask_rcnn', help='run folder')
    add('--smears', type=Path, default=SMEARS, help='folder of the validation smears')
    options = vars(parser.parse_args(argv))
    options['overrides'] = words(options.pop('opts'))

    def work() -> None:
        file = make_box(**options)
        print(f'written: {file} ({file.stat().st_size / 1e6:.1f} MB)')

    return run_program('box', work, 'stopped; `make box` goes on from the last checkpoint')


if __name__ == '__main__':
    sys.exit(main())
