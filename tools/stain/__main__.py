"""Stain normalisation of a whole data set, on the command line.

    python -m tools.stain cache --method macenko --out data/bccd_macenko
    python -m tools.stain table --write docs/stain.md
    python -m tools.stain figure

What each does: docs/stain.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from cellkit.files.prepared import STAIN_REFERENCE, data_root
from cellkit.files.program import run_program
from cellkit.files.writing import write_between_marks, write_whole
from cellkit.stain import METHODS


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--data-root', type=Path, default=data_root(), help='prepared data set')
    result = argparse.ArgumentParser(prog='stain', description=__doc__.split('\n')[0])
    programs = result.add_subparsers(required=True, metavar='cache|table|figure')

    def program(name: str, action: Callable, help: str) -> argparse.ArgumentParser:
        added = programs.add_parser(name, parents=[common], help=help, description=help)
        added.set_defaults(action=action)
        return added

    cache = program('cache', _cache, 'normalise the images once, instead of in every epoch')
    cache.add_argument('--method', choices=METHODS, required=True)
    cache.add_argument('--out', type=Path, required=True, help='folder to make')
    where = f'default: {STAIN_REFERENCE} in the data root'
    cache.add_argument('--reference', type=Path, help=where)
    cache.add_argument('--strength', type=float, default=1.0)
    what = 'how much each method normalises, and what it costs in structure'
    table = program('table', _table, what)
    table.add_argument('--step', type=int, default=1, help='use every n-th pixel (a quick look)')
    table.add_argument('--write', type=Path, help='Markdown page to put the table into')
    for each in (cache, table):
        each.add_argument('--workers', type=int, help='images at once (default: cores)')
    figure = program('figure', _figure, 'draw methods and references side by side')
    figure.add_argument('--out', type=Path, default=Path('work_dirs/stain_figure.png'))
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    return run_program('stain', lambda: args.action(args), 'stopped; the same command goes on')


def _cache(args: argparse.Namespace) -> None:
    from tools.stain.cache import cache_stain

    notes = cache_stain(
        args.data_root, args.out, args.method, args.reference, args.strength, args.workers
    )
    kinds = Counter('' if n['applied'] else n['reason'] for n in notes.values())
    print(f'{args.out}: {kinds.pop("", 0)} of {len(notes)} images normalised by {args.method}.')
    for reason, count in kinds.most_common():
        print(f'  unchanged: {count}, {reason}')
    print(f'Train with DATA_ROOT={args.out} and the configuration without stain steps.')


def _table(args: argparse.Namespace) -> None:
    from tools.stain.table import stain_table

    table = stain_table(args.data_root, args.workers, args.step)
    if args.write:
        write_between_marks(args.write, table, 'stain-table')
    print(table)


def _figure(args: argparse.Namespace) -> None:
    from tools.stain.figure import draw_figure

    write_whole(args.out, draw_figure(args.data_root))
    print(f'{args.out} is drawn.')


if __name__ == '__main__':
    sys.exit(main())
