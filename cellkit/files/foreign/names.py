"""Which image a file of predictions is of, by its name."""

from __future__ import annotations

from pathlib import PurePath

from cellkit.files.pictures import SUFFIXES

MARKS = ('_cp_masks', '_masks', '_mask', '_labels', '_label', '_rois', '_instances')
"""What programs put behind an image's name, in any case: Cellpose's comes first."""


def stem_of(name: str, marks: tuple[str, ...] = ()) -> str:
    """A name without folders, endings (``a`` of a.ome.tif and a.png.geojson), and one of the marks.

    Args:
        name: With either kind of slashes.
        marks: What may stand at its end, in any case.
    """
    path = PurePath(name.replace('\\', '/'))
    stem = path.stem
    if PurePath(stem).suffix.lower() in (*SUFFIXES, '.ome'):
        stem = PurePath(stem).stem
    for mark in marks:
        if stem.lower().endswith(mark):
            return stem[: -len(mark)]
    return stem
