"""Outlines, counts and measures of the cells in your own slides.

    python -m tools.predict /path/to/my/slides
    python -m tools.predict slide1.tif slide2.tif --run work_dirs/NAME --pixel-size 0.075

What is written, and what the options are for: docs/predict.md.
"""

from __future__ import annotations

import argparse
import datetime
import io
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import cv2
import numpy as np
from tqdm import tqdm

from cellkit.shapes import shape_figures
from data_prep.reading import BadFile
from tools.errors import run_command
from tools.overlay import draw_overlay
from tools.prediction_files import Results
from tools.slides import Slide, find_slides, read_slide

if TYPE_CHECKING:
    from tools.detector import Cells, Detector

MOST_CELLS = np.iinfo(np.uint16).max  # that a label map of 16 bits holds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0, 1 if an image could not be done, 2 if nothing could be.
    """
    args = parser().parse_args(argv)
    cv2.setLogLevel(0)  # what OpenCV says of a bad file is said again, in one sentence
    return run_command('predict', lambda: predict(args), 'stopped; what is done is kept')


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog='predict', description='Outline, count and measure the cells in your own slides.'
    )
    add = result.add_argument
    add('images', nargs='+', help='image files, a folder (with all below it) or a pattern')
    add('--run', type=Path, help='training run, work_dirs/NAME (default: the newest)')
    add('--checkpoint', type=Path, help="checkpoint file instead of a run's best one")
    add('--config', type=Path, help='config file (default: the one of the run or checkpoint)')
    add('--out', type=Path, help='folder of the results (default: predictions/RUN/IMAGES)')
    add(
        '--score-thr',
        type=_share,
        help='score from which a detection counts, 0 to 1 (default: as chosen on validation)',
    )
    add(
        '--scale',
        type=_positive,
        default=1.0,
        help='enlarge what the network sees: 2 if your cells are half as large as in training',
    )
    add(
        '--tile',
        type=_size,
        metavar='WIDTHxHEIGHT',
        help='work in overlapping tiles of this many pixels: the size of the training images',
    )
    add('--pixel-size', type=_positive, metavar='UM', help='micrometres a pixel, for areas in um2')
    add('--device', help='cpu, cuda, cuda:1 … (default: the GPU if there is one)')
    return result


def predict(args: argparse.Namespace) -> int:
    """Do what the command line asks for; see :func:`main`.

    Raises:
        UserError: There is no image, the run can't be used, or the output folder is taken.
        OSError: The results can't be written.
    """
    root, slides = find_slides(args.images, skip=args.out or Path('predictions'))
    with _quiet():  # late, as it takes seconds: a wrong path is told at once
        from tools.detector import Detector, pick_device
        from tools.run_folder import open_run

        device = pick_device(args.device)
        run = open_run(args.run, args.checkpoint, args.config, args.score_thr)
    newest = '' if args.run or args.checkpoint else ' (the newest run)'
    print(f'model: {run.checkpoint}{newest}, config {run.config_source}, on {device}')
    print(f'score threshold: {run.threshold.value:g}, {run.threshold.source}', flush=True)
    with _quiet():
        detector = Detector(
            run.config, run.weights, device, run.threshold.value, args.scale, args.tile
        )
    images = slides[0].path.stem if len(slides) == 1 else root.name or 'slides'
    out = args.out or Path('predictions') / run.folder.resolve().name / images
    settings = {
        'checkpoint': str(run.checkpoint),
        'config': run.config_source,
        'score_threshold': run.threshold.value,
        'score_threshold_source': run.threshold.source,
        'scale': args.scale,
        'tile_height_width': args.tile,
        'pixel_size_um': args.pixel_size,
        'device': device,
        'started': datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
    }
    results = Results(out, settings, slides, args.pixel_size)
    problems, notes, stopped = all_slides(slides, detector, results)
    results.finish()
    for note in notes:
        print(f'note: {note}.')
    cells = sum(row['cells'] for row in results.counts)
    at_border = sum(row['touching_border'] for row in results.counts)
    print(
        f'{len(results.counts)} of {len(slides)} images, {cells} cells, {at_border} of them at a '
        f'border: {out} (overlays, labels, counts.csv, cells.csv, predictions.json)'
    )
    if results.counts and not cells:
        print(
            'note: no cell was found; if yours measure other than those in training, try '
            '--scale 2 or --scale 0.5, and --score-thr 0.3 shows what the model is unsure of.'
        )
    if problems:
        print(f'predict: {len(problems)} images could not be done:', file=sys.stderr)
        print('\n'.join(f'  {problem}' for problem in problems), file=sys.stderr)
    if stopped:
        print('predict: stopped; the tables hold what was done until then.', file=sys.stderr)
        return 130
    return 1 if problems else 0


def all_slides(
    slides: Sequence[Slide], detector: Detector, results: Results
) -> tuple[list[str], list[str], bool]:
    """Find the cells of all images and write their pictures.

    Returns:
        A sentence for each image that could not be done, remarks on others, and whether the user
        stopped the program.
    """
    from torch.cuda import OutOfMemoryError

    bar = partial(tqdm, dynamic_ncols=True, disable=None)
    problems, notes = [], []
    try:
        for number, slide in enumerate(bar(slides, unit='image'), start=1):
            try:
                picture, remark = read_slide(slide.path)
                cells = detector(picture, partial(bar, unit='tile', leave=False))
                add_slide(results, slide, number, picture, cells)
            except BadFile as error:
                problems.append(str(error))
            except (MemoryError, OutOfMemoryError):
                problems.append(
                    f'{slide.path}: needs more memory than there is; work in tiles '
                    '(--tile 1600x1200) or cut it into parts.'
                )
            except cv2.error as error:
                problems.append(
                    f"{slide.path}: OpenCV can't handle it ({error.err}); if it is very large, cut "
                    'it into parts.'
                )
            else:
                if remark:
                    notes.append(f'{slide.path} {remark}')
                if cells.full:
                    notes.append(
                        f'{slide.path} has as many detections as the model gives at once '
                        f'({detector.limit}), so cells may be missing: work in tiles (--tile)'
                    )
    except KeyboardInterrupt:
        return problems, notes, True
    return problems, notes, False


def add_slide(
    results: Results, slide: Slide, number: int, picture: np.ndarray, cells: Cells
) -> None:
    """Measure and draw one image's cells and hand them to the results.

    Raises:
        BadFile: There are too many cells for a label map of 16 bits.
    """
    if len(cells.scores) > MOST_CELLS:
        raise BadFile(str(slide.path), f'has more than {MOST_CELLS} cells', 'cut it into parts')
    # The mask may end a pixel of the network's picture before the border.
    figures = shape_figures(cells.label_map, border=max(math.ceil(cells.resolution - 1e-3), 1))
    overlay = draw_overlay(
        picture, cells.label_map, figures['touches_border'], smooth=min(cells.resolution, 4.0)
    )
    results.add(slide, number, overlay, cells.label_map, cells.scores, figures)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what the libraries say of parts that are not used here."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def _share(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f'must lie between 0 and 1, not {text}')
    return value


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f'must be greater than 0, not {text}')
    return value


def _size(text: str) -> tuple[int, int]:
    """(height, width) from ``WIDTHxHEIGHT``."""
    found = re.fullmatch(r'(\d+)[x×](\d+)', text.strip().lower())
    if not found or min(int(found[1]), int(found[2])) < 64:
        raise argparse.ArgumentTypeError(
            f'must be WIDTHxHEIGHT in pixels, at least 64x64, such as 1600x1200, not {text}'
        )
    return int(found[2]), int(found[1])


if __name__ == '__main__':
    sys.exit(main())
