"""One image and what was drawn on it to everything the data set needs to know of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cellkit.changes import Changes, changes
from cellkit.drawn import Cells, cells_of
from cellkit.errors import BadFile, Problem, UserError
from cellkit.files.drawings import is_drawings, names, read_drawings
from cellkit.files.pictures import decode_picture, read_bytes
from cellkit.files.stored import UNKNOWN, Whites
from cellkit.rle import decode_to_label_map
from data_prep.convert import Converted, InstanceRule, MaskOptions, convert_pair, described
from data_prep.pairs import Pair

PREDICTIONS = 'predictions.json'
"""The COCO data set in a folder of predictions."""


def convert(
    data: Path,
    pair: Pair,
    rule: InstanceRule,
    options: MaskOptions | None = None,
    predictions: Path | None = None,
    whites: Whites = UNKNOWN,
) -> Converted | list[Problem]:
    """Convert an image with its mask or its drawings, or say what is wrong with its files.

    Args:
        data: The folder in which the pair lies.
        pair: The image and its mask or drawings.
        rule: How a mask becomes cells; drawings take its least area alone.
        options: How a mask's file is read.
        predictions: A folder of predictions, to count what was changed in them.
        whites: Of all images.
    """
    try:
        if is_drawings(pair.mask):
            converted = _convert_drawings(data, pair, rule.min_area, whites)
        else:
            converted = convert_pair(data, pair, rule, options, whites)
        if predictions and isinstance(converted, Converted):
            converted.changes = _changes(converted, predictions, rule.min_area)
    except BadFile as error:
        return [error.problem]
    return converted


def check_predictions(predictions: Path, images: Sequence[str]) -> None:
    """Raise a UserError if a folder holds no predictions of any of the images."""
    if not (predictions / PREDICTIONS).is_file():
        raise UserError(
            f'{predictions}: holds no {PREDICTIONS}; name a folder that `make predict` wrote with '
            '--predictions'
        )
    if not any(names(predictions, PREDICTIONS, images).values()):
        raise UserError(
            f'{predictions / PREDICTIONS}: names none of the images; name the predictions of these '
            'images with --predictions, or leave it out'
        )


def _convert_drawings(data: Path, pair: Pair, min_area: int, whites: Whites) -> Converted:
    """Raises a BadFile that says what is wrong."""
    content = read_bytes(data, pair.image)
    picture = decode_picture(content, pair.image, whites)
    if picture.turn != 1:
        turned = f'is turned by its EXIF orientation ({picture.turn})'
        what = f'{turned} and what was drawn on it may not be'
        remedy = 'save the image without that tag and check that they lie on each other'
        raise BadFile(pair.image, what, remedy)
    size = picture.pixels.shape[:2]
    cells = _cells(data, pair.mask, pair.image, size, min_area)
    if not cells.label_map.any():
        raise BadFile(
            pair.mask,
            f'holds no cell of {min_area} pixels or more on {pair.image}{_told(cells)}',
            'draw its cells, lower --min-area or remove the image',
        )
    digests = hashlib.sha256(content).digest(), cells.label_map.astype('<i4').tobytes()
    return described(
        data,
        pair,
        picture,
        cells.label_map,
        digest=hashlib.sha256(b''.join(digests)).hexdigest(),
        specks=cells.specks,
        left_out=cells.left_out,
    )


def _cells(folder: Path, file: str, image: str, size: tuple[int, int], min_area: int) -> Cells:
    drawn, sizes = read_drawings(folder, file, image)
    if wrong := sizes - {size}:
        height, width = wrong.pop()
        what = f'is of a picture of {width}x{height} pixels but {image} is {size[1]}x{size[0]}'
        raise BadFile(file, what, 'annotate the image at its full size')
    try:
        return cells_of(drawn, size, min_area)
    except ValueError as error:
        raise BadFile(
            file, f"has a mask that can't be read ({error})", 'export it again'
        ) from error


def _told(cells: Cells) -> str:
    counts = [*cells.reasons, *[f'{len(cells.specks)} too small'] * bool(cells.specks)]
    return f' ({", ".join(counts)})' if counts else ''


def _changes(converted: Converted, predictions: Path, min_area: int) -> Changes | None:
    """What was changed in an image's predictions; None if there are none of it."""
    image, size = converted.pair.image, (converted.height, converted.width)
    if not names(predictions, PREDICTIONS, [image])[image]:
        return None
    before = _cells(predictions, PREDICTIONS, image, size, min_area)
    return changes(before.label_map, decode_to_label_map(converted.rles, size=size))
