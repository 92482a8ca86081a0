"""A folder of predictions of any program, its files matched to images by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cellkit.drawn import cells_of
from cellkit.errors import BadFile, UserError
from cellkit.files.drawings import read_drawings
from cellkit.files.foreign.coco_results import read_coco, with_boxes
from cellkit.files.foreign.label_images import read_label_image
from cellkit.files.foreign.names import MARKS, stem_of
from cellkit.metrics.records import Detections
from cellkit.metrics.truth import TrueImage
from cellkit.rle import encode_label_map


class Cells(NamedTuple):
    """What a file says of one image.

    Attributes:
        detections: The cells; scores are 1 where the program gives none.
        remark: Something to tell, or nothing.
    """

    detections: Detections
    remark: str = ''


class Predictions(NamedTuple):
    """What a folder holds.

    Attributes:
        detections: By image id, of the images that it has something of.
        missing: File names of the images that it has nothing of.
        extra: Names in it that are of no image.
        scored: Whether all cells have scores.
        remarks: Sentences without their full stop.
    """

    detections: dict[int, Detections]
    missing: list[str]
    extra: list[str]
    scored: bool
    remarks: list[str]


def cells_of_labels(label_map: np.ndarray, remark: str = '') -> Cells:
    """The cells of a (H, W) label map, all of score 1."""
    rles = encode_label_map(label_map)
    return Cells(with_boxes(rles, np.ones(len(rles))), remark)


def _label_image(file: Path, size: tuple[int, int]) -> Cells:
    label_map, was_mask = read_label_image(file, size)
    remark = 'is a mask of one value: its cells are the pieces' if was_mask else ''
    return cells_of_labels(label_map, remark)


def _drawings(file: Path, size: tuple[int, int]) -> Cells:
    drawn = read_drawings(file.parent, file.name, file.name).drawn
    cells = cells_of(drawn, size)
    remark = f'has drawings that are no cells: {", ".join(cells.reasons)}'
    return cells_of_labels(cells.label_map, remark if cells.reasons else '')


# By the ending of a file of one image: reads it, given its path and the image's (H, W). A format is
# added by a line here.
READERS: dict[str, Callable[[Path, tuple[int, int]], Cells]] = {
    '.png': _label_image,
    '.tif': _label_image,
    '.tiff': _label_image,
    '.geojson': _drawings,
    '.zip': _drawings,
    '.roi': _drawings,
}


def read_predictions_of(path: Path, images: Mapping[int, TrueImage]) -> Predictions:
    """Read what a program found on images.

    Args:
        path: A folder with a file an image (:data:`READERS`) or COCO JSON files, or one such JSON.
        images: The images by id.

    Raises:
        UserError: There is nothing to be used, a file can't be used, or two are of one image.
    """
    if not path.exists():
        raise UserError(f'{path}: there is no such file or folder; check the path')
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if file.is_file() and not file.name.startswith('.')]
    by_stem = _by_stem(images)
    found: dict[int, tuple[Path, Cells]] = {}
    extra: list[str] = []
    scored, read_one = [], False
    names = {image.file_name: (k, image.size) for k, image in images.items()}
    for file in files:
        if file.suffix.lower() != '.json':
            continue
        content = read_coco(file, names)
        if content is None:  # JSON of something else
            continue
        read_one = True
        scored.append(content.scored)
        for name, detections in content.detections.items():
            image_id = by_stem.get(stem_of(name))
            if image_id is None:
                extra.append(f'{name} in {file.name}')
            else:
                _add(found, image_id, file, Cells(detections))
    labelled = [file for file in files if file.suffix.lower() in READERS]
    for file in _without_originals(labelled, by_stem):
        read_one = True
        image_id = by_stem.get(stem_of(file.name), by_stem.get(stem_of(file.name, MARKS)))
        if image_id is None:
            extra.append(file.name)
        else:
            _add(found, image_id, file, READERS[file.suffix.lower()](file, images[image_id].size))
            scored.append(False)
    if not found:
        kinds = ', '.join([*READERS, '.json'])
        what = f'nothing in it ({", ".join(extra[:3])} …) is named as one of the images'
        if not read_one:
            what = f'holds no predictions ({kinds})'
        remedy = 'name the files after the images, or give COCO JSON'
        raise UserError(f'{path}: {what}; {remedy}')
    return Predictions(
        {image_id: cells.detections for image_id, (_, cells) in sorted(found.items())},
        [image.file_name for k, image in images.items() if k not in found],
        extra,
        all(scored),
        [f'{file} {cells.remark}' for file, cells in found.values() if cells.remark],
    )


def _by_stem(images: Mapping[int, TrueImage]) -> dict[str, int]:
    found: dict[str, int] = {}
    for image_id, image in images.items():
        stem = stem_of(image.file_name)
        if stem in found:
            other = images[found[stem]].file_name
            raise UserError(
                f'{other} and {image.file_name} have one name, so that predictions of them '
                "can't be told apart; score them in two parts"
            )
        found[stem] = image_id
    return found


def _without_originals(files: list[Path], by_stem: Mapping[str, int]) -> list[Path]:
    """The files without an image beside its labels, as Cellpose leaves the two."""
    others = [file for file in files if stem_of(file.name) not in by_stem]
    marked = {stem_of(file.name, MARKS) for file in others}
    return [f for f in files if f in others or stem_of(f.name) not in marked]


def _add(found: dict[int, tuple[Path, Cells]], image_id: int, file: Path, cells: Cells) -> None:
    if image_id in found:
        raise BadFile(str(file), f'is of the same image as {found[image_id][0]}', 'keep one')
    found[image_id] = file, cells
