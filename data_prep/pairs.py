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
from cellkit.files.listing import HIDDEN, LeftOut, is_hidden, pictures_below, why_not
from cellkit.files.names import is_text, shown
from cellkit.files.pictures import SUFFIXES

FOLDERS: tuple[str, ...] = ('train/original', 'train/mask', 'test/original', 'test/mask')
"""The downloaded layout."""

ANNOTATIONS = 'annotations.json'
"""Drawings of all images of a part, COCO or Label Studio's: beside or in the place of ``mask``."""
NO_PICTURE = 'that are no pictures'
ELSEWHERE = 'pictures outside of those folders; move them there if they belong to the set'

_LAYOUT = f'{", ".join(FOLDERS[:-1])} and {FOLDERS[-1]}'


@dataclass(frozen=True, order=True)
class Pair:
    """An image and its mask or its drawings, as paths relative to the data folder with ``/``."""

    part: str
    stem: str
    image: str
    mask: str


def find_pairs(data: Path) -> tuple[list[Pair], list[Problem], LeftOut]:
    """List the pairs of ``<data>/{train,test}/{original,mask}`` by file stem.

    An image without a file in ``mask`` is paired with ``annotations.json`` where that names it.

    Args:
        data: The folder that holds ``train`` and ``test``. Symbolic links are followed.

    Returns:
        The pairs and the problems, each sorted, and what was left out.

    Raises:
        UserError: A folder is missing, unreadable or holds no picture, or a file of annotations
            can't be used.
    """
    pairs: list[Pair] = []
    problems: list[Problem] = []
    left_out = LeftOut()
    try:
        _check_layout(data)
        found = {folder: _by_stem(data, folder, problems, left_out) for folder in FOLDERS}
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
            'there or check that --data names the right folder',
            left_out.sentences(),
        )
    _look_elsewhere(data, left_out)
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
    return sorted(pairs), sorted(problems), left_out


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
    data: Path, folder: str, problems: list[Problem], left_out: LeftOut
) -> dict[str, list[str]]:
    """Pictures of one folder by stem; in ``mask`` drawings are taken as well."""
    found: dict[str, list[str]] = defaultdict(list)
    drawn = DRAWINGS if folder.endswith('mask') else ()
    for name in sorted(os.listdir(data / folder)) if (data / folder).is_dir() else ():
        path, file = data / folder / name, f'{folder}/{name}'
        is_drawing = name.lower().endswith(drawn) and path.is_file() and not is_hidden(name)
        if path.is_dir():
            if not _leave_folder(path, data, left_out):
                left_out.add(NO_PICTURE, file)
        elif not is_drawing and (why := why_not(path)) is not None:
            left_out.add(why or NO_PICTURE, file)
        elif not is_text(name):
            what = 'has a name that is no UTF-8 text or holds a control character'
            problems.append(Problem(shown(file), what, 'give it another name'))
        elif path.is_symlink() and not path.exists():
            remedy = 'restore the file or remove the link'
            problems.append(Problem(file, 'is a link to a file that is gone', remedy))
        else:
            found[stem_of(name)].append(file)
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


def _look_elsewhere(data: Path, left_out: LeftOut) -> None:
    """Note pictures outside of the four folders."""
    for folder in (data, data / 'train', data / 'test'):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                if path.relative_to(data).as_posix() not in (*FOLDERS, 'train', 'test'):
                    _leave_folder(path, data, left_out)
            elif why_not(path) is None:
                left_out.add(ELSEWHERE, path.relative_to(data).as_posix())


def _leave_folder(folder: Path, data: Path, left_out: LeftOut) -> bool:
    """Note a folder or the pictures in it; returns whether there was something to note."""
    if is_hidden(folder.name):
        left_out.add(HIDDEN, folder.relative_to(data).as_posix())
        return True
    pictures = list(pictures_below(folder, left_out, follow=False))
    left_out.add(ELSEWHERE, *(path.relative_to(data).as_posix() for path in pictures))
    return bool(pictures)
