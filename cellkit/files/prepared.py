"""Where things lie in a prepared data set, and what it says of itself: the one home of both."""

from __future__ import annotations

import json
import os
from pathlib import Path

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


def is_demo(root: Path) -> bool | None:
    """Whether a prepared data set was made from synthetic smears; None if there is none.

    Raises:
        UserError: Its ``split.json`` can't be read.
    """
    if not annotation_file(root, 'train').is_file():
        return None
    split = root / SPLIT
    try:
        return split.is_file() and bool(json.loads(split.read_bytes()).get('demo'))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{split}: can't be read ({error}); run `make prepare` again") from error
