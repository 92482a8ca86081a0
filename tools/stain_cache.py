"""Normalise the images of a prepared data set once, instead of in every epoch.

    python -m tools.stain_cache --method macenko --out data/bccd_macenko
    DATA_ROOT=data/bccd_macenko mim train mmdet configs/bccd_vitb_mask_rcnn.py

The new folder is a prepared data set of its own, with PNG images, for the plain configuration. A
run that was stopped goes on where it stopped. `stain_cache.json` in it says for every image
whether it was changed, and why not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from cellkit.stain import METHODS, StainNormalizer, load_state
from data_prep.cores import usable_cores
from data_prep.stain_reference import REFERENCE
from tools.errors import UserError, run_command

MANIFEST = 'stain_cache.json'
PARTS = ('train', 'val', 'test')


def cache_stain(
    data_root: Path,
    out: Path,
    method: str,
    reference: Path | None = None,
    strength: float = 1.0,
    workers: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Write a prepared data set whose images are normalised.

    Args:
        data_root: Prepared data set.
        out: Folder to make, or to go on with.
        method: ``"reinhard"``, ``"macenko"`` or ``"vahadane"``.
        reference: JSON file of the reference; by default the one in ``data_root``.
        strength: 0 to 1.
        workers: Images handled at once; by default as many as cores.

    Returns:
        What became of each image, by its new file name: ``applied``, ``reason``, ``strength``,
        and ``ssim``, ``contrast`` and ``entropy`` where the guard measured them.

    Raises:
        UserError: If the data set can't be read or ``out`` holds something else.
    """
    annotations = {p: _read_json(data_root / 'annotations' / f'{p}.json') for p in PARTS}
    reference = reference or data_root / REFERENCE
    try:
        normalizer = StainNormalizer(method, strength, state=load_state(reference, method))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    settings = {
        'method': method,
        'strength': strength,
        'reference_sha256': hashlib.sha256(reference.read_bytes()).hexdigest(),
    }
    done = _resume(out, settings)

    renamed = {}
    for content in annotations.values():
        for image in content['images']:
            old = image['file_name']
            image['file_name'] = renamed[old] = str(PurePosixPath(old).with_suffix('.png'))
    if len(set(renamed.values())) < len(renamed):
        raise UserError(f'{data_root}: two images differ in their extension only; rename one')

    def handle(names: tuple[str, str]) -> tuple[str, dict[str, Any]]:
        old, new = names
        if new in done and (out / 'images' / new).is_file():
            return new, done[new]
        return new, _normalise(normalizer, data_root / 'images' / old, out / 'images' / new)

    notes: dict[str, dict[str, Any]] = dict(done)
    (out / 'annotations').mkdir(parents=True, exist_ok=True)
    _write_json(out / MANIFEST, {'settings': settings, 'images': notes})
    try:
        with ThreadPoolExecutor(workers or usable_cores()) as pool:
            try:
                work = pool.map(handle, renamed.items())
                for new, note in tqdm(work, method, len(renamed), disable=None):
                    notes[new] = note
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        _write_json(out / MANIFEST, {'settings': settings, 'images': notes})
    for part, content in annotations.items():
        _write_json(out / 'annotations' / f'{part}.json', content)
    return notes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--method', choices=METHODS, required=True)
    default = Path(os.environ.get('DATA_ROOT', 'data/bccd'))
    parser.add_argument('--data-root', type=Path, default=default)
    parser.add_argument('--out', type=Path, required=True, help='folder to make')
    parser.add_argument('--reference', type=Path, help=f'default: {REFERENCE} in the data root')
    parser.add_argument('--strength', type=float, default=1.0)
    parser.add_argument('--workers', type=int, help='images at once (default: cores)')
    args = parser.parse_args(argv)

    def work() -> None:
        notes = cache_stain(
            args.data_root, args.out, args.method, args.reference, args.strength, args.workers
        )
        kinds = Counter('' if n['applied'] else n['reason'] for n in notes.values())
        print(f'{args.out}: {kinds.pop("", 0)} of {len(notes)} images normalised by {args.method}.')
        for reason, count in kinds.most_common():
            print(f'  unchanged: {count}, {reason}')
        print(f'Train with DATA_ROOT={args.out} and the configuration without stain steps.')

    return run_command('stain_cache', work, 'stopped; the same command goes on')


def _normalise(normalizer: StainNormalizer, source: Path, target: Path) -> dict[str, Any]:
    image = cv2.imread(str(source), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{source}: can't be read as an image; run `make prepare` again")
    result = normalizer.transform(image, 'bgr')
    _, encoded = cv2.imencode('.png', result.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(target.name + '.part')
    np.asarray(encoded).tofile(beside)
    os.replace(beside, target)
    note = {'applied': result.applied, 'reason': result.reason, 'strength': result.strength}
    if result.quality is not None:
        note |= {k: round(v, 4) for k, v in result.quality.to_dict().items()}
    return note


def _resume(out: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Notes of an earlier run with the same settings."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return {}
    manifest = out / MANIFEST
    if not manifest.is_file():
        raise UserError(f'{out}: is no stain cache; name another folder with --out')
    content = _read_json(manifest)
    if content.get('settings') != settings:
        raise UserError(
            f'{out}: holds images of another method, strength or reference; '
            'name another folder with --out or remove this one'
        )
    return content['images']


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file}: can't be read ({error}); prepare the data set with `make prepare`"
        ) from error


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(file.name + '.part')
    beside.write_text(json.dumps(content), encoding='utf-8')
    os.replace(beside, file)


if __name__ == '__main__':
    sys.exit(main())
