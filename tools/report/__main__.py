"""Report on a run on the command line.

    python -m tools.report                       # the newest run in work_dirs
    python -m tools.report work_dirs/NAME --part val

What isn't there yet is left out, and the page says which command makes it. See docs/report.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.files.prepared import PARTS
from cellkit.files.program import run_program
from tools.report import report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='report', description='One HTML page of a training run.')
    add = parser.add_argument
    add('run', nargs='?', type=Path, help='a run folder (default: the newest in work_dirs)')
    add('--part', choices=PARTS, help='which evaluation (default: the first of test, val, train)')
    add('--data', type=Path, help='prepared data folder (default: the one that was evaluated)')
    add('--out', type=Path, help='folder of the report (default: RUN/report)')
    options = vars(parser.parse_args(argv))

    def work() -> None:
        written = report(**options)
        for item in written.missing:
            print(f'not there yet: {item.replace("`", "")}')
        print(f'written: {written.page} and {len(written.parts)} parts beside it')

    return run_program('report', work, 'stopped; nothing was written')


if __name__ == '__main__':
    sys.exit(main())
