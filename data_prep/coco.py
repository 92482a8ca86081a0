"""COCO JSON of one part of the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cellkit.instances import CLASSES
from data_prep.convert import Converted


def coco_dict(
    converted: Sequence[Converted], image_ids: Mapping[str, int], info: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the COCO dictionary of some images, in their order; ids of annotations start at 1.

    ``image_ids`` go by image file; ``info`` holds nothing that changes from run to run.
    """
    images, annotations = [], []
    for item in converted:
        image_id = image_ids[item.pair.image]
        size = {'width': item.width, 'height': item.height}
        images.append({'id': image_id, 'file_name': item.pair.image, **size})
        for rle, area, box in zip(item.rles, item.areas, item.boxes, strict=True):
            ids = {'id': len(annotations) + 1, 'image_id': image_id, 'category_id': 1}
            cell = {'segmentation': rle, 'area': area, 'bbox': box, 'iscrowd': 0}
            annotations.append(ids | cell)
    # Tools of others look for a supercategory: pycocotools' getCatIds(supNms=…).
    categories = [
        {'id': k, 'name': name, 'supercategory': name} for k, name in enumerate(CLASSES, start=1)
    ]
    found = {'images': images, 'annotations': annotations, 'categories': categories}
    return {'info': dict(info), **found}
