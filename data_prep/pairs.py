"""Find the image/mask pairs of a data folder and name everything that stands in the way."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PARTS: tuple[str, ...] = ('train', 'test')
SUFFIXES: tuple[str, ...] = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp')
LAYOUT = 'train/original, train/mask, test/original and test/mask'


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong with one file, and what the user can do about it."""

    file: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f'{self.file}: {self.what}; {self.remedy}.'


@dataclass(frozen=True, order=True)
class Pair:
    """An image and its mask, as paths relative to the data folder with ``/`` between parts."""

    part: str
    stem: str
    image: str
    mask: str


class DataError(Exception):
    """The data folder can't be used as a whole; the message is one sentence for the user."""


def find_pairs(data: Path) -> tuple[list[Pair], list[Problem], list[str]]:
    """List the pairs of ``<data>/{train,test}/{original,mask}`` by file stem.

    Args:
        data: The folder that holds ``train`` and ``test``. Symbolic links are followed.

    Returns:
        The pairs and the problems, each sorted, and the files that were left alone because their
        names don't end like a picture's.

    Raises:
        DataError: A folder is missing, unreadable or holds no picture.
    """
    try:
        _check_layout(data)
    except PermissionError as error:
        raise DataError(
            f"{error.filename}: can't be read ({error.strerror}); check its permissions"
        ) from error
    pairs: list[Pair] = []
    problems: list[Problem] = []
    ignored: list[str] = []
    found = {
        f'{part}/{kind}': _by_stem(data, f'{part}/{kind}', problems, ignored)
        for part in PARTS
        for kind in ('original', 'mask')
    }
    empty = [folder for folder, pictures in found.items() if not pictures]
    if empty:
        raise DataError(
            f'{data}: no picture ({" ".join(SUFFIXES)}) in {" and ".join(empty)}; put the files '
            'there or check that --data names the right folder'
        )
    for part in PARTS:
        images, masks = found[f'{part}/original'], found[f'{part}/mask']
        for stem in sorted(images.keys() | masks.keys()):
            image, mask = images.get(stem, []), masks.get(stem, [])
            for files in (image, mask):
                if len(files) > 1:
                    others = ' and '.join(Path(f).name for f in files[1:])
                    problems.append(
                        Problem(files[0], f'has the same stem as {others}', 'keep one of them')
                    )
            if not mask:
                problems.append(
                    Problem(image[0], 'has no mask', f'add {part}/mask/{stem}.png or remove it')
                )
            elif not image:
                problems.append(
                    Problem(
                        mask[0],
                        'has no image',
                        f'add {part}/original/{stem}.png or .jpg or remove it',
                    )
                )
            elif len(image) == len(mask) == 1:
                pairs.append(Pair(part, stem, image[0], mask[0]))
    return sorted(pairs), sorted(problems), sorted(ignored)


def _check_layout(data: Path) -> None:
    """Raise a DataError that names the first thing that is not where it must be."""
    if not data.is_dir():
        what = 'is a file, not a folder' if data.exists() else 'does not exist'
        raise DataError(f'{data}: {what}; --data must name the folder that holds {LAYOUT}')
    missing = [
        f'{part}/{kind}'
        for part in PARTS
        for kind in ('original', 'mask')
        if not (data / part / kind).is_dir()
    ]
    if not missing:
        return
    hint = ''
    if all((data.parent / part / 'original').is_dir() for part in PARTS):
        hint = f' (did you mean --data "{data.parent}"?)'
    else:
        try:
            inside = sorted(
                p for p in data.iterdir() if all((p / q / 'original').is_dir() for q in PARTS)
            )
        except OSError:
            inside = []
        if inside:
            hint = f' (did you mean --data "{inside[0]}"?)'
    raise DataError(
        f'{data}: has no {" and no ".join(missing)}; --data must name the folder that holds '
        f'{LAYOUT}{hint}'
    )


def _by_stem(
    data: Path, folder: str, problems: list[Problem], ignored: list[str]
) -> dict[str, list[str]]:
    """Pictures of one folder by stem; a hidden file (``._x.png`` of an archive) is no picture."""
    found: dict[str, list[str]] = defaultdict(list)
    try:
        names = sorted(os.listdir(data / folder))
    except OSError as error:
        raise DataError(
            f"{data / folder}: can't be read ({error.strerror}); check its permissions"
        ) from error
    for name in names:
        stem, suffix = os.path.splitext(name)
        relative = f'{folder}/{name}'
        if name.startswith('.') or suffix.lower() not in SUFFIXES:
            ignored.append(relative)
        elif not name.isprintable():
            problems.append(
                Problem(ascii(relative), 'has a name that is no UTF-8 text', 'give it another name')
            )
        elif os.path.isfile(data / relative):
            found[stem].append(relative)
        elif os.path.islink(data / relative):
            problems.append(
                Problem(
                    relative,
                    'is a link to a file that is gone',
                    'restore the file or remove the link',
                )
            )
        else:
            ignored.append(relative)
    return found
