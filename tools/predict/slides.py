"""Find a user's own pictures, in files, folders and patterns."""

from __future__ import annotations

import glob
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cellkit.errors import UserError
from cellkit.files.pictures import SUFFIXES


class Slide(NamedTuple):
    """A picture that a user means.

    Attributes:
        path: The file, absolute.
        shown: Its path below the folder that holds all the pictures, with ``/``.
        name: A name of its own for its results: ``shown`` without the suffix, which is kept only
            where pictures differ by it alone (``a_png`` and ``a_tif``).
    """

    path: Path
    shown: str
    name: str


def find_slides(names: Sequence[str], skip: Path | None = None) -> tuple[Path, list[Slide]]:
    """List the pictures that a user means.

    Args:
        names: Files, folders (searched with all below them, links followed) and patterns such as
            ``slides/*.tif``; one name may also hold several, separated by blanks. A file that is
            named itself is taken whatever its suffix.
        skip: A folder whose pictures are left out: the results of an earlier run.

    Returns:
        The folder that holds them all, and the pictures sorted by path, each once.

    Raises:
        UserError: A name leads nowhere, or there is no picture.
    """
    if not any(name.strip() for name in names):
        raise UserError('no images were named; give a file, several or a folder (IMAGES=…)')
    paths = [path for name in names for path in _expand(name)]
    found: dict[Path, Path] = {}
    for path in paths:
        for picture in _below(path, skip) if path.is_dir() else [path]:
            found.setdefault(picture.resolve(), Path(os.path.abspath(picture)))
    if not found:
        raise UserError(
            f'no picture ({" ".join(SUFFIXES)}) in {" ".join(map(str, paths))}: '
            'check the folder or convert the files'
        )
    if len(paths) == 1 and paths[0].is_dir():
        root = Path(os.path.abspath(paths[0]))
    else:
        root = Path(os.path.commonpath([picture.parent for picture in found.values()]))
    return root, _named(root, sorted(found.values()))


def _expand(name: str) -> list[Path]:
    if os.path.exists(name):
        return [Path(name)]
    if matches := sorted(glob.glob(os.path.expanduser(name), recursive=True)):
        return [Path(match) for match in matches]
    try:
        parts = shlex.split(name)
    except ValueError:  # a lone quotation mark
        parts = []
    if len(parts) > 1:
        return [path for part in parts for path in _expand(part)]
    raise UserError(f'{name}: there is no such file or folder; check the path')


def _below(folder: Path, skip: Path | None) -> list[Path]:
    """Pictures in a folder and all below it; hidden ones (``._x.png`` of an archive) are none."""
    found, seen = [], {skip.resolve()} if skip else set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (place := Path(parent).resolve()) in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        found += [
            Path(parent, name)
            for name in files
            if not name.startswith('.') and Path(name).suffix.lower() in SUFFIXES
        ]
    return found


def _named(root: Path, paths: Sequence[Path]) -> list[Slide]:
    """Slides with names; case does not tell two apart, since some disks don't either."""
    slides = []
    short = [path.relative_to(root) for path in paths]
    often = Counter(path.with_suffix('').as_posix().lower() for path in short)
    for path, shown in zip(paths, short, strict=True):
        name = shown.with_suffix('').as_posix()
        suffix = f'_{path.suffix[1:]}' if often[name.lower()] > 1 else ''
        slides.append(Slide(path, shown.as_posix(), name + suffix))
    return slides
