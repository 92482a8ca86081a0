"""One HTML page of a training run: curves, figures, errors, pictures, and what made them.

    python -m tools.report                       # the newest run in work_dirs
    python -m tools.report work_dirs/NAME --part val

Reads what training and `make evaluate` left in the run folder; trains and predicts nothing itself.
What isn't there yet is left out, and the page says which command makes it. See docs/report.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.errors import run_command

# Parts of earlier reports that are removed when they are no longer made.
PARTS = ('figure_*.png', 'image_*.jpg', 'table_*.csv', 'table_*.md', 'errors.csv', 'config.py')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0, or 2 if something could not be used.
    """
    arguments = parser().parse_args(argv)
    return run_command('report', lambda: report(arguments), 'stopped; nothing was written')


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog='report', description='One HTML page of a training run.')
    add = result.add_argument
    add('run', nargs='?', type=Path, help='a run folder (default: the newest in work_dirs)')
    add('--part', choices=('train', 'val', 'test'), help='which evaluation (default: test)')
    add('--data', type=Path, help='prepared data folder (default: the one that was evaluated)')
    add('--out', type=Path, help='folder of the report (default: RUN/report)')
    return result


def report(arguments: argparse.Namespace) -> None:
    """Do what the command line asks for; see :func:`main`.

    Raises:
        UserError: There is no such run, or nothing in it.
        OSError: The report can't be written.
    """
    from tools.prediction_files import write_beside  # late: --help is quick
    from tools.report_run import newest_run, read_run
    from tools.report_sections import build

    folder = arguments.run or newest_run(Path('work_dirs'))
    if not arguments.run:
        print(f'run: {folder} (the newest)', flush=True)
    run = read_run(folder, arguments.part)
    files = build(run, arguments.data)
    out = arguments.out or folder / 'report'
    page = files.pop('report.html')
    for name, content in files.items():
        write_beside(out / name, content)
    write_beside(out / 'report.html', page)  # last: where it is, its parts are too
    for pattern in PARTS:
        for left in set(out.glob(pattern)) - {out / name for name in files}:
            left.unlink()
    for item in run.missing:
        print(f'not there yet: {item.replace("`", "")}')
    print(f'written: {out / "report.html"} and {len(files)} parts beside it')


if __name__ == '__main__':
    sys.exit(main())
