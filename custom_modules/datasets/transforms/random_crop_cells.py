"""Random crops that treat cut cells the way the labels of a whole image do."""

import numpy as np
from mmdet.datasets.transforms import RandomCrop
from mmdet.registry import TRANSFORMS

from custom_modules.datasets.transforms.kept_cells import check_share


@TRANSFORMS.register_module()
class RandomCropCells(RandomCrop):
    """``RandomCrop`` that drops the cells of which too little is left.

    In the BCCD masks a cell cut by the image's border is labelled if about half of it or more is
    visible. A plain crop keeps every sliver, so that the model learns to report slivers and then
    over-counts whole images along all four sides.

    Args:
        crop_size: As for ``RandomCrop``, which see for the other arguments too.
        min_visible: Least fraction of a cell's area, in 0..1, that must lie inside the crop.
        **kwargs: Other arguments of ``RandomCrop``.
    """

    def __init__(self, crop_size: tuple, min_visible: float = 0.5, **kwargs) -> None:
        super().__init__(crop_size, **kwargs)
        self.min_visible = check_share('RandomCropCells.min_visible', min_visible)

    def transform(self, results: dict) -> dict | None:
        """Crops image, boxes and masks, then drops the slivers.

        Args:
            results: Needs ``gt_masks`` besides what ``RandomCrop`` needs.

        Returns:
            The results, or None where no cell is left and negative crops are not allowed.
        """
        whole = np.asarray(results['gt_masks'].areas)
        # RandomCrop carries these through its own selection: they tell which cells are left.
        results['gt_instances_ids'] = np.arange(len(whole))
        results = super().transform(results)
        if results is None:
            return None
        left = results.pop('gt_instances_ids')
        keep = np.asarray(results['gt_masks'].areas) >= self.min_visible * whole[left]
        if not (keep.any() or self.allow_negative_crop):
            return None
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = results[key][keep]
        results['gt_masks'] = results['gt_masks'][keep.nonzero()[0]]
        return results
