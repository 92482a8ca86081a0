"""Find a user's own pictures, in files, folders and patterns."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cellkit.errors import UserError
from cellkit.files.listing import (
    HIDDEN,
    NO_FILE,
    LeftOut,
    is_hidden,
    leave_out,
    pictures_below,
    why_not,
)
from cellkit.files.names import disk_key, safe_part, shown, suffix_of
from cellkit.files.pictures import SUFFIXES
from cellkit.files.prepared import SPLIT
from cellkit.files.writing import read_object

SETTINGS = 'settings.json'
"""The file by which a folder of results is known."""

DRAWN = ('overlays', 'labels', 'ome')
"""Folders of pictures in a folder of results."""

MASKS = 'masks beside their images; to have them done, name their folder alone'
EARLIER = 'pictures of earlier results'
PREPARED = 'pictures that prepare drew'
REPORTED = 'pictures of a report'
REPORT = 'report.html'

_MASKS, _IMAGES = {'mask', 'masks'}, {'original', 'originals', 'image', 'images'}


class Slide(NamedTuple):
    """A picture that a user means.

    Attributes:
        path: The file, absolute.
        shown: Its path below the folder that holds all the pictures, with ``/``, as
            :func:`cellkit.files.names.shown` writes it.
        name: A name of its own for its results, on any disk: the path without the suffix, which is
            kept only where pictures differ by it alone (``a_png`` and ``a_tif``).
    """

    path: Path
    shown: str
    name: str


class Found(NamedTuple):
    """What a user's names lead to.

    Attributes:
        root: The folder that holds all the pictures.
        slides: The pictures sorted by path, each once.
        left_out: What was left out, in sentences without their full stop.
    """

    root: Path
    slides: list[Slide]
    left_out: list[str]


def find_slides(names: Sequence[str]) -> Found:
    """List the pictures that a user means.

    In folders and patterns, what belongs to the system, other formats, masks beside their images
    and the pictures of earlier results are left out.

    Args:
        names: Files, folders (searched with all below them, links followed) and patterns such as
            ``slides/*.tif``; one name may also hold several, separated by blanks. A file that is
            named itself is taken whatever its suffix.

    Raises:
        UserError: A name leads nowhere, or there is no picture.
    """
    if not any(name.strip() for name in names):
        raise UserError('no images were named; give a file, several or a folder (IMAGES=…)')
    left_out = LeftOut()
    paths = [path for name in names for path in _expand(name, left_out)]
    found: dict[Path, Path] = {}
    for path in paths:
        for picture in _pictures(path, paths, left_out):
            found.setdefault(picture.resolve(), Path(os.path.abspath(picture)))
    if not found:
        raise UserError(
            f'no picture ({" ".join(SUFFIXES)}) in {" ".join(map(shown, paths or names))}: '
            'check the folder or convert the files',
            left_out.sentences(),
        )
    if len(paths) == 1 and paths[0].is_dir():
        root = Path(os.path.abspath(paths[0]))
    else:
        root = Path(os.path.commonpath([picture.parent for picture in found.values()]))
    return Found(root, _named(root, sorted(found.values())), left_out.sentences())


def _expand(name: str, left_out: LeftOut) -> list[Path]:
    if os.path.lexists(home := os.path.expanduser(name)):
        return [Path(home)]
    if matches := _matches(home):
        by_suffix = suffix_of(name) and not glob.has_magic(suffix_of(name))
        return [path for path in matches if by_suffix or _is_meant(path, left_out)]
    try:
        parts = shlex.split(name)
    except ValueError:  # a lone quotation mark
        parts = []
    if parts and parts != [name]:
        return [path for part in parts for path in _expand(part, left_out)]
    raise UserError(f'{shown(name)}: there is no such file or folder; check the path')


def _matches(pattern: str) -> list[Path]:
    """What a pattern leads to; an existing folder in it is taken as it is called."""
    folder, rest = os.path.split(pattern)
    if os.path.isdir(folder):
        pattern = os.path.join(glob.escape(folder), rest)
    return [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]


def _is_meant(path: Path, left_out: LeftOut) -> bool:
    """Whether a match of a pattern is a folder or a picture."""
    if path.is_dir():
        return True
    if why := why_not(path):
        left_out.add(why, path)
    return why is None


def _pictures(path: Path, named: Sequence[Path], left_out: LeftOut) -> Iterator[Path]:
    """The pictures of a name; of several names, folders are judged as those in a folder are."""
    if not path.is_dir():
        if path.exists() and not path.is_file():
            left_out.add(NO_FILE, path)  # a pipe would be waited for
        else:
            yield path
        return
    beside = [other.name for other in named if other.parent == path.parent and other.is_dir()]
    why = _judge(path.absolute().parent, beside, [SETTINGS]).get(path.name)
    if len(named) > 1 and is_hidden(path.name):
        why = HIDDEN
    if why:
        leave_out(path, why, left_out)
    else:
        yield from pictures_below(path, left_out, _judge)


def _judge(place: Path, folders: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    """What no user means in a folder: masks beside their images, and what this project drew."""
    out: dict[str, str] = {}
    kinds = {name.lower() for name in folders}
    if kinds & _IMAGES:
        out |= {name: MASKS for name in folders if name.lower() in _MASKS}
    if SETTINGS in files and is_results(place):
        out |= {name: EARLIER for name in folders if name in DRAWN}
    if SPLIT in files and 'annotations' in folders:
        out |= {name: PREPARED for name in folders if name in ('report', 'stain')}
    if REPORT in files:
        drawn = re.compile(r'(figure|image)_.*\.(png|jpg)')
        out |= {name: REPORTED for name in files if drawn.fullmatch(name)}
    return out


def is_results(folder: Path) -> bool:
    """Whether a folder holds results of an earlier run, whatever it is called."""
    found = read_object(folder / SETTINGS)
    return 'score_threshold' in found and isinstance(found.get('images'), list)


def _named(root: Path, paths: Sequence[Path]) -> list[Slide]:
    """Slides with names of their own on any disk: made by rule, checked one by one."""
    short = [path.relative_to(root) for path in paths]
    plain = ['/'.join(map(safe_part, path.with_suffix('').parts)) for path in short]
    often = Counter(map(disk_key, plain))
    # Nothing may be written where a folder of this name is needed, whatever the suffix.
    folders = {'/'.join(map(safe_part, path.parts[:-1])) for path in short}
    parts = {disk_key(folder) for folder in folders}
    parts |= {disk_key(str(above)) for folder in folders for above in PurePosixPath(folder).parents}
    taken = {folder[:end] for folder in parts for end, c in enumerate(folder) if c == '.'}
    names: dict[int, str] = {}
    for k in sorted(range(len(plain)), key=lambda k: often[disk_key(plain[k])] > 1):
        shared = often[disk_key(plain[k])] > 1
        wanted = f'{plain[k]}_{suffix_of(paths[k].name)[1:]}' if shared else plain[k]
        numbered = (f'{wanted}_{number}' for number in count(2))
        name = next(name for name in chain([wanted], numbered) if disk_key(name) not in taken)
        taken.add(disk_key(name))
        names[k] = name
    return [Slide(path, shown(short[k].as_posix()), names[k]) for k, path in enumerate(paths)]
