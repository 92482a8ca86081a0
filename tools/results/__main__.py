"""Write the table of measured results into a page.

    python -m tools.results "real sample: 34 images; 12 real images=work_dirs/NAME" --into README.md

Each argument is what the row is called, an equals sign and the folder of an evaluation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.program import run_program
from tools.results import results_table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='results', description='The table of measured results.')
    parser.add_argument('rows', nargs='+', metavar='WHAT=FOLDER')
    parser.add_argument('--into', type=Path, default=Path('README.md'), help='page with the marks')
    arguments = parser.parse_args(argv)

    def work() -> None:
        rows = {}
        for argument in arguments.rows:
            name, separator, folder = argument.rpartition('=')
            if not separator:
                raise UserError(f'{argument} is not of the form WHAT=FOLDER: name the row')
            rows[name] = folder
        print(results_table(rows, arguments.into))

    return run_program('results', work)


if __name__ == '__main__':
    sys.exit(main())
