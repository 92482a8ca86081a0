"""The points of the curve, and the labelled images that each is trained on."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from cellkit.errors import UserError
from cellkit.files.prepared import annotation_file
from tools.train.pick import FEWEST

STARTS = ('box', 'few', 'scratch')
SIZES = (0, 1, 2, 5, 10)
"""Numbers of images beside all there are."""

DRAWS = 3
ONE_DRAW = 10  # from so many images on


class Point(NamedTuple):
    """One run.

    Attributes:
        start: Of :data:`STARTS`: from the box, from it by the config for a handful of images, or
            from random weights.
        images: How many labelled images it is trained on.
        draw: Which ones; also the seed of training.
    """

    start: str
    images: int
    draw: int

    @property
    def name(self) -> str:
        """Of its run folder."""
        return f'{self.start}_{self.images}_draw{self.draw}'


def read_training_part(root: Path) -> dict[str, Any]:
    """The COCO JSON of a prepared data set's training part.

    Raises:
        UserError: It or the test part is not there, or it holds no cells.
    """
    for part in ('test', 'train'):
        if not (file := annotation_file(root, part)).is_file():
            raise UserError(
                f'{file} is not there: run `make prepare`, or name a prepared folder with '
                '--data-root'
            )
    try:
        coco = json.loads(file.read_bytes())
        found = labelled(coco)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: can't be read as COCO JSON ({error})") from error
    if not found:
        raise UserError(f'{file} holds no image with cells: prepare another data set')
    return coco


def labelled(coco: dict[str, Any]) -> list[dict[str, Any]]:
    """The images that have cells; training leaves out the others."""
    with_cells = {annotation['image_id'] for annotation in coco['annotations']}
    return [image for image in coco['images'] if image['id'] in with_cells]


def subset(coco: dict[str, Any], images: int, draw: int) -> dict[str, Any]:
    """The part of a COCO JSON that a draw takes.

    Draws are nested: the images of a small number are among those of a greater one. Those of
    different draws are disjoint as long as there are enough. Names decide, by their SHA-256, so
    that every machine takes the same ones.
    """
    shuffled = sorted(
        labelled(coco), key=lambda image: hashlib.sha256(image['file_name'].encode()).digest()
    )
    first = draw * len(shuffled) // DRAWS
    taken = {image['id'] for image in (shuffled[first:] + shuffled[:first])[:images]}
    return coco | {
        'images': [image for image in coco['images'] if image['id'] in taken],
        'annotations': [item for item in coco['annotations'] if item['image_id'] in taken],
    }


def sizes(start: str, total: int) -> list[int]:
    """The numbers of images of a start, up to all there are, or up to a handful."""
    if start == 'few':
        return [size for size in SIZES if 0 < size < min(FEWEST, total + 1)]
    fewest = 0 if start == 'box' else 1
    return sorted({size for size in (*SIZES, total) if fewest <= size <= total})


def draws(images: int, total: int) -> range:
    """The draws of a number of images."""
    return range(DRAWS if 0 < images < min(ONE_DRAW, total) else 1)


def select(only: str | None, total: int) -> list[Point]:
    """The points to measure, first draws first: a curve of one draw stands early.

    Args:
        only: Such as ``'box'``, ``'box:5 scratch:all'`` or ``'box:5:0'``; all when None.
        total: How many images there are.

    Raises:
        UserError: It names what is none of them.
    """
    points: set[Point] = set()
    for text in re.split('[ ,]+', (only or ' '.join(STARTS)).strip()):
        points.update(_named(text, total))
    return sorted(points, key=lambda point: (point.draw, point.images, point.start))


def _named(text: str, total: int) -> list[Point]:
    """The points that ``START[:IMAGES[:DRAW]]`` stands for."""
    match = re.fullmatch(rf'({"|".join(STARTS)})(?::(\d+|all)(?::(\d+))?)?', text)
    if not match:
        raise UserError(
            f'--only {text}: write box, few or scratch, as in box, few:5 or scratch:all:0'
        )
    start, number, draw = match.groups()
    if number is None:
        return [Point(start, n, k) for n in sizes(start, total) for k in draws(n, total)]
    images = total if number == 'all' else int(number)
    if images > total:
        raise UserError(f'--only {text}: there are {total} training images with cells; name fewer')
    if images == 0 and start != 'box':
        raise UserError(f'--only {text}: without images nothing is trained; name 1 or more')
    if draw is None:
        return [Point(start, images, k) for k in draws(images, total)]
    last = DRAWS - 1 if images else 0
    if int(draw) > last:
        raise UserError(f'--only {text}: the last draw of {images} images is {last}')
    return [Point(start, images, int(draw))]
