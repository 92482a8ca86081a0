"""Outline, count and measure the cells in your own slides on the command line.

    python -m tools.predict /path/to/my/slides
    python -m tools.predict slide1.tif slide2.tif --run work_dirs/NAME --pixel-size 0.075

What is written, and what the options are for: docs/predict.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellkit.files.program import DONE, PARTLY, STOPPED, run_program
from tools.predict import predict
from tools.predict.formats import FORMATS

if TYPE_CHECKING:
    from tools.predict.merge import Merged
    from tools.predict.results import Results


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog='predict', description='Outline, count and measure the cells in your own slides.'
    )
    add = result.add_argument
    add('images', nargs='*', help='image files, a folder (with all below it) or a pattern')
    add('--run', help='training run, work_dirs/NAME (default: the newest)')
    add('--checkpoint', help="checkpoint file instead of a run's best one")
    add('--config', help='config file (default: the one of the run or checkpoint)')
    add('--out', help='folder of the results (default: predictions/RUN/IMAGES)')
    scores = 'score from which a detection counts, 0 to 1 (default: as chosen on validation)'
    add('--score-thr', type=float, help=scores)
    larger = (
        'enlarge what the network sees: 2 if your cells are half as large as in training, 1 to '
        "leave pictures as they are (default: as each picture's cells tell)"
    )
    add('--scale', type=float, help=larger)
    tiles = 'work in overlapping tiles of this many pixels: the size of the training images'
    add('--tile', metavar='WIDTHxHEIGHT', help=tiles)
    sizes = 'micrometres a pixel, for areas in um2 (default: what the files tell)'
    add('--pixel-size', type=float, metavar='UM', help=sizes)
    add(
        '--tta',
        action='store_true',
        help='merge four flips of each picture: better, four times slower',
    )
    files = (
        f'what is written of each picture: {", ".join(FORMATS)} or all (default: overlay,labels)'
    )
    add('--formats', metavar='NAME,NAME', help=files)
    parts = (
        'do every N-th picture from the I-th on, for several machines; --merge makes one of them'
    )
    add('--shard', metavar='I/N', help=parts)
    merged = 'write the tables of all shards in this folder of results; takes nothing else'
    add('--merge', metavar='OUT', help=merged)
    add('--device', help='cpu, cuda, cuda:1 … (default: the GPU if there is one)')
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    line = parser()
    options = vars(line.parse_args(argv))
    out = options.pop('merge')
    if out is None and not options['images']:
        line.error('the following arguments are required: images')
    if out and any(value for value in options.values()):
        line.error('--merge takes a folder of results and nothing else')

    def work() -> int:
        if out is None:
            return tell(predict(**options))
        from tools.predict.merge import merge

        return tell(merge(out))

    return run_program('predict', work, 'stopped; what is done is kept')


def tell(results: Results | Merged) -> int:
    """Print what was found; returns the exit status."""
    for note in results.notes:
        print(f'note: {note}.')
    cells = sum(row['cells'] for row in results.counts)
    at_border = sum(row['touching_border'] for row in results.counts)
    known = results.interval
    between = ' (95 % interval {} to {})'.format(*known) if known else ''
    folders = ''.join(f'{FORMATS[name].folder}, ' for name in results.formats)
    shard = getattr(results, 'shard', None)
    whole = (
        'counts.csv, cells.csv, predictions.json; open index.html to look through them'
        if shard is None
        else f'tables: when all shards have ended, python -m tools.predict --merge {results.out}'
    )
    print(
        f'{len(results.counts)} of {len(results.slides)} images, {cells} cells{between}, '
        f'{at_border} of them at a border: {results.out} ({folders}{whole})'
    )
    if not known:
        print(
            'note: no interval for the count, as nothing says how sure this model is; '
            '`make evaluate` measures it on five validation images or more.'
        )
    if results.counts and not cells:
        print(
            'note: no cell was found; if yours measure other than those in training, try '
            '--scale 2 or --scale 0.5, and --score-thr 0.3 shows what the model is unsure of.'
        )
    if results.problems:
        print(f'predict: {len(results.problems)} images could not be done:', file=sys.stderr)
        print('\n'.join(f'  {problem}' for problem in results.problems), file=sys.stderr)
    if results.stopped:
        print('predict: stopped; the tables hold what was done until then.', file=sys.stderr)
        return STOPPED
    return PARTLY if results.problems else DONE


if __name__ == '__main__':
    sys.exit(main())
