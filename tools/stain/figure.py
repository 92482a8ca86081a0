"""Draw the figure of stain normalisation: methods and references side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from cellkit.stain import METHODS, Guard
from cellkit.stain.guard import compare
from cellkit.stain.regions import find_regions
from data_prep.sheet import PALE, Tile, draw_sheet
from tools.stain.table import VERSIONS, fitted, read_rgb, reference_names, true_images

SHOWN = (1, 30)
_GOOD, _BAD = (0, 110, 50), (200, 20, 20)


def draw_figure(data_root: Path) -> bytes:
    """The figure as PNG.

    Rows are the methods, each as published and as the project has it; columns are the references
    (see :func:`~tools.stain.table.reference_names`), each for the training images 1 and 30 by
    name. Under every picture stands what the guard measures, in red where it would not let the
    picture pass.

    Raises:
        UserError: The data set is not prepared or too small.
    """
    every = {true.file_name: true for true in true_images(data_root)}
    references = reference_names(data_root, every.values())
    training = sorted(true_images(data_root, ['train']), key=lambda true: true.file_name)
    images = [read_rgb(data_root, training[k]) for k in SHOWN]
    inputs = [Tile(image, f'image {k}', PALE) for k, image in zip(SHOWN, images, strict=True)]
    kinds = [(method, version) for method in METHODS for version in VERSIONS]
    rows = [[], inputs * len(references), *([] for _ in kinds)]
    for label, name in tqdm(references.items(), 'stain figure', disable=None):
        reference = read_rgb(data_root, every[name])
        rows[0] += [Tile(reference, f'reference: {label}'), *[None] * (len(images) - 1)]
        for row, (method, version) in zip(rows[2:], kinds, strict=True):
            normalizer = fitted(method, version, reference)
            for image in images:
                result = normalizer.transform(image)
                words, ink = result.reason, PALE
                if result.applied:
                    words, ink = _verdict(image, result.image)
                row.append(Tile(result.image, f'{method}, {version}\n{words}', ink))
    return draw_sheet('Stain normalisation: methods and references', rows)


def _verdict(before: np.ndarray, after: np.ndarray) -> tuple[str, tuple[int, int, int]]:
    """What the guard measures, and the colour that says whether it lets the picture pass."""
    q = compare(before, after, find_regions(before, before.size // 3).foreground)
    words = f'SSIM {q.ssim:.2f}  contrast x{q.contrast:.2f}  entropy x{q.entropy:.2f}'
    return words, _GOOD if Guard().passes(q) else _BAD
