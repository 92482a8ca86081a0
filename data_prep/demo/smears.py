"""Writes a set of synthetic blood smears in the layout of the real data set.

Colours, contrast, cell size, crowding, blur and grain are drawn at random around what was measured
on real smears, so that a model trained on these images finds cells in real ones.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from cellkit import smears
from cellkit.errors import UserError
from cellkit.files.prepared import DEMO_MANIFEST
from cellkit.files.writing import sha256_of_code
from cellkit.smears.looks import LOOKS, REFERENCE_SIZE
from cellkit.smears.smear import draw_smear
from data_prep.cores import in_processes
from data_prep.output import replacing

JPG_EVERY = 11  # as in the real set, where 120 of 1328 images are .jpg
JPG_ENLARGED = (1383 / 1200, 1944 / 1600)  # and larger than the others


def write_demo_set(
    folder: Path | str,
    train: int = 24,
    test: int = 6,
    seed: int = 0,
    size: tuple[int, int] = REFERENCE_SIZE,
    workers: int | None = None,
) -> Path:
    """Write `train/{original,mask}` and `test/{original,mask}` into `folder`.

    The same arguments give the same pixels whatever the number of processes. A set that is already
    there is left as it is; one made with other arguments is replaced once the new one is whole.

    Args:
        folder: Where the set goes; its parents are made.
        train: Number of training images.
        test: Number of test images.
        seed: Of everything random.
        size: (height, width) of the .png images; every eleventh image is a larger .jpg.
        workers: Processes; one for each usable core if None, none beside this one if 1.

    Raises:
        UserError: A number is below 1, `folder` holds something that is not a demo set, or a file
            could not be written.
    """
    for name, number in (('train', train), ('test', test), ('workers', workers)):
        if number is not None and number < 1:
            raise UserError(f'--{name} is {number}: it must be at least 1')
    folder = Path(folder)
    made_from = {'train': train, 'test': test, 'seed': seed, 'size': list(size)}
    made_from['code'] = sha256_of_code(smears.__file__, __file__)[:16]
    text = json.dumps(made_from, indent=1) + '\n'
    manifest = folder / DEMO_MANIFEST
    if manifest.is_file() and manifest.read_bytes() == text.encode():
        return folder
    jobs = [('train', k) for k in range(train)] + [('test', k) for k in range(test)]
    with replacing(folder, 'demo set', DEMO_MANIFEST, {'train', 'test', DEMO_MANIFEST}) as fresh:
        drawn = in_processes(partial(_write_pair, fresh, seed, size), jobs, workers)
        list(tqdm(drawn, 'demo smears', len(jobs), unit='image', disable=None))
        (fresh / DEMO_MANIFEST).write_text(text, encoding='utf-8')
    return folder


def _write_pair(folder: Path, seed: int, size: tuple[int, int], job: tuple[str, int]) -> None:
    """Draw one smear, `job` being its part and number, and write image and mask."""
    part, index = job
    rng = np.random.default_rng([seed, ('train', 'test').index(part), index])
    look = sorted(LOOKS)[(index * 7 + (part == 'test') * 3) % len(LOOKS)]  # every look in any ten
    suffix, options = '.png', []
    if index % JPG_EVERY == JPG_EVERY // 2:
        suffix, options = '.jpg', [cv2.IMWRITE_JPEG_QUALITY, 92]
        size = (round(size[0] * JPG_ENLARGED[0]), round(size[1] * JPG_ENLARGED[1]))
    image, label = draw_smear(rng, size, look=look)
    mask = np.repeat((label > 0).astype(np.uint8)[..., None] * 255, 3, axis=2)
    stem = f'demo_{part}_{index:04d}'
    _write(folder / part / 'original' / (stem + suffix), image[..., ::-1], options)
    _write(folder / part / 'mask' / f'{stem}.png', mask, [])


def _write(path: Path, picture: np.ndarray, options: list[int]) -> None:
    """Write BGR pixels; not by OpenCV, which tells no reason when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, picture, options)[1].tobytes())
