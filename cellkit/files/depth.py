"""What is white in a folder: one rule for all its pictures of more than 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from cellkit.errors import BadFile
from cellkit.files import raster, tiff
from cellkit.files.cores import usable_cores
from cellkit.files.pictures import read_bytes, stored_picture
from cellkit.files.stored import UNKNOWN, Whites, named, white_for


class Depth(NamedTuple):
    """The rule of some pictures.

    Attributes:
        whites: For the reader.
        said: Sentences for the user, without a full stop: how many pictures of which values are
            read as what; none where all have 8 bits or tell their depth.
    """

    whites: Whites = UNKNOWN
    said: tuple[str, ...] = ()


def find_whites(files: Iterable[Path]) -> Depth:
    """Look through pictures for their greatest value; only those of more than 8 bits are decoded.

    Files that can't be read are passed over: whoever reads them says so.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = [item for item in pool.map(_greatest, files) if item]
    whites, said = {}, []
    for kind, floats in (('integers', False), ('floats', True)):
        values = [value for value, is_float in found if is_float == floats]
        if values:
            whites[kind] = white_for(max(values), floats)
            many = f'{len(values)} pictures of' if len(values) > 1 else '1 picture of'
            what = 'floats' if floats else 'more than 8 bits'
            said.append(
                f'{many} {what}: values up to {max(values):g}, read as {named(whites[kind])}'
            )
    return Depth(Whites(**whites), tuple(said))


def _greatest(file: Path) -> tuple[float, bool] | None:
    """Greatest value, and whether it is a float, of a picture whose tags don't tell its white."""
    if not file.is_file():  # a named pipe would wait for ever
        return None
    try:
        with file.open('rb') as stream:
            start = stream.read(4096)
            stream.seek(0)
            # Of the stream: the file may be larger than the memory.
            is_8_bit = (
                tiff.is_8_bit(stream) if start.startswith(tiff.MAGIC) else raster.is_8_bit(start)
            )
        if is_8_bit:
            return None
        content = read_bytes(Path(), str(file))
        stored = stored_picture(content, str(file))
    except (OSError, BadFile):
        return None
    if stored.white is not None:
        return None
    return stored.greatest, stored.values.dtype.kind == 'f'
