"""How much each stain method normalises, and what it costs in structure and contrast: the table.

    python -m tools.stain_table --data-root data/bccd
    python -m tools.stain_table --write docs/stain.md

Every image of the data set (train, val and test) is brought to three references: the training
images 0 and 42 in the order of their names, as a report once did, and the one that
`data_prep.stain_reference` chose. "As published" is the method of the paper, whole image, white at
255, no limits; "guarded" is the project's. What the columns mean stands under the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from cellkit.rle import decode_to_label_map
from cellkit.stain import METHODS, StainNormalizer, StainResult, colour
from cellkit.stain.guard import median_contrast, structural_similarity
from cellkit.stain.papers import AS_PUBLISHED
from data_prep.cores import usable_cores
from data_prep.stain_reference import StainReferenceError, chosen_image, write_stain_reference
from tools.errors import UserError, run_command
from tools.marked_page import write_between_marks

BY_INDEX = (0, 42)
PARTS = ('train', 'val', 'test')
VERSIONS = ('as published', 'guarded')
MARKS = 'stain-table'

Transform = Callable[[np.ndarray], StainResult]


@dataclass(frozen=True)
class Smear:
    """An image with its cells.

    Attributes:
        name: File name as in the annotations.
        image: ``(H, W, 3)`` uint8 RGB.
        cells: ``(H, W)`` bool, 3 pixels inside the outlines of cells.
        background: ``(H, W)`` bool, 7 pixels and more outside of them.
    """

    name: str
    image: np.ndarray
    cells: np.ndarray
    background: np.ndarray


@dataclass(frozen=True)
class Figures:
    """What a method did to one image.

    Attributes:
        ssim: Structural similarity of the luminances of output and input.
        contrast: Background less cells in luminance (medians), output by input.
        lab: ``(3,)`` median CIELAB of the output's cells.
        applied: Whether the image was changed.
    """

    ssim: float
    contrast: float
    lab: np.ndarray
    applied: bool


def read_annotations(data_root: Path) -> list[tuple[str, list[dict]]]:
    """File names and run lengths of the cells of all images.

    Raises:
        UserError: If the data set is not prepared.
    """
    found = []
    for part in PARTS:
        file = data_root / 'annotations' / f'{part}.json'
        try:
            content = json.loads(file.read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{file}: can't be read ({error}); prepare the data set with `make prepare`"
            ) from error
        cells: dict[int, list[dict]] = {image['id']: [] for image in content['images']}
        for annotation in content['annotations']:
            cells[annotation['image_id']].append(annotation['segmentation'])
        found += [(image['file_name'], cells[image['id']]) for image in content['images']]
    return found


def read_rgb(file: Path) -> np.ndarray:
    """An image as RGB.

    Raises:
        UserError: If it can't be read.
    """
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{file}: can't be read as an image; run `make prepare` again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def load_smear(data_root: Path, name: str, rles: list[dict], step: int = 1) -> Smear:
    """Read an image and the insides of its cells; every ``step``-th pixel of it."""
    image = read_rgb(data_root / 'images' / name)
    mask = np.zeros(image.shape[:2], np.uint8)
    if rles:
        mask = (decode_to_label_map(rles) > 0).astype(np.uint8)
    cells = cv2.erode(mask, np.ones((7, 7), np.uint8)) > 0
    background = cv2.dilate(mask, np.ones((15, 15), np.uint8)) == 0
    every = (slice(None, None, step), slice(None, None, step))
    return Smear(name, np.ascontiguousarray(image[every]), cells[every], background[every])


def reference_names(data_root: Path, names: Iterable[str]) -> dict[str, str]:
    """File name by label of the three references.

    Raises:
        UserError: If there are too few training images, or none can be chosen.
    """
    training = sorted(n for n in names if n.startswith('train/'))
    if len(training) <= max(BY_INDEX):
        raise UserError(
            f'{data_root}: {len(training)} training images are too few for a reference with '
            f'index {max(BY_INDEX)}; prepare a larger data set'
        )
    try:
        chosen = chosen_image(write_stain_reference(data_root))
    except StainReferenceError as error:
        raise UserError(str(error)) from error
    return {**{f'index {k}': training[k] for k in BY_INDEX}, 'chosen': chosen}


def make_transform(method: str, version: str, reference: np.ndarray) -> Transform:
    """A method brought to a reference (RGB): ``"as published"`` or ``"guarded"``."""
    if version == 'as published' and method == 'vahadane':
        return lambda image: StainResult(AS_PUBLISHED[method](image, reference), applied=True)
    published = {'limits': None, 'guard': None} if version == 'as published' else {}
    normalizer = StainNormalizer(method, **published)
    normalizer.fit(reference)
    return normalizer.transform


def measure(smear: Smear, result: StainResult) -> Figures:
    """Compare an output with its input."""
    before, after = (cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in (smear.image, result.image))
    contrasts = [median_contrast(g, smear.cells, smear.background) for g in (before, after)]
    lab = np.median(colour.rgb_to_lab(result.image[smear.cells]), axis=0)
    return Figures(
        structural_similarity(before, after), contrasts[1] / contrasts[0], lab, result.applied
    )


def spread(figures: Sequence[Figures], channels: slice = slice(1, 3)) -> float:
    """Root mean square distance of the images' cell colours from their mean.

    Args:
        figures: One for each image.
        channels: Of CIELAB; a* and b* by default.
    """
    colours = np.stack([f.lab[channels] for f in figures])
    return float(np.sqrt(colours.var(axis=0).sum()))


def as_row(label: str, figures: Sequence[Figures], before: Sequence[Figures]) -> str:
    """One line of the Markdown table."""
    ssim = np.array([f.ssim for f in figures])
    contrast = np.array([f.contrast for f in figures])
    outside = int(((contrast > 1.2) | (contrast < 1 / 1.2)).sum())
    colours, all_lab = spread(figures), spread(figures, slice(0, 3))
    return (
        f'| {label} | {np.median(ssim):.3f} | {ssim.min():.3f} '
        f'| {contrast.min():.2f} to {contrast.max():.2f} | {outside} '
        f'| {colours:.1f} ({colours / spread(before):.0%}) | {all_lab:.1f} '
        f'| {sum(not f.applied for f in figures)} |'
    )


def build_table(data_root: Path, workers: int, step: int = 1) -> str:
    """Measure everything; returns the table with its explanation, Markdown."""
    annotations = read_annotations(data_root)
    names = reference_names(data_root, (name for name, _ in annotations))
    every = (slice(None, None, step), slice(None, None, step))
    transforms = {
        (label, method, version): make_transform(
            method, version, np.ascontiguousarray(read_rgb(data_root / 'images' / name)[every])
        )
        for label, name in names.items()
        for method in METHODS
        for version in VERSIONS
    }

    def work(item: tuple[str, list[dict]]) -> dict:
        smear = load_smear(data_root, *item, step=step)
        same = measure(smear, StainResult(smear.image, applied=False))
        found = {key: measure(smear, f(smear.image)) for key, f in transforms.items()}
        return {'input': same, **found}

    with_cells = [item for item in annotations if item[1]]
    with ThreadPoolExecutor(workers) as pool:
        rows = list(tqdm(pool.map(work, with_cells), 'stain table', len(with_cells), disable=None))
    before = [row['input'] for row in rows]
    lines = [
        '| reference | method | version | SSIM median | SSIM least | contrast | beyond 20 % '
        '| spread a\\*b\\* | spread L\\*a\\*b\\* | unchanged |',
        '|---|---|---|---|---|---|---|---|---|---|',
        as_row('– | – | input', before, before),
    ]
    lines += [as_row(' | '.join(key), [row[key] for row in rows], before) for key in transforms]
    listed = ', '.join(f'{label} = `{name}`' for label, name in names.items())
    return '\n'.join([*lines, '', EXPLANATION.format(images=len(rows), references=listed)])


EXPLANATION = """\
{images} images at full resolution; {references}.
SSIM: structural similarity of output and input in luminance (BT.601, 8 bit), Gaussian window of
11x11 pixels with sigma 1.5, K1 0.01, K2 0.03, mean over the image. Contrast: median luminance of
the background less that of the cells by the masks (3 pixels inside, 7 outside of the outlines),
output by input; "beyond 20 %" counts images below 1/1.2 or above 1.2. Spread: median a\\*, b\\* of
the cells of each image, root mean square distance from the mean over the images, and in brackets
by that of the input; the next column counts L\\* too, which may not be matched when contrast is to
stay. Unchanged: images that the guard or the lack of stain left as they were."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    default = Path(os.environ.get('DATA_ROOT', 'data/bccd'))
    parser.add_argument('--data-root', type=Path, default=default)
    parser.add_argument('--workers', type=int, default=usable_cores())
    parser.add_argument('--step', type=int, default=1, help='use every n-th pixel (a quick look)')
    parser.add_argument('--write', type=Path, help='Markdown page to put the table into')
    args = parser.parse_args(argv)

    def work() -> None:
        table = build_table(args.data_root, args.workers, args.step)
        if args.write:
            write_between_marks(args.write, table, MARKS)
        print(table)

    return run_command('stain_table', work)


if __name__ == '__main__':
    sys.exit(main())
