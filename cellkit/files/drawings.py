"""What people drew on a picture, from the files of other programs, whatever their kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from cellkit.drawn import Drawn
from cellkit.errors import BadFile
from cellkit.files.formats import coco, geojson, imagej, label_studio
from cellkit.files.pictures import SUFFIXES as PICTURES
from cellkit.files.pictures import read_bytes

SUFFIXES: tuple[str, ...] = ('.geojson', '.json', '.zip', '.roi')
"""Names of files of drawings end so, in any case."""


class Drawings(NamedTuple):
    """What was drawn on one picture.

    Attributes:
        drawn: In the order of the file.
        sizes: (height, width) of the picture by the file, if it names any.
    """

    drawn: list[Drawn]
    sizes: set[tuple[int, int]]


def is_drawings(file: str) -> bool:
    """Whether a file holds drawings by its name, and no picture."""
    return file.lower().endswith(SUFFIXES)


def stem_of(name: str) -> str:
    """A file's name without what says its kind: ``a`` for a.png, a.ome.tif and a.png.geojson."""
    path = PurePosixPath(name)
    inner = PurePosixPath(path.stem).suffix.lower()
    kinds = PICTURES if is_drawings(name) else ('.ome',)
    return PurePosixPath(path.stem).stem if inner in kinds else path.stem


def read_drawings(folder: Path, file: str, image: str) -> Drawings:
    """Read what was drawn on a picture.

    Args:
        folder: Where the file lies.
        file: GeoJSON, a zip of ROIs or one ROI; COCO or Label Studio's JSON, of many pictures too.
        image: The picture's path or name. Among many it is found by the end of its path, else by
            its stem.

    Raises:
        BadFile: The file can't be read, is of no kind that is known, or does not name the picture.
    """
    content = _open(folder, file)
    if isinstance(content, bytes):
        return Drawings(imagej.read(content, file), set())
    if callable(content):
        return content()
    name = _name_in(content, image, file)
    if name is None:
        raise BadFile(file, f'names no picture {image}', 'add it there or give its own file')
    return content[name]()


def names(folder: Path, file: str, images: Collection[str]) -> dict[str, bool]:
    """Which pictures a file of many pictures names.

    Raises:
        BadFile: As :func:`read_drawings`, or it is a file of one picture.
    """
    content = _open(folder, file)
    if not isinstance(content, dict):
        what = 'does not say which pictures it is of'
        raise BadFile(file, what, 'export COCO JSON, or one file a picture into mask/')
    return {image: _name_in(content, image, file) is not None for image in images}


def _open(folder: Path, file: str) -> bytes | Callable[[], Drawings] | dict:
    """Bytes of ROIs, what reads the drawings, or that by the picture's name."""
    if not file.lower().endswith(('.json', '.geojson')):
        return read_bytes(folder, file)
    try:
        state = (folder / file).stat()
    except OSError as error:
        raise BadFile(file, f"can't be read ({error.strerror})", 'check its permissions') from error
    return _parsed(folder, file, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4)
def _parsed(folder: Path, file: str, *state: int) -> Callable[[], Drawings] | dict:
    """Read JSON once for all pictures that it is of."""
    try:
        content: Any = json.loads(read_bytes(folder, file))
    except ValueError as error:
        raise BadFile(file, f'is no JSON ({error})', 'export it again') from error
    if geojson.is_geojson(content) or content == []:
        return lambda: Drawings(geojson.read(content, file), set())
    if coco.is_coco(content):
        return {
            name: partial(_of_coco, image, annotations, file)
            for name, (image, annotations) in coco.by_image(content, file).items()
        }
    if label_studio.is_label_studio(content):
        return {
            name: partial(_of_label_studio, regions, file)
            for name, regions in label_studio.by_image(content, file).items()
        }
    what = "is JSON, but neither GeoJSON, a COCO data set nor Label Studio's export"
    raise BadFile(file, what, 'export it again as one of these')


def _of_coco(image: dict, annotations: list[dict], file: str) -> Drawings:
    drawn, size = coco.read(image, annotations, file)
    return Drawings(drawn, {size})


def _of_label_studio(regions: list[dict], file: str) -> Drawings:
    return Drawings(*label_studio.read(regions, file))


def _name_in(content: dict[str, Any], image: str, file: str) -> str | None:
    """The name by which a file knows a picture."""
    whole = [name for name in content if f'/{image}'.endswith(f'/{name}')]
    if whole:
        return max(whole, key=len)
    stem = stem_of(PurePosixPath(image).name)
    found = [name for name in content if stem_of(PurePosixPath(name).name) == stem]
    if len(found) > 1:
        what = f'has several pictures {stem} ({found[0]}, {found[1]})'
        raise BadFile(file, what, 'name them by their paths or keep one')
    return found[0] if found else None
