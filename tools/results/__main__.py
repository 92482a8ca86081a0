"""Write the table of measured results into a page.

    python -m tools.results "real sample: 34 images; 12 real images=work_dirs/NAME" --into README.md

Each argument is what the row is called, an equals sign and the folder of an evaluation. With
``--against NAME`` runs of one name are seeds of one recipe, compared with those of that name:

    python -m tools.results --against plain plain=work_dirs/A ema=work_dirs/B ema=work_dirs/C \
        --part val --into docs/results.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.prepared import PARTS
from cellkit.files.program import run_program
from cellkit.files.writing import write_between_marks
from tools.results import results_table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog='results', description='The table of measured results.')
    add = parser.add_argument
    add('rows', nargs='+', metavar='WHAT=FOLDER')
    add('--into', type=Path, help='page with the marks (default: README.md; with --against none)')
    add('--against', metavar='WHAT', help='tables of recipes; the one to compare with')
    add('--part', choices=PARTS, default='val', help='with --against: where they were scored')
    arguments = parser.parse_args(argv)

    def work() -> None:
        rows: dict[str, list[Path]] = {}
        for argument in arguments.rows:
            name, separator, folder = argument.rpartition('=')
            if not separator:
                raise UserError(f'{argument} is not of the form WHAT=FOLDER: name the row')
            rows.setdefault(name, []).append(Path(folder))
        if arguments.against is None:
            last = {name: folders[-1] for name, folders in rows.items()}
            print(results_table(last, arguments.into or Path('README.md')))
            return
        if arguments.against not in rows:
            raise UserError(f'--against {arguments.against}: is none of {", ".join(rows)}')
        from tools.results.ablation import ablation  # late: it takes seconds

        text = ablation(rows, arguments.against, arguments.part)
        if arguments.into is not None:
            write_between_marks(arguments.into, text, 'recipes')
        print(text)

    return run_program('results', work)


if __name__ == '__main__':
    sys.exit(main())
