"""COCO JSON of any program: a list of results, or a data set with images and annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from cellkit.errors import BadFile
from cellkit.files.annotations import rle_of
from cellkit.files.foreign.names import stem_of
from cellkit.files.formats.coco import is_coco
from cellkit.metrics.records import Detections

REMEDY = 'write COCO results or a COCO data set, with masks'


class Results(NamedTuple):
    """What a file holds.

    Attributes:
        detections: By the image's name, as the file has it or as the caller does.
        scored: Whether all cells have scores; else each is 1.
    """

    detections: dict[str, Detections]
    scored: bool


def read_coco(file: Path, images: Mapping[str, tuple[int, tuple[int, int]]]) -> Results | None:
    """Read the cells of many images.

    Results are told apart by ``file_name`` where they have one, as this project's own do; else by
    ``image_id``, which then is that of the annotation file they are scored against. A data set has
    its own ids and names. All categories are cells, crowd regions are left out, cells may overlap.

    Args:
        file: The JSON file.
        images: Id and (H, W) of each image, by its file name.

    Returns:
        None where it is JSON of another kind.

    Raises:
        BadFile: It is no JSON, has boxes without masks, or masks of another size.
    """
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise BadFile(str(file), f'is no JSON ({error})', 'write it again') from error
    if not _is_coco(content):
        return None
    names = {image_id: name for name, (image_id, _) in images.items()}
    sizes = {stem_of(name): size for name, (_, size) in images.items()}
    found: dict[str, list[tuple[dict, float | None]]] = {}
    try:
        if isinstance(content, dict):
            names = {image['id']: image['file_name'] for image in content['images']}
            for image in content['images']:
                found[image['file_name']] = []
                _check_size(file, image, sizes.get(stem_of(image['file_name'])))
            content = content['annotations']
        for item in content:
            name = item.get('file_name') or names.get(item['image_id'])
            if name is None:
                what = f'has cells of an image with the id {item["image_id"]!r}, which is none of '
                raise BadFile(str(file), f'{what}the images', 'add file_name to each result')
            cells = found.setdefault(name, [])
            size = sizes.get(stem_of(name))
            if size and not item.get('iscrowd', 0):
                cells.append((_rle(file, name, item['segmentation'], size), item.get('score')))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        what = f'is no COCO JSON of masks ({type(error).__name__}: {error})'
        raise BadFile(str(file), what, REMEDY) from error
    scored = all(score is not None for cells in found.values() for _, score in cells)
    detections = {
        name: with_boxes([rle for rle, _ in cells], [s if scored else 1.0 for _, s in cells])
        for name, cells in found.items()
    }
    return Results(detections, scored)


def _is_coco(content: Any) -> bool:
    if isinstance(content, list):
        return all(isinstance(item, dict) and 'image_id' in item for item in content)
    return is_coco(content)


def _check_size(file: Path, image: Mapping[str, Any], size: tuple[int, int] | None) -> None:
    own = image.get('height'), image.get('width')
    if size is not None and None not in own and own != size:
        what = f'has {image["file_name"]} at {own[1]}x{own[0]} pixels, not {size[1]}x{size[0]}'
        raise BadFile(str(file), what, 'write outlines at full resolution')


def _rle(file: Path, name: str, segmentation: Any, size: tuple[int, int]) -> dict:
    rle = rle_of(segmentation, size)
    height, width = (int(side) for side in rle['size'])
    if (height, width) != size:
        what = f'has a mask of {width}x{height} pixels for {name}, not {size[1]}x{size[0]}'
        raise BadFile(str(file), what, 'write masks at full resolution')
    return rle


def with_boxes(rles: list[dict], scores: Sequence[float]) -> Detections:
    """Detections whose boxes are those of their masks."""
    boxes = np.array(coco_mask.toBbox(rles) if rles else [], float).reshape(-1, 4)
    return Detections(rles, np.array(scores, float), boxes)
