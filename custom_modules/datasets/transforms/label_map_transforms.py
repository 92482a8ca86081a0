"""Stock transforms that read bitmaps, done on the label map instead."""

from __future__ import annotations

import numpy as np
from mmdet.datasets.transforms import Albu, CopyPaste
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BaseInstanceMasks

from custom_modules.structures.label_map_masks import LabelMapMasks


# The second names stand in the configs of older checkpoints.
@TRANSFORMS.register_module(name=['LabelMapAlbu', 'InstanceMapAlbu'])
class LabelMapAlbu(Albu):
    """:class:`Albu` that warps one map where the stock transform warps a bitmap for every cell.

    The stock one works with :class:`LabelMapMasks` too, but slowly, and blends masks as it
    blends the image (albumentations 1.4 does so for its target ``masks``). Here the map goes in as
    ``mask``, which is resampled by ``mask_interpolation``, the nearest pixel unless a transform is
    told otherwise; leave it so. Arguments as for :class:`Albu`.
    """

    def _preprocess_results(self, results: dict) -> tuple[dict, BaseInstanceMasks | None]:
        masks = results.get('masks')
        if not isinstance(masks, LabelMapMasks):
            return super()._preprocess_results(results)
        del results['masks']
        results, _ = super()._preprocess_results(results)
        results['mask'] = np.ascontiguousarray(masks.label_map)
        return results, masks

    def _postprocess_results(
        self, results: dict, ori_masks: BaseInstanceMasks | None = None
    ) -> dict | None:
        if not isinstance(ori_masks, LabelMapMasks):
            return super()._postprocess_results(results, ori_masks)
        label_map = results.pop('mask')
        results = super()._postprocess_results(results)
        if results is None:
            return None
        masks = LabelMapMasks.from_map(label_map, ori_masks.ids)
        if self.filter_lost_elements:
            masks = masks[np.asarray(results['idx_mapper'], np.int64)]
        results['masks'] = masks
        return results


@TRANSFORMS.register_module(name=['LabelMapCopyPaste', 'InstanceMapCopyPaste'])
class LabelMapCopyPaste(CopyPaste):
    """:class:`CopyPaste` of cells between two images of one size, map to map.

    The stock one works with :class:`LabelMapMasks` too, but makes bitmaps and leaves them as
    masks for what follows. Arguments as for :class:`CopyPaste`.
    """

    def _copy_paste(self, dst_results: dict, src_results: dict) -> dict:
        target, source = dst_results.get('gt_masks'), src_results.get('gt_masks')
        if not all(isinstance(masks, LabelMapMasks) for masks in (target, source)):
            return super()._copy_paste(dst_results, src_results)
        if not len(source):
            return dst_results
        pasted = np.isin(source.label_map, source.ids)
        rest = LabelMapMasks.from_map(np.where(pasted, 0, target.label_map), target.ids)
        boxes = dst_results['gt_bboxes']
        rest_boxes = rest.get_bboxes(type(boxes))
        moved = (rest_boxes.tensor - boxes.tensor).abs().amax(dim=-1).numpy()
        kept = (moved <= self.bbox_occluded_thr) | (rest.areas > self.mask_occluded_thr)
        dst_results['img'] = np.where(pasted[..., None], src_results['img'], dst_results['img'])
        dst_results['gt_masks'] = LabelMapMasks.cat([rest[kept], source])
        dst_results['gt_bboxes'] = boxes.cat([rest_boxes[kept], src_results['gt_bboxes']])
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            dst_results[key] = np.concatenate([dst_results[key][kept], src_results[key]])
        return dst_results
