"""Copy-paste of cells within a picture."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS

from cellkit.errors import BadSetting
from cellkit.label_maps import smallest_dtype
from cellkit.pasting import Patch, lay, lift
from custom_modules.datasets.transforms.kept_cells import check_share, keep_cells
from custom_modules.structures.label_map_masks import LabelMapMasks

TRIES = 10
"""Places that are tried for a copy before it is left out."""


@TRANSFORMS.register_module()
class PasteCells(BaseTransform):
    """Lay turned copies of a picture's own cells elsewhere on it, see :mod:`cellkit.pasting`.

    Copies come from the same picture, so that stain, light and size fit. Only whole cells are
    copied, none that is ignored or touches the border. A copy is labelled as a cell on top of all
    others; what it covers is cut from theirs, and a cell that has too little left is dropped.
    Masks that overlap (BitmapMasks) pass unchanged.

    Required and modified keys: ``img`` (H, W, 3) uint8, ``gt_masks``, ``gt_bboxes``,
    ``gt_bboxes_labels``, ``gt_ignore_flags``.

    Args:
        prob: Probability of a change.
        most: Largest number of copies; how many is drawn evenly from 1 on.
        overlap: Largest share of a copy that may lie on cells.
        min_visible: Least share of its area that a cell must keep.

    Raises:
        UserError: An argument is out of range.
    """

    def __init__(
        self, prob: float = 0.5, most: int = 12, overlap: float = 0.3, min_visible: float = 0.5
    ) -> None:
        self.prob = check_share('PasteCells.prob', prob)
        self.overlap = check_share('PasteCells.overlap', overlap)
        self.min_visible = check_share('PasteCells.min_visible', min_visible)
        if most < 1:
            raise BadSetting(f'PasteCells.most is {most}: use 1 or more')
        self.most = most

    @cache_randomness
    def _draw(self) -> tuple[bool, int]:
        return np.random.random() < self.prob, np.random.randint(1 << 31)  # noqa: NPY002

    def transform(self, results: dict) -> dict:
        """Lays copies on the image."""
        chosen, seed = self._draw()
        masks = results['gt_masks']
        if not chosen or not isinstance(masks, LabelMapMasks) or not len(masks):
            return results
        rng = np.random.default_rng(seed)
        image, old_map = results['img'].copy(), masks.label_map
        count = max(int(old_map.max(initial=0)), int(masks.ids.max()))
        label_map = old_map.astype(smallest_dtype(count + self.most))
        boxes = masks.get_bboxes('hbox').numpy().astype(int)
        sources = rng.permutation(np.flatnonzero(~np.asarray(results['gt_ignore_flags'], bool)))
        wanted, copies = int(rng.integers(1, self.most + 1)), []
        for k in np.resize(sources, 2 * wanted).tolist() if len(sources) else ():
            if len(copies) == wanted:
                break
            patch = lift(results['img'], old_map, int(masks.ids[k]), boxes[k])
            if patch is None:
                continue
            patch = patch.turned(int(rng.integers(4)), bool(rng.integers(2)))
            place = self._place(rng, label_map, patch)
            if place is not None:
                lay(image, label_map, patch, *place, count + 1 + len(copies))
                copies.append(k)
        if copies:
            self._store(results, image, label_map, copies, count)
        return results

    def _place(
        self, rng: np.random.Generator, label_map: np.ndarray, patch: Patch
    ) -> tuple[int, int] | None:
        """A corner (y, x) where a copy lies in the picture and not too much on cells."""
        height, width = patch.mask.shape
        free = label_map.shape[0] - height, label_map.shape[1] - width
        if min(free) < 0:
            return None
        area = np.count_nonzero(patch.mask)
        for y, x in rng.integers(0, np.array(free) + 1, (TRIES, 2)).tolist():
            below = label_map[y : y + height, x : x + width]
            if np.count_nonzero(below[patch.mask]) <= self.overlap * area:
                return y, x
        return None

    def _store(
        self, results: dict, image: np.ndarray, label_map: np.ndarray, copies: list[int], count: int
    ) -> None:
        old = results['gt_masks']
        new_ids = np.arange(count + 1, count + 1 + len(copies))
        masks = LabelMapMasks.from_map(label_map, np.concatenate([old.ids, new_ids]))
        areas = np.concatenate([old.areas, old.areas[copies]])
        results['img'] = image
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = np.concatenate([results[key], results[key][copies]])
        keep_cells(results, masks, masks.areas >= np.maximum(self.min_visible * areas, 1))

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, most={self.most}, overlap={self.overlap}, '
            f'min_visible={self.min_visible})'
        )
