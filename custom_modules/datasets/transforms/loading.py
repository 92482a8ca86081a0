"""Load the masks of an image's cells as one label map."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as coco_mask
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS
from mmengine.logging import MMLogger

from cellkit import rle
from cellkit.label_maps import smallest_dtype
from custom_modules.structures.label_map_masks import LabelMapMasks


# The second name stands in the configs of older checkpoints.
@TRANSFORMS.register_module(name=['LoadLabelMap', 'LoadInstanceMap'])
class LoadLabelMap(LoadAnnotations):
    """:class:`LoadAnnotations` whose masks are :class:`LabelMapMasks`, painted from run lengths.

    COCO RLE, compressed or not, is painted straight into the map; polygons are turned into RLE
    first. A data set whose masks overlap can't be held by one map: such an image is loaded as
    BitmapMasks, and a message says so once.

    Args:
        with_mask: load masks.
        **kwargs: as for :class:`LoadAnnotations`.

    Raises:
        ValueError: if a mask's size is not the image's.
    """

    def __init__(self, with_mask: bool = True, **kwargs) -> None:
        super().__init__(with_mask=with_mask, **kwargs)
        self._told = False

    def _load_masks(self, results: dict) -> None:
        height, width = results['ori_shape']
        masks = self._process_masks(results)  # also sets the ignore flags
        if not self.poly2mask:
            return super()._load_masks(results)
        rles = [_as_rle(mask, height, width) for mask in masks]
        try:
            label_map, overlap = rle.decode_and_check(
                rles, size=(height, width), dtype=smallest_dtype(len(rles))
            )
        except ValueError as error:
            raise ValueError(f'masks of {results.get("img_path", "an image")}: {error}') from error
        if overlap:
            self._tell(results)
            return super()._load_masks(results)
        results['gt_masks'] = LabelMapMasks.from_map(label_map, np.arange(1, len(rles) + 1))
        return None

    def _tell(self, results: dict) -> None:
        if not self._told:
            MMLogger.get_current_instance().warning(
                f'masks overlap in {results.get("img_path", "an image")}: it and others like it '
                'are loaded as bitmaps, which is slow; if all do, use LoadAnnotations'
            )
            self._told = True


def _as_rle(mask: dict | list, height: int, width: int) -> dict:
    """COCO RLE of a mask given as RLE or polygons."""
    if isinstance(mask, dict):
        return mask
    return coco_mask.merge(coco_mask.frPyObjects(mask, height, width))
