"""Draw the figure of stain normalisation: methods and references side by side.

    make stain-figure
    python -m tools.stain_figure --data-root data/bccd --out work_dirs/stain_figure.png

Rows are the methods, each as published and as the project has it; columns are the references
(training images 0 and 42 by name, and the chosen one), each for the training images 1 and 30. Under
every picture stands what the guard measures, in red where it would not let the picture pass.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from cellkit.stain import METHODS, Guard, StainResult
from cellkit.stain.guard import compare
from cellkit.stain.regions import find_regions
from tools.errors import run_command
from tools.stain_table import (
    VERSIONS,
    make_transform,
    read_annotations,
    read_rgb,
    reference_names,
)

SHOWN = (1, 30)

_TILE = (400, 300)
_GAP, _MARGIN, _HEADER, _CAPTION = 10, 190, 190, 30
_INK, _GOOD, _BAD, _PALE = (25, 25, 30), (0, 110, 50), (200, 20, 20), (110, 110, 120)


def draw_figure(data_root: Path) -> Image.Image:
    """The figure as an RGB picture.

    Raises:
        UserError: If the data set is not prepared or too small.
    """
    names = [name for name, _ in read_annotations(data_root)]
    references = reference_names(data_root, names)
    training = sorted(n for n in names if n.startswith('train/'))
    images = [read_rgb(data_root / 'images' / training[k]) for k in SHOWN]
    pictures = {label: read_rgb(data_root / 'images' / n) for label, n in references.items()}

    rows = [('input', '')] + [(method, version) for method in METHODS for version in VERSIONS]
    width = _MARGIN + len(pictures) * len(images) * (_TILE[0] + _GAP) + _GAP * len(pictures)
    height = _HEADER + len(rows) * (_TILE[1] + _CAPTION + _GAP)
    page = Image.new('RGB', (width, height), 'white')
    draw = ImageDraw.Draw(page)
    for row, (method, version) in enumerate(rows):
        y = _HEADER + row * (_TILE[1] + _CAPTION + _GAP)
        draw.text((_GAP, y + 120), method, _INK, ImageFont.load_default(30))
        draw.text((_GAP, y + 160), version, _PALE, ImageFont.load_default(22))
    jobs = [(c, row) for c in range(len(pictures)) for row in range(len(rows))]
    for column, row in tqdm(jobs, 'stain figure', disable=None):
        label = list(pictures)[column]
        left = _MARGIN + column * (len(images) * (_TILE[0] + _GAP) + _GAP)
        if row == 0:
            _draw_header(page, draw, left, label, pictures[label])
            transform = _unchanged
        else:
            transform = make_transform(*rows[row], pictures[label])
        for k, image in enumerate(images):
            corner = (
                left + k * (_TILE[0] + _GAP),
                _HEADER + row * (_TILE[1] + _CAPTION + _GAP),
            )
            _draw_panel(page, draw, corner, image, transform(image), f'image {SHOWN[k]}')
    return page


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    default = Path(os.environ.get('DATA_ROOT', 'data/bccd'))
    parser.add_argument('--data-root', type=Path, default=default)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/stain_figure.png'))
    args = parser.parse_args(argv)

    def work() -> None:
        figure = draw_figure(args.data_root)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        beside = args.out.with_name(args.out.name + '.part')
        figure.save(beside, format='PNG')
        os.replace(beside, args.out)
        print(f'{args.out}: {figure.width}x{figure.height}.')

    return run_command('stain_figure', work)


def _unchanged(image: np.ndarray) -> StainResult:
    return StainResult(image, applied=False)


def _draw_header(
    page: Image.Image, draw: ImageDraw.ImageDraw, left: int, label: str, picture: np.ndarray
) -> None:
    size = (220, 165)
    page.paste(Image.fromarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)), (left, 12))
    draw.text((left + 235, 60), 'reference', _PALE, ImageFont.load_default(22))
    draw.text((left + 235, 88), label, _INK, ImageFont.load_default(30))


def _draw_panel(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    image: np.ndarray,
    result: StainResult,
    name: str,
) -> None:
    x, y = corner
    small = cv2.resize(result.image, _TILE, interpolation=cv2.INTER_AREA)
    page.paste(Image.fromarray(small), corner)
    if result.image is image:
        text, ink = result.reason or name, _PALE
    else:
        foreground = find_regions(image, image.shape[0] * image.shape[1]).foreground
        quality = compare(image, result.image, foreground)
        text = (
            f'SSIM {quality.ssim:.2f}  contrast x{quality.contrast:.2f}  '
            f'entropy x{quality.entropy:.2f}'
        )
        ink = _GOOD if Guard().passes(quality) else _BAD
    draw.text((x, y + _TILE[1] + 4), text[:60], ink, ImageFont.load_default(20))


if __name__ == '__main__':
    sys.exit(main())
