"""Where things lie in a prepared data set, and what it says of itself: the one home of both."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cellkit.errors import UserError

DEFAULT_ROOT = Path('data/bccd')
"""Where ``make prepare`` writes; the configs name it too, since MMEngine reads them as text."""

PARTS: tuple[str, ...] = ('train', 'val', 'test')
IMAGES = 'images'
SPLIT = 'split.json'
STAIN_REFERENCE = 'stain/reference.json'

DEMO_MANIFEST = 'demo.json'
"""A folder of synthetic smears, before preparation, holds this file."""


def data_root() -> Path:
    """The prepared data set that DATA_ROOT names, else the default one."""
    return Path(os.environ.get('DATA_ROOT') or DEFAULT_ROOT)


def annotation_file(root: Path, part: str) -> Path:
    """The COCO JSON of a part."""
    return root / 'annotations' / f'{part}.json'


def _split(root: Path) -> dict[str, Any]:
    """What `make prepare` wrote of the split; empty where a set has no such file.

    Raises:
        UserError: It can't be read.
    """
    file = root / SPLIT
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file}: can't be read ({error}); run `make prepare` again") from error


def is_demo(root: Path) -> bool | None:
    """Whether a prepared data set was made from synthetic smears; None if there is none.

    Raises:
        UserError: Its ``split.json`` can't be read.
    """
    if not annotation_file(root, 'train').is_file():
        return None
    return bool(_split(root).get('demo'))


def training_images(root: Path) -> int:
    """Number of training images of a prepared data set.

    Raises:
        UserError: Its ``split.json`` or ``annotations/train.json`` can't be read.
    """
    named = _split(root).get('train')
    if named is not None:
        return len(named)
    file = annotation_file(root, 'train')  # a set that was not made by `make prepare`
    try:
        return len(json.loads(file.read_bytes())['images'])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file}: can't be read as COCO JSON ({error})") from error
