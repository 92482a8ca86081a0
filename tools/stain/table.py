"""How much each stain method normalises, and what it costs in structure and contrast: the table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.files.cores import usable_cores
from cellkit.files.pictures import read_picture
from cellkit.files.prepared import PARTS, annotation_file
from cellkit.files.stored import Whites
from cellkit.metrics.truth import TrueImage
from cellkit.stain import METHODS, StainNormalizer, StainResult, colour
from cellkit.stain.guard import compare
from data_prep.stain_reference import chosen_image, write_stain_reference

BY_INDEX = (0, 42)
VERSIONS = ('as published', 'guarded')

EXPLANATION = """\
{images} images at full resolution; {references}.
SSIM: structural similarity of output and input in luminance (BT.601, 8 bit), Gaussian window of
11x11 pixels with sigma 1.5, K1 0.01, K2 0.03, mean over the image. Contrast: median luminance of
the background less that of the cells by the masks (3 pixels inside, 7 outside of the outlines),
output by input; "beyond 20 %" counts images below 1/1.2 or above 1.2. Spread: median a\\*, b\\* of
the cells of each image, root mean square distance from the mean over the images, and in brackets
by that of the input; the next column counts L\\* too, which may not be matched when contrast is to
stay. Unchanged: images that the guard or the lack of stain left as they were."""


@dataclass(frozen=True)
class Smear:
    """An image with its cells."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    cells: np.ndarray  # (H, W) bool, 3 pixels inside the outlines of cells
    background: np.ndarray  # (H, W) bool, 7 pixels and more outside of them

    @classmethod
    def of(cls, image: np.ndarray, mask: np.ndarray, step: int = 1) -> Smear:
        """From an image and the ``(H, W)`` mask of its cells, not 0; every ``step``-th pixel."""
        every = (slice(None, None, step), slice(None, None, step))
        cell = (mask > 0).astype(np.uint8)
        cells = cv2.erode(cell, np.ones((7, 7), np.uint8)) > 0
        background = cv2.dilate(cell, np.ones((15, 15), np.uint8)) == 0
        return cls(np.ascontiguousarray(image[every]), cells[every], background[every])


@dataclass(frozen=True)
class Effect:
    """What a method did to one image."""

    ssim: float  # of the luminances of output and input
    contrast: float  # background less cells in luminance (medians), output by input
    lab: np.ndarray  # (3,) median CIELAB of the output's cells
    applied: bool


def stain_table(data_root: Path, workers: int | None = None, step: int = 1) -> str:
    """Bring every image of a data set to three references by every method, and measure.

    Args:
        data_root: Prepared data set.
        workers: Images handled at once; by default as many as cores.
        step: Every n-th pixel only, for a quick look.

    Returns:
        The table with its explanation, Markdown.

    Raises:
        UserError: The data set is not prepared or too small.
    """
    truth = true_images(data_root)
    names = reference_names(data_root, truth)
    images = {true.file_name: true for true in truth}
    normalizers = {}
    for label, name in names.items():
        reference = np.ascontiguousarray(read_rgb(data_root, images[name])[::step, ::step])
        for method, version in itertools.product(METHODS, VERSIONS):
            normalizers[label, method, version] = fitted(method, version, reference)

    def work(true: TrueImage) -> dict[tuple[str, str, str], Effect]:
        smear = Smear.of(read_rgb(data_root, true), true.label_map(), step)
        same = measure(smear, StainResult(smear.image, applied=False))
        effects = {k: measure(smear, n.transform(smear.image)) for k, n in normalizers.items()}
        return {('–', '–', 'input'): same, **effects}

    with_cells = [true for true in truth if true.rles]
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        rows = list(tqdm(pool.map(work, with_cells), 'stain table', len(with_cells), disable=None))
    before = [row['–', '–', 'input'] for row in rows]
    lines = [
        '| reference | method | version | SSIM median | SSIM least | contrast | beyond 20 % '
        '| spread a\\*b\\* | spread L\\*a\\*b\\* | unchanged |',
        '|---|---|---|---|---|---|---|---|---|---|',
        *(as_row(' | '.join(key), [row[key] for row in rows], before) for key in rows[0]),
    ]
    listed = ', '.join(f'{label} = `{name}`' for label, name in names.items())
    return '\n'.join([*lines, '', EXPLANATION.format(images=len(rows), references=listed)])


def true_images(data_root: Path, parts: Iterable[str] = PARTS) -> list[TrueImage]:
    """The images of the parts, with their cells; UserError if the data set is not prepared."""
    truths = [GroundTruth(annotation_file(data_root, part)) for part in parts]
    return [true for truth in truths for true in truth.images.values()]


def read_rgb(data_root: Path, true: TrueImage) -> np.ndarray:
    """An image of the data set as RGB; raises BadFile."""
    picture = read_picture(data_root / 'images' / true.file_name, Whites.of(true.white))
    return cv2.cvtColor(picture.pixels, cv2.COLOR_BGR2RGB)


def reference_names(data_root: Path, truth: Iterable[TrueImage]) -> dict[str, str]:
    """File names of the three references, by label.

    They are the training images 0 and 42 in the order of their names, as a report once did, and
    the one that :mod:`data_prep.stain_reference` chooses.

    Raises:
        UserError: There are too few training images, or none can be chosen.
    """
    training = sorted(t.file_name for t in truth if t.file_name.startswith('train/'))
    if len(training) <= max(BY_INDEX):
        raise UserError(
            f'{data_root}: {len(training)} training images are too few for a reference with '
            f'index {max(BY_INDEX)}; prepare a larger data set'
        )
    chosen = chosen_image(write_stain_reference(data_root))
    return {**{f'index {k}': training[k] for k in BY_INDEX}, 'chosen': chosen}


def fitted(method: str, version: str, reference: np.ndarray) -> StainNormalizer:
    """A method brought to a reference (RGB): that of the paper, or "guarded", the project's."""
    published = {'limits': None, 'guard': None} if version == 'as published' else {}
    normalizer = StainNormalizer(method, **published)
    normalizer.fit(reference)
    return normalizer


def measure(smear: Smear, result: StainResult) -> Effect:
    """Compare an output with its input."""
    quality = compare(smear.image, result.image, smear.cells, smear.background)
    lab = np.median(colour.rgb_to_lab(result.image[smear.cells]), axis=0)
    return Effect(quality.ssim, quality.contrast, lab, result.applied)


def spread(effects: Sequence[Effect], channels: slice = slice(1, 3)) -> float:
    """Root mean square distance of the images' cell colours from their mean, in the channels of
    CIELAB; a* and b* by default."""
    colours = np.stack([e.lab[channels] for e in effects])
    return float(np.sqrt(colours.var(axis=0).sum()))


def as_row(label: str, effects: Sequence[Effect], before: Sequence[Effect]) -> str:
    """One line of the Markdown table."""
    ssim = np.array([e.ssim for e in effects])
    contrast = np.array([e.contrast for e in effects])
    outside = int(((contrast > 1.2) | (contrast < 1 / 1.2)).sum())
    colours, all_lab = spread(effects), spread(effects, slice(0, 3))
    return (
        f'| {label} | {np.median(ssim):.3f} | {ssim.min():.3f} '
        f'| {contrast.min():.2f} to {contrast.max():.2f} | {outside} '
        f'| {colours:.1f} ({colours / spread(before):.0%}) | {all_lab:.1f} '
        f'| {sum(not e.applied for e in effects)} |'
    )
