"""Find and read a user's own pictures, whatever the microscope's software wrote."""

from __future__ import annotations

import glob
import io
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from data_prep.pairs import SUFFIXES
from data_prep.reading import check_file, decode, read_bytes
from tools.errors import UserError


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
        if Path(parent).resolve() in seen:
            folders.clear()
            continue
        seen.add(Path(parent).resolve())
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        found += [
            Path(parent, name)
            for name in files
            if not name.startswith('.') and Path(name).suffix.lower() in SUFFIXES
        ]
    return found


def _named(root: Path, paths: Sequence[Path]) -> list[Slide]:
    """Slides with names; case does not tell two apart, since some disks don't either."""
    shown = [path.relative_to(root) for path in paths]
    often = Counter(path.with_suffix('').as_posix().lower() for path in shown)
    slides = []
    for path, short in zip(paths, shown, strict=True):
        name = short.with_suffix('').as_posix()
        if often[name.lower()] > 1:
            name = f'{name}_{short.suffix[1:]}'
        slides.append(Slide(path, short.as_posix(), name))
    return slides


def read_slide(path: Path) -> tuple[np.ndarray, str]:
    """Read a picture as the model was trained to see one.

    8-bit colour is taken as training takes it. Grey becomes three equal channels. Values of more
    than 8 bits are scaled from the smallest of 10, 12, 14 and 16 bits that holds the greatest one,
    since cameras often leave the upper bits unused; floats up to 1 are scaled by 255. What is
    transparent is laid on white. Of several pages the first is read.

    Args:
        path: The file.

    Returns:
        (H, W, 3) uint8 BGR, turned by its EXIF tag; and a remark for the user, often empty.

    Raises:
        BadFile: The file can't be read; the message says what to do.
    """
    file = str(path)
    content = read_bytes(Path(), file)
    check_file(content, file)
    pages, transparent = _look_inside(content)
    if transparent:
        picture = _on_white(content)
    else:
        # Grey and colour of any depth; the flag for colour alone fails on 32-bit grey.
        picture = to_8_bit(decode(content, file, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH))
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    return picture, f'has {pages} pages, of which only the first was read' if pages > 1 else ''


def _look_inside(content: bytes) -> tuple[int, bool]:
    """Number of pages and whether anything is transparent, without decoding."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return getattr(picture, 'n_frames', 1), picture.has_transparency_data
    except (Image.UnidentifiedImageError, OSError):
        return 1, False


def to_8_bit(picture: np.ndarray) -> np.ndarray:
    """Scale a picture of any depth to uint8, as :func:`read_slide` says.

    Args:
        picture: (H, W) or (H, W, C), integers or floats; what is below 0 or NaN counts as 0.

    Returns:
        The same shape, uint8.
    """
    if picture.dtype == np.uint8:
        return picture
    values = np.nan_to_num(picture.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    top = float(values.max(initial=0))
    if picture.dtype.kind == 'f' and top <= 1:
        full = 1.0
    else:
        bits = next((b for b in (8, 10, 12, 14, 16) if top < 2**b), None)
        full = 2.0**bits - 1 if bits else top
    return np.rint(values * (255 / full)).astype(np.uint8)


def _on_white(content: bytes) -> np.ndarray:
    """Decode with Pillow, 8 bits a channel: OpenCV multiplies a TIFF's colours by their alpha."""
    with Image.open(io.BytesIO(content)) as picture:
        picture = ImageOps.exif_transpose(picture).convert('RGBA')
    white = Image.new('RGBA', picture.size, 'white')
    return cv2.cvtColor(np.asarray(Image.alpha_composite(white, picture)), cv2.COLOR_RGBA2BGR)
