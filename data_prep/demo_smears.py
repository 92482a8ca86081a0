"""Writes a set of synthetic blood smears in the layout of the real data set.

For the first try where no data are at hand, for tests and for pictures. Colours, contrast, cell
size, crowding, blur and grain are drawn at random around what was measured on real smears, so that
a model trained on these images finds cells in real ones.

    python -m data_prep.demo_smears --out data/demo_smears
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_prep import demo_cells, demo_scene
from data_prep.cores import usable_cores
from data_prep.demo_scene import LOOKS, REFERENCE_SIZE, demo_smear

__all__ = ['demo_smear', 'write_demo_set']

MANIFEST = 'demo.json'
JPG_EVERY = 11  # as in the real set, where 120 of 1328 images are .jpg
JPG_ENLARGED = (1383 / 1200, 1944 / 1600)  # and larger than the others


def _write_pair(folder: Path, part: str, index: int, seed: int, size: tuple[int, int]) -> None:
    """Draw smear `index` of `part` and write image and mask."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, ('train', 'test').index(part), index])
    look = sorted(LOOKS)[(index * 7 + (part == 'test') * 3) % len(LOOKS)]  # every look in any ten
    jpg = index % JPG_EVERY == JPG_EVERY // 2
    if jpg:
        size = (round(size[0] * JPG_ENLARGED[0]), round(size[1] * JPG_ENLARGED[1]))
    image, label = demo_smear(rng, size, look=look)
    mask = np.repeat((label > 0).astype(np.uint8)[..., None] * 255, 3, axis=2)
    stem = f'demo_{part}_{index:04d}'
    picture = folder / part / 'original' / (stem + ('.jpg' if jpg else '.png'))
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if jpg else []
    for path, pixels, settings in (
        (picture, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options),
        (folder / part / 'mask' / (stem + '.png'), mask, []),
    ):
        if not cv2.imwrite(str(path), pixels, settings):
            raise OSError(f"{path} could not be written; check the disk's space and rights")


def _description(train: int, test: int, seed: int, size: tuple[int, int]) -> dict:
    """What a set was made from; two sets with the same description are the same."""
    sources = [Path(module.__file__) for module in (demo_cells, demo_scene)] + [Path(__file__)]
    code = hashlib.sha256(b''.join(path.read_bytes() for path in sources)).hexdigest()
    return {'train': train, 'test': test, 'seed': seed, 'size': list(size), 'code': code[:16]}


def write_demo_set(
    folder: Path,
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
        seed: Seed of everything random.
        size: (height, width) of the .png images; every eleventh image is a larger .jpg.
        workers: Processes; one for each usable core if None, none beside this one if 1.

    Returns:
        `folder`.

    Raises:
        FileExistsError: `folder` holds something that is not a demo set.
        OSError: A file could not be written.
    """
    folder = Path(folder)
    description = _description(train, test, seed, size)
    manifest = folder / MANIFEST
    if manifest.is_file() and json.loads(manifest.read_text()) == description:
        return folder
    if (
        folder.exists()
        and not manifest.is_file()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise FileExistsError(
            f'{folder} holds something else than a demo set; choose another folder'
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
    try:
        for part in ('train', 'test'):
            for kind in ('original', 'mask'):
                (fresh / part / kind).mkdir(parents=True)
        _write_all(fresh, train, test, seed, size, workers)
        (fresh / MANIFEST).write_text(json.dumps(description, indent=1) + '\n')
        fresh.chmod(0o755)  # mkdtemp makes a private folder
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _write_all(
    folder: Path, train: int, test: int, seed: int, size: tuple[int, int], workers: int | None
) -> None:
    jobs = [('train', i) for i in range(train)] + [('test', i) for i in range(test)]
    workers = min(workers or usable_cores(), len(jobs))
    bar = tqdm(total=len(jobs), desc='demo smears', unit='image', disable=None)
    with bar:
        if workers <= 1:
            for part, index in jobs:
                _write_pair(folder, part, index, seed, size)
                bar.update()
            return
        # spawned, not forked: the parent's OpenCV may hold threads, which a fork would hang on
        with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
            for done in [pool.submit(_write_pair, folder, *job, seed, size) for job in jobs]:
                done.result()
                bar.update()


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description='Write a set of synthetic blood smears.')
    parser.add_argument(
        '--out', type=Path, default=Path('data/demo_smears'), help='folder to write'
    )
    parser.add_argument('--train', type=int, default=24, help='training images')
    parser.add_argument('--test', type=int, default=6, help='test images')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, help='processes; all usable cores by default')
    args = parser.parse_args(argv)
    try:
        folder = write_demo_set(args.out, args.train, args.test, args.seed, workers=args.workers)
    except OSError as error:
        print(f'demo smears: {error}', file=sys.stderr)
        return 1
    print(f'{folder}: {args.train} training and {args.test} test smears, synthetic')
    return 0


if __name__ == '__main__':
    sys.exit(main())
