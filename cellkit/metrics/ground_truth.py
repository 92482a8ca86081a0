"""True instances of a data set, read from its COCO annotation file at original resolution."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from ..rle import decode_to_label_map


@dataclass
class TrueImage:
    """The true instances of one image.

    Attributes:
        file_name: As the annotation file gives it.
        size: (H, W) in pixels.
        rles: T COCO RLE dicts.
        boxes: (T, 4) float64, x, y, width, height in pixels.
        areas: (T,) float64, pixels.
    """

    file_name: str
    size: tuple[int, int]
    rles: list[dict] = field(default_factory=list)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    areas: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def label_map(self) -> np.ndarray:
        """(H, W) int32, k + 1 where instance k lies, 0 elsewhere."""
        return decode_to_label_map(self.rles, size=self.size)


class GroundTruth:
    """The true instances of every image of an annotation file. Crowd regions are left out.

    Args:
        ann_file: COCO JSON; segmentations are RLE or polygons.

    Attributes:
        path: The annotation file.
        images: :class:`TrueImage` by image id.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a COCO annotation file.
    """

    def __init__(self, ann_file: str | PathLike) -> None:
        self.path = Path(ann_file)
        if not self.path.is_file():
            raise FileNotFoundError(
                f'{self.path} is not there: run `make prepare`, '
                'or point DATA_ROOT at a prepared folder.'
            )
        try:
            coco = json.loads(self.path.read_bytes())
            self.images = {
                item['id']: TrueImage(item.get('file_name', ''), (item['height'], item['width']))
                for item in coco['images']
            }
            annotations: dict[int, list[dict]] = {image_id: [] for image_id in self.images}
            for annotation in coco['annotations']:
                if not annotation.get('iscrowd', 0):
                    annotations[annotation['image_id']].append(annotation)
            for image_id, found in annotations.items():
                _fill(self.images[image_id], found)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{self.path} is not a COCO annotation file of instances '
                f'({type(error).__name__}: {error}): run `make prepare` again.'
            ) from error

    def __getitem__(self, image_id: int) -> TrueImage:
        if image_id not in self.images:
            raise ValueError(
                f'{self.path} has no image with the id {image_id!r}: the annotations are of '
                'another data set than the predictions; give the file the images came from.'
            )
        return self.images[image_id]

    def __len__(self) -> int:
        return len(self.images)


def _fill(image: TrueImage, annotations: list[dict]) -> None:
    """Put an image's annotations into ``image``."""
    image.rles = [_rle(annotation['segmentation'], image.size) for annotation in annotations]
    boxes = [annotation['bbox'] for annotation in annotations]
    image.boxes = np.array(boxes, float).reshape(-1, 4)
    image.areas = np.array([annotation['area'] for annotation in annotations], float)


def _rle(segmentation: dict | list, size: tuple[int, int]) -> dict:
    """Any COCO segmentation as RLE."""
    if isinstance(segmentation, dict):
        packed = isinstance(segmentation['counts'], (str, bytes))
        return segmentation if packed else coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
