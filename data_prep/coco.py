"""COCO JSON of one part of the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cellkit.files.formats.coco import annotation, data_set
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
        about = {'width': item.width, 'height': item.height}
        if item.white is not None:
            about['white'] = item.white
        if item.pixel_size is not None:
            about['pixel_size_um'] = item.pixel_size
        images.append({'id': image_id, 'file_name': item.pair.image, **about})
        for rle, area, box in zip(item.rles, item.areas, item.boxes, strict=True):
            annotations.append(annotation(len(annotations) + 1, image_id, rle, area, box))
    return data_set(images, annotations, info)
