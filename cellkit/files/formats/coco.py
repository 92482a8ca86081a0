"""COCO JSON: a data set of images, cells and categories, as CVAT, Label Studio and we write it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from cellkit.drawn import Drawn
from cellkit.errors import BadFile
from cellkit.files.formats import DAMAGED
from cellkit.files.formats.geojson import checked
from cellkit.instances import CLASSES


def data_set(
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    info: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The dictionary of a data set, categories added, for JSON.

    Args:
        images: With ``id``, ``file_name``, ``width`` and ``height``.
        annotations: Of :func:`annotation`.
        info: Holds nothing that changes from run to run.
    """
    # Tools of others look for a supercategory: pycocotools' getCatIds(supNms=…).
    categories = [
        {'id': k, 'name': name, 'supercategory': name} for k, name in enumerate(CLASSES, start=1)
    ]
    found = {'images': list(images), 'annotations': list(annotations), 'categories': categories}
    return {'info': dict(info or {}), **found}


def annotation(
    number: int, image_id: int, rle: Mapping[str, Any], area: int, box: Sequence[int]
) -> dict[str, Any]:
    """One cell: ``box`` is x, y, width, height in pixels, ``rle`` its COCO run lengths."""
    ids = {'id': number, 'image_id': image_id, 'category_id': 1}
    return ids | {'segmentation': rle, 'area': area, 'bbox': list(box), 'iscrowd': 0}


def is_coco(content: Any) -> bool:
    """Whether parsed JSON is a COCO data set."""
    return isinstance(content, Mapping) and 'images' in content and 'annotations' in content


def by_image(content: Mapping[str, Any], file: str) -> dict[str, tuple[dict, list[dict]]]:
    """The image and its annotations by the image's file name, from parsed JSON.

    Raises:
        BadFile: The file is no COCO data set; it is named ``file``.
    """
    try:
        images = {image['id']: image for image in content['images']}
        found: dict[Any, list[dict]] = {number: [] for number in images}
        for item in content['annotations']:
            found[item['image_id']].append(item)
        names = {
            PurePosixPath(str(image['file_name']).replace('\\', '/')).as_posix(): image
            for image in images.values()
        }
        return {name: (image, found[image['id']]) for name, image in names.items()}
    except DAMAGED as error:
        raise _bad(file, error) from error


def read(
    image: Mapping[str, Any], annotations: Iterable[Mapping[str, Any]], file: str
) -> tuple[list[Drawn], tuple[int, int]]:
    """What was drawn on an image, and its (height, width) by the file.

    All annotations are cells, of every category, and those with ``iscrowd`` too: CVAT sets it for
    whatever was painted with the brush. Several polygons are pieces of a cell; COCO's polygons have
    no holes, its run lengths do. Without a segmentation there is no area: a box alone is no cell.

    Raises:
        BadFile: The file is no COCO data set; it is named ``file``.
    """
    try:
        size = int(image['height']), int(image['width'])
        return [_drawn(item.get('segmentation'), size) for item in annotations], size
    except DAMAGED as error:
        raise _bad(file, error) from error


def _drawn(segmentation: Any, size: tuple[int, int]) -> Drawn:
    if not segmentation:
        return []
    if isinstance(segmentation, list):
        return [[checked(np.array(ring, float).reshape(-1, 2))] for ring in segmentation if ring]
    given = tuple(int(side) for side in segmentation['size'])
    if given != size:
        raise ValueError(
            f'a mask is of {given[1]}x{given[0]} pixels, its image {size[1]}x{size[0]}'
        )
    counts = segmentation['counts']
    if isinstance(counts, list):
        lengths = np.array(counts, np.int64)
        if lengths.min(initial=0) < 0 or lengths.sum() != size[0] * size[1]:
            raise ValueError("run lengths don't add up to the size of the mask")
        return coco_mask.frPyObjects({'size': list(size), 'counts': lengths.tolist()}, *size)
    if not isinstance(counts, str):
        raise ValueError('run lengths are neither a list nor packed text')
    return {'size': list(size), 'counts': counts}


def _bad(file: str, error: Exception) -> BadFile:
    what = f'is not a COCO data set ({type(error).__name__}: {error})'
    return BadFile(file, what, 'export it again as COCO JSON with masks or polygons')
