"""COCO JSON of one part of the data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cellkit.instances import CLASSES
from data_prep.convert import Converted


def coco_dict(
    converted: Sequence[Converted], image_ids: Mapping[str, int], info: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the COCO dictionary of some images.

    Args:
        converted: Images in the order in which they are written.
        image_ids: Id of each image file.
        info: What goes into ``info``; nothing that changes from run to run.

    Returns:
        ``info``, ``images``, ``annotations`` (ids from 1) and ``categories`` (ids from 1).
    """
    images = []
    annotations = []
    for item in converted:
        image_id = image_ids[item.pair.image]
        images.append(
            {
                'id': image_id,
                'file_name': item.pair.image,
                'width': item.width,
                'height': item.height,
            }
        )
        for rle, area, box in zip(item.rles, item.areas, item.boxes, strict=True):
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': 1,
                    'segmentation': rle,
                    'area': area,
                    'bbox': box,
                    'iscrowd': 0,
                }
            )
    categories = [{'id': k, 'name': name} for k, name in enumerate(CLASSES, start=1)]
    return {
        'info': dict(info),
        'images': images,
        'annotations': annotations,
        'categories': categories,
    }


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write JSON that is the same byte for byte for the same content."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    path.write_text(text + '\n', encoding='utf-8', newline='\n')
