"""Elastic deformation that loses no cell."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS

from cellkit.errors import BadSetting
from cellkit.warps import elastic_grid, warp
from custom_modules.datasets.transforms.kept_cells import check_share, keep_cells
from custom_modules.structures.label_map_masks import LabelMapMasks


@TRANSFORMS.register_module()
class ElasticCells(BaseTransform):
    """Bend a picture smoothly, its border onto itself.

    What lies beyond the border is neither needed nor made up, no cell leaves the picture and none
    appears. albumentations' ``ElasticTransform`` takes several times as long and fills what it
    pulls in with reflections.

    Required keys: ``img``, ``gt_masks``, ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_ignore_flags``.
    Modified: ``img``, ``gt_masks``, ``gt_bboxes``; of the others only what belongs to a cell of a
    few pixels that got none.

    Args:
        prob: Probability of a change.
        spacing: Distance of neighbouring knots, pixels.
        shift: Largest shift of a knot down and across, pixels; at most 0.16 of the spacing is used,
            so that nothing folds.

    Raises:
        UserError: An argument is out of range.
    """

    def __init__(self, prob: float = 0.5, spacing: float = 96, shift: float = 12) -> None:
        self.prob = check_share('ElasticCells.prob', prob)
        if spacing < 2 or shift < 0:
            raise BadSetting(
                f'ElasticCells.spacing is {spacing} and shift {shift}: use at least 2 and 0'
            )
        self.spacing, self.shift = spacing, shift

    @cache_randomness
    def _draw(self) -> tuple[bool, int]:
        return np.random.random() < self.prob, np.random.randint(1 << 31)  # noqa: NPY002

    def transform(self, results: dict) -> dict:
        """Bends image and masks; boxes follow."""
        chosen, seed = self._draw()
        if not chosen:
            return results
        size = results['img'].shape[:2]
        x, y = elastic_grid(np.random.default_rng(seed), size, self.spacing, self.shift)
        results['img'] = warp(results['img'], x, y)
        masks = results['gt_masks']
        if isinstance(masks, LabelMapMasks):
            label_map = np.ascontiguousarray(masks.label_map)
            masks = LabelMapMasks.from_map(warp(label_map, x, y, nearest=True), masks.ids)
        else:  # they overlap
            layers = [warp(layer, x, y, nearest=True) for layer in masks.masks]
            masks = type(masks)(layers, *size)
        keep_cells(results, masks, np.asarray(masks.areas) > 0)
        return results

    def __repr__(self) -> str:
        name = type(self).__name__
        return f'{name}(prob={self.prob}, spacing={self.spacing}, shift={self.shift})'
