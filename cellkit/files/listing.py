"""Look through folders for pictures; nothing that could be one is left out without a word."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cellkit.files.names import shown, suffix_of
from cellkit.files.pictures import SUFFIXES
from cellkit.files.tiff import MAGIC as TIFF_MAGIC

HIDDEN = 'of the system or hidden'
OTHER_FORMAT = 'in formats that are not read; export them as TIFF or PNG'
UNNAMED = 'pictures by their content, not by their name; give them a suffix such as .png'
NO_FILE = 'that are no regular files'
UNREADABLE = "that can't be read; check their permissions"

_SYSTEM = frozenset({
    # network disks
    '@eadir', '@recycle', '@recently-snapshot', '@tmp', '#recycle', '#snapshot', '~snapshot',
    'network trash folder', 'temporary items', 'lost+found',
    # Windows and macOS
    '$recycle.bin', 'recycler', 'recycled', 'system volume information', 'found.000',
    'thumbs.db', 'ehthumbs.db', 'ehthumbs_vista.db', 'desktop.ini', '__macosx', 'icon\r',
})  # fmt: skip
_FORMATS = frozenset({
    # microscopes, scanners and medicine
    '.czi', '.zvi', '.lsm', '.lif', '.lof', '.xlef', '.nd2', '.nd', '.oib', '.oif', '.oir', '.poir',
    '.vsi', '.ets', '.stk', '.ims', '.dv', '.r3d', '.svs', '.svslide', '.ndpi', '.ndpis', '.scn',
    '.mrxs', '.vms', '.vmu', '.bif', '.isyntax', '.tmap', '.qptiff', '.btf', '.flex', '.mvd2',
    '.sld', '.sldy', '.zarr', '.dcm', '.dicom', '.nii', '.mha', '.mhd', '.nrrd', '.mrc', '.h5',
    '.hdf5', '.fits', '.npy',
    # cameras and the rest
    '.heic', '.heif', '.avif', '.jxl', '.jp2', '.j2k', '.jpx', '.jpf', '.jxr', '.wdp', '.gif',
    '.dib', '.psd', '.psb', '.xcf', '.raw', '.dng', '.cr2', '.cr3', '.nef', '.arw', '.orf', '.rw2',
    '.raf', '.pef', '.tga', '.ppm', '.pgm', '.pbm', '.pnm', '.pam', '.pfm', '.exr', '.hdr', '.sgi',
    '.pcx', '.pdf', '.ai', '.eps', '.svg', '.emf', '.wmf', '.ico', '.mp4', '.avi', '.mov', '.mkv',
})  # fmt: skip
_MAGIC = (b'\x89PNG\r\n', b'\xff\xd8\xff', *TIFF_MAGIC)

Judge = Callable[[Path, Sequence[str], Sequence[str]], Mapping[str, str]]
"""Why entries of a folder are left out, by name: of its path, its folders and its files."""


class LeftOut:
    """What was left out, by the reason, which goes on from a number: "3 of the system"."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = defaultdict(list)

    def add(self, why: str, *paths: object) -> None:
        """Note paths."""
        if paths:
            self._names[why] += map(shown, paths)

    def names(self) -> list[str]:
        """All of them, as :func:`~cellkit.files.names.shown` writes them; sorted."""
        return sorted(name for names in self._names.values() for name in names)

    def sentences(self) -> list[str]:
        """One for each reason, without its full stop, with the first few names."""
        return [
            f'left out: {len(names)} {why} ({", ".join(sorted(names)[:3])}'
            f'{" …" * (len(names) > 3)})'
            for why, names in self._names.items()
        ]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or the system's; ``._x.png`` of an archive is too."""
    return name.startswith('.') or name.lower() in _SYSTEM


def why_not(path: Path) -> str | None:
    """Why a file is not taken for a picture.

    Returns:
        None for a picture, a link to nothing too, since that is a picture that is gone; an empty
        string for what is none by its name and content.
    """
    if is_hidden(path.name):
        return HIDDEN
    suffix = suffix_of(path.name)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:
        regular = True  # the reader says what is wrong
    if suffix in SUFFIXES:
        return None if regular else NO_FILE
    if suffix in _FORMATS:
        return OTHER_FORMAT
    return UNNAMED if regular and _starts_as_picture(path) else ''


def _starts_as_picture(path: Path) -> bool:
    try:
        with path.open('rb') as file:
            return file.read(8).startswith(_MAGIC)
    except OSError:
        return False


def pictures_below(
    folder: Path, left_out: LeftOut, judge: Judge | None = None, follow: bool = True
) -> Iterator[Path]:
    """Yield the pictures in a folder and all below it, each folder once.

    Args:
        folder: Taken whatever its name.
        left_out: Notes what is left out.
        judge: Names more that is left out.
        follow: Go through links to folders.
    """
    seen: set[Path] = set()

    def unreadable(error: OSError) -> None:
        left_out.add(UNREADABLE, error.filename)

    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=follow):
        place = Path(parent)
        if (resolved := place.resolve()) in seen:
            folders.clear()
            continue
        seen.add(resolved)
        out = dict(judge(place, folders, files)) if judge else {}
        out |= {name: HIDDEN for name in folders if is_hidden(name)}
        out |= {name: OTHER_FORMAT for name in folders if suffix_of(name) == '.zarr'}
        folders[:] = sorted(name for name in folders if name not in out)
        for name in files:
            why = out[name] if name in out else why_not(place / name)
            if why is None:
                yield place / name
            elif why:
                out[name] = why
        for name, why in out.items():
            leave_out(place / name, why, left_out)


def leave_out(path: Path, why: str, left_out: LeftOut) -> None:
    """Note a path; of a folder that is no system's, the pictures in it."""
    if why not in (HIDDEN, OTHER_FORMAT) and path.is_dir():
        left_out.add(why, *pictures_below(path, left_out))
    else:
        left_out.add(why, path)
