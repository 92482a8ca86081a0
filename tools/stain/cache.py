"""Normalise the images of a prepared data set once, instead of in every epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from tqdm.auto import tqdm

import cellkit.files
import cellkit.stain
from cellkit.errors import BadFile, UserError
from cellkit.files.cores import usable_cores
from cellkit.files.pictures import read_picture
from cellkit.files.prepared import PARTS, STAIN_REFERENCE, annotation_file
from cellkit.files.stain_states import load_state
from cellkit.files.stored import Whites
from cellkit.files.writing import sha256_of, sha256_of_code, write_json, write_whole
from cellkit.stain import StainNormalizer

MANIFEST = 'stain_cache.json'


def cache_stain(
    data_root: Path,
    out: Path,
    method: str,
    reference: Path | None = None,
    strength: float = 1.0,
    workers: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Write a prepared data set whose images are normalised by a method of a strength.

    The new folder is a data set of its own, with PNG images, for the plain configuration. A run
    that was stopped goes on where it stopped: what was made by this code from an image of the same
    content stays. ``stain_cache.json`` in it keeps what is returned.

    Args:
        data_root: Prepared data set.
        out: Folder to make, or to go on with.
        method, strength: As :class:`~cellkit.stain.StainNormalizer` has them.
        reference: JSON file of the reference; by default the one in ``data_root``.
        workers: Images handled at once; by default as many as cores.

    Returns:
        What became of each image, by its new file name: ``applied``, ``reason``, ``strength``, the
        SHA-256 of what it was made ``from`` and of what was ``made``, and ``ssim``, ``contrast``
        and ``entropy`` where the guard measured them.

    Raises:
        UserError: The data set can't be read or ``out`` holds something else.
    """
    annotations = {part: _read_json(annotation_file(data_root, part)) for part in PARTS}
    reference = reference or data_root / STAIN_REFERENCE
    try:
        normalizer = StainNormalizer(method, strength, state=load_state(reference, method))
    except ValueError as error:
        raise UserError(str(error)) from error
    digest = sha256_of(reference)
    settings = {'method': method, 'strength': strength, 'reference_sha256': digest}
    notes = _earlier_notes(out, settings)
    renamed, whites = {}, {}
    for content in annotations.values():
        for image in content['images']:
            old = image['file_name']
            whites[old] = Whites.of(image.pop('white', None))  # what is written has 8 bits
            image['file_name'] = renamed[old] = str(PurePosixPath(old).with_suffix('.png'))
    if len(set(renamed.values())) < len(renamed):
        raise UserError(f'{data_root}: two images differ in their extension only; rename one')
    source, target = data_root / 'images', out / 'images'
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        keys = pool.map(lambda old: _key(source / old, whites[old]), renamed)
        made_from = dict(zip(renamed, keys, strict=True))
        same = pool.map(
            lambda old: _is_made(notes.get(renamed[old]), made_from[old], target / renamed[old]),
            renamed,
        )
        missing = {old: renamed[old] for old, made in zip(renamed, same, strict=True) if not made}
    _drop(notes, set(renamed.values()), target)

    def work(old: str) -> dict[str, Any]:
        picture = read_picture(source / old, whites[old])
        note = _normalise(normalizer, picture.pixels, target / missing[old])
        return note | {'from': made_from[old], 'made': sha256_of(target / missing[old])}

    write_json(out / MANIFEST, {'settings': settings, 'images': notes})
    try:
        with ThreadPoolExecutor(workers or usable_cores()) as pool:
            try:
                found = tqdm(pool.map(work, missing), method, len(missing), disable=None)
                notes.update(zip(missing.values(), found, strict=True))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        write_json(out / MANIFEST, {'settings': settings, 'images': notes})
    for part, content in annotations.items():
        write_json(annotation_file(out, part), content)
    return notes


def _normalise(normalizer: StainNormalizer, image: np.ndarray, target: Path) -> dict[str, Any]:
    result = normalizer.transform(image, 'bgr')
    _, encoded = cv2.imencode('.png', result.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    write_whole(target, encoded.tobytes())
    note = {'applied': result.applied, 'reason': result.reason, 'strength': result.strength}
    if result.quality is not None:
        note |= {k: round(v, 4) for k, v in asdict(result.quality).items()}
    return note


def _key(image: Path, whites: Whites) -> str:
    """SHA-256 of an image, of what is white in it and of the code that normalises it.

    Raises:
        BadFile: It can't be read.
    """
    try:
        content = sha256_of(image)
    except OSError as error:
        what = f"can't be read ({error.strerror})"
        raise BadFile(str(image), what, 'check its path or run `make prepare` again') from error
    return hashlib.sha256(f'{_code()}{whites}{content}'.encode()).hexdigest()


@cache
def _code() -> str:
    return sha256_of_code(cellkit.stain.__file__, cellkit.files.__file__, __file__)


def _is_made(note: Mapping[str, Any] | None, made_from: str, target: Path) -> bool:
    """Whether an image was made from this content, and still is what was made."""
    if not note or note.get('from') != made_from or not target.is_file():
        return False
    return sha256_of(target) == note.get('made')


def _drop(notes: dict[str, Any], wanted: Collection[str], folder: Path) -> None:
    """Remove what was made of images that the data set has no more."""
    for name in [name for name in notes if name not in wanted]:
        del notes[name]
        (folder / name).unlink(missing_ok=True)


def _earlier_notes(out: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Notes of an earlier run with the same settings."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return {}
    if not (out / MANIFEST).is_file():
        raise UserError(f'{out}: is no stain cache; name another folder with --out')
    content = _read_json(out / MANIFEST)
    if content.get('settings') != settings:
        raise UserError(
            f'{out}: holds images of another method, strength or reference; '
            'name another folder with --out or remove this one'
        )
    return content['images']


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file}: can't be read ({error}); prepare the data set with `make prepare`"
        ) from error
