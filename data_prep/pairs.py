"""Find the image/mask pairs of a data folder and name everything that stands in the way."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cellkit.errors import Problem, UserError
from cellkit.files.pictures import SUFFIXES

FOLDERS: tuple[str, ...] = ('train/original', 'train/mask', 'test/original', 'test/mask')
"""The downloaded layout."""

_LAYOUT = f'{", ".join(FOLDERS[:-1])} and {FOLDERS[-1]}'


@dataclass(frozen=True, order=True)
class Pair:
    """An image and its mask, as paths relative to the data folder with ``/`` between parts."""

    part: str
    stem: str
    image: str
    mask: str


def find_pairs(data: Path) -> tuple[list[Pair], list[Problem], list[str]]:
    """List the pairs of ``<data>/{train,test}/{original,mask}`` by file stem.

    Args:
        data: The folder that holds ``train`` and ``test``. Symbolic links are followed.

    Returns:
        The pairs and the problems, each sorted, and the files that were left alone because their
        names don't end like a picture's.

    Raises:
        UserError: A folder is missing, unreadable or holds no picture.
    """
    pairs: list[Pair] = []
    problems: list[Problem] = []
    ignored: list[str] = []
    try:
        _check_layout(data)
        found = {folder: _by_stem(data, folder, problems, ignored) for folder in FOLDERS}
    except OSError as error:
        raise UserError(
            f"{error.filename}: can't be read ({error.strerror}); check its permissions"
        ) from error
    empty = [folder for folder, pictures in found.items() if not pictures]
    if empty:
        raise UserError(
            f'{data}: no picture ({" ".join(SUFFIXES)}) in {" and ".join(empty)}; put the files '
            'there or check that --data names the right folder'
        )
    for part in ('train', 'test'):
        images, masks = found[f'{part}/original'], found[f'{part}/mask']
        for stem in images.keys() | masks.keys():
            image, mask = images.get(stem, []), masks.get(stem, [])
            for files in (image, mask):
                if len(files) > 1:
                    what = f'has the same stem as {" and ".join(Path(f).name for f in files[1:])}'
                    problems.append(Problem(files[0], what, 'keep one of them'))
            if not mask:
                remedy = f'add {part}/mask/{stem}.png or remove it'
                problems.append(Problem(image[0], 'has no mask', remedy))
            elif not image:
                remedy = f'add {part}/original/{stem}.png or .jpg or remove it'
                problems.append(Problem(mask[0], 'has no image', remedy))
            elif len(image) == len(mask) == 1:
                pairs.append(Pair(part, stem, image[0], mask[0]))
    return sorted(pairs), sorted(problems), sorted(ignored)


def _check_layout(data: Path) -> None:
    """Raise a UserError that names the first thing that is not where it must be."""
    if not data.is_dir():
        what = 'is a file, not a folder' if data.exists() else 'does not exist'
        raise UserError(f'{data}: {what}; --data must name the folder that holds {_LAYOUT}')
    missing = [folder for folder in FOLDERS if not (data / folder).is_dir()]
    if not missing:
        return
    hint = ''
    with suppress(OSError):
        for near in (data.parent, *sorted(data.iterdir())):
            if not hint and all((near / folder).is_dir() for folder in FOLDERS[::2]):
                hint = f' (did you mean --data "{near}"?)'
    raise UserError(
        f'{data}: has no {" and no ".join(missing)}; --data must name the folder that holds '
        f'{_LAYOUT}{hint}'
    )


def _by_stem(
    data: Path, folder: str, problems: list[Problem], ignored: list[str]
) -> dict[str, list[str]]:
    """Pictures of one folder by stem; a hidden file (``._x.png`` of an archive) is no picture."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(os.listdir(data / folder)):
        stem, suffix = os.path.splitext(name)
        file = f'{folder}/{name}'
        if name.startswith('.') or suffix.lower() not in SUFFIXES:
            ignored.append(file if name.isprintable() else ascii(file))
        elif not name.isprintable():
            what = 'has a name that is no UTF-8 text'
            problems.append(Problem(ascii(file), what, 'give it another name'))
        elif os.path.isfile(data / file):
            found[stem].append(file)
        elif os.path.islink(data / file):
            remedy = 'restore the file or remove the link'
            problems.append(Problem(file, 'is a link to a file that is gone', remedy))
        else:
            ignored.append(file)
    return found
