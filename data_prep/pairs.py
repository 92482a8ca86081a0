"""Find the image/mask pairs of a data folder and name everything that stands in the way."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cellkit.errors import Problem, UserError
from cellkit.files.drawings import SUFFIXES as DRAWINGS
from cellkit.files.drawings import names, stem_of
from cellkit.files.pictures import SUFFIXES

FOLDERS: tuple[str, ...] = ('train/original', 'train/mask', 'test/original', 'test/mask')
"""The downloaded layout."""

ANNOTATIONS = 'annotations.json'
"""Drawings of all images of a part, COCO or Label Studio's: beside or in the place of ``mask``."""

_LAYOUT = f'{", ".join(FOLDERS[:-1])} and {FOLDERS[-1]}'


@dataclass(frozen=True, order=True)
class Pair:
    """An image and its mask or its drawings, as paths relative to the data folder with ``/``."""

    part: str
    stem: str
    image: str
    mask: str


def find_pairs(data: Path) -> tuple[list[Pair], list[Problem], list[str]]:
    """List the pairs of ``<data>/{train,test}/{original,mask}`` by file stem.

    An image without a file in ``mask`` is paired with ``annotations.json`` where that names it.

    Args:
        data: The folder that holds ``train`` and ``test``. Symbolic links are followed.

    Returns:
        The pairs and the problems, each sorted, and the files that were left alone because their
        names don't end like a picture's.

    Raises:
        UserError: A folder is missing, unreadable or holds no picture, or a file of annotations
            can't be used.
    """
    pairs: list[Pair] = []
    problems: list[Problem] = []
    ignored: list[str] = []
    try:
        _check_layout(data)
        found = {folder: _by_stem(data, folder, problems, ignored) for folder in FOLDERS}
        shared = {part: _shared(data, part, found) for part in ('train', 'test')}
    except OSError as error:
        raise UserError(
            f"{error.filename}: can't be read ({error.strerror}); check its permissions"
        ) from error
    empty = [
        folder
        for folder, pictures in found.items()
        if not pictures and (folder.endswith('original') or shared[folder[:-5]] is None)
    ]
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
            if not mask and image[0] in (shared[part] or ()):
                mask = [f'{part}/{ANNOTATIONS}']
            if not mask:
                remedy = f'add {part}/mask/{stem}.png or remove it'
                if shared[part] is not None:
                    remedy = f'annotate it in {part}/{ANNOTATIONS}, {remedy}'
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
    missing = [
        folder
        for folder in FOLDERS
        if not (data / folder).is_dir()
        and not (folder.endswith('mask') and (data / folder).with_name(ANNOTATIONS).is_file())
    ]
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
    """Pictures of one folder by stem; a hidden file (``._x.png`` of an archive) is no picture.

    In ``mask`` drawings are taken as well.
    """
    found: dict[str, list[str]] = defaultdict(list)
    suffixes = SUFFIXES + DRAWINGS * folder.endswith('mask')
    for name in sorted(os.listdir(data / folder)) if (data / folder).is_dir() else ():
        suffix = os.path.splitext(name)[1]
        file = f'{folder}/{name}'
        if name.startswith('.') or suffix.lower() not in suffixes:
            ignored.append(file if name.isprintable() else ascii(file))
        elif not name.isprintable():
            what = 'has a name that is no UTF-8 text'
            problems.append(Problem(ascii(file), what, 'give it another name'))
        elif os.path.isfile(data / file):
            found[stem_of(name)].append(file)
        elif os.path.islink(data / file):
            remedy = 'restore the file or remove the link'
            problems.append(Problem(file, 'is a link to a file that is gone', remedy))
        else:
            ignored.append(file)
    return found


def _shared(data: Path, part: str, found: dict[str, dict[str, list[str]]]) -> set[str] | None:
    """Images of a part that its file of annotations names; None if there is no such file.

    Raises:
        BadFile: It can't be used.
    """
    file = f'{part}/{ANNOTATIONS}'
    if not (data / file).is_file():
        return None
    images = [image for files in found[f'{part}/original'].values() for image in files]
    return {image for image, named in names(data, file, images).items() if named}
