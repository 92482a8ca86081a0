"""True cells of a data set, read from its COCO annotation file at original resolution."""

from __future__ import annotations

import json
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from cellkit.errors import UserError
from cellkit.metrics.truth import TrueImage


class GroundTruth:
    """The true cells of every image of an annotation file, read when first asked for.

    It is COCO JSON; segmentations are RLE or polygons, crowd regions are left out.

    Raises:
        UserError: There is no such file, or it is not of this kind or lacks an image asked for.
    """

    def __init__(self, ann_file: str | PathLike) -> None:
        self.path = Path(ann_file)
        if not self.path.is_file():
            raise UserError(
                f'{self.path} is not there: run `make prepare`, or point DATA_ROOT at a prepared '
                'folder'
            )

    @cached_property
    def images(self) -> dict[int, TrueImage]:
        """The images by id."""
        try:
            coco = json.loads(self.path.read_bytes())
            annotations: dict[int, list[dict]] = {image['id']: [] for image in coco['images']}
            for annotation in coco['annotations']:
                if not annotation.get('iscrowd', 0):
                    annotations[annotation['image_id']].append(annotation)
            return {i['id']: _true_image(i, annotations[i['id']]) for i in coco['images']}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'{self.path} is not a COCO annotation file of instances '
                f'({type(error).__name__}: {error}): run `make prepare` again'
            ) from error

    def __getitem__(self, image_id: int) -> TrueImage:
        if image_id not in self.images:
            raise UserError(
                f'{self.path} has no image with the id {image_id!r}: the annotations are of '
                'another data set than the predictions; give the file the images came from'
            )
        return self.images[image_id]


def _true_image(image: dict, annotations: list[dict]) -> TrueImage:
    size = image['height'], image['width']
    rles = [rle_of(annotation['segmentation'], size) for annotation in annotations]
    boxes = np.array([annotation['bbox'] for annotation in annotations], float).reshape(-1, 4)
    areas = np.array([annotation['area'] for annotation in annotations], float)
    return TrueImage(image.get('file_name', ''), size, rles, boxes, areas, image.get('white'))


def rle_of(segmentation: dict | list, size: tuple[int, int]) -> dict:
    """Any COCO segmentation as RLE."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    packed = isinstance(segmentation['counts'], (str, bytes))
    return segmentation if packed else coco_mask.frPyObjects(segmentation, *size)
