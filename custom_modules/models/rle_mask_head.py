"""A mask head that predicts run lengths without making full-size bitmaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.mask_heads import CoarseMaskHead, FCNMaskHead
from mmdet.registry import MODELS
from mmdet.utils import ConfigType, InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from cellkit import rle

# Pixels sampled at once: few stay in a CPU's cache and need little padding, a GPU wants many.
PIXELS_AT_ONCE = {'cpu': 1 << 18, 'cuda': 1 << 24}


@MODELS.register_module()
class RLEMaskHead(FCNMaskHead):
    """:class:`FCNMaskHead` whose predictions are COCO RLE.

    The stock head pastes each mask into an image of its own: 300 masks of a 1600x1200 image are
    576 MB, which are then encoded one by one. This one samples a mask inside its box only, with the
    same sampling, and encodes the runs from there. Training is the stock head's.

    ``pred_instances.masks`` is a list of RLE dicts, which CocoMetric takes as it is and
    :class:`RLEVisualizer` draws. What wants bitmaps (DetInferencer's JSON, ``mim test --out``)
    needs ``--cfg-options model.roi_head.mask_head.encode=False``.

    Args:
        encode: predict RLE; False gives the stock head's bool tensor.
        maskness: multiply each score by how sure its mask is (:func:`maskness_of`), so that
            detections with doubtful outlines come last.
        *args: as for :class:`FCNMaskHead`.
        **kwargs: as for :class:`FCNMaskHead`.
    """

    def __init__(self, *args, encode: bool = True, maskness: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.encode, self.maskness = encode, maskness

    def predict_by_feat(
        self,
        mask_preds: tuple[Tensor],
        results_list: list[InstanceData],
        batch_img_metas: list[dict],
        rcnn_test_cfg: ConfigType,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> InstanceList:
        """See :meth:`FCNMaskHead.predict_by_feat`; ``masks`` is a list for empty images as well."""
        results_list = super().predict_by_feat(
            mask_preds, results_list, batch_img_metas, rcnn_test_cfg, rescale, activate_map
        )
        threshold = rcnn_test_cfg.mask_thr_binary
        for k, results in enumerate(results_list):
            if self.encode and not len(results.bboxes):
                results.masks = []
            elif self.maskness and len(results.bboxes):
                masks = self._probabilities(mask_preds[k], results.labels, activate_map)
                results.scores = results.scores * maskness_of(masks[:, 0], threshold)
                results_list[k] = results[results.scores.argsort(descending=True, stable=True)]
        return results_list

    def _probabilities(self, mask_preds: Tensor, labels: Tensor, activate_map: bool) -> Tensor:
        """(N, 1, h, w) float32: each detection's mask of its own class."""
        masks = torch.as_tensor(mask_preds) if activate_map else mask_preds.sigmoid()
        if not self.class_agnostic:
            masks = masks[range(len(masks)), labels][:, None]
        return masks.to(labels.device, torch.float32)

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        labels: Tensor,
        img_meta: dict,
        rcnn_test_cfg: ConfigType,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> list[dict] | Tensor:
        """RLE of one image's masks; see :meth:`FCNMaskHead._predict_by_feat_single`.

        A negative ``mask_thr_binary`` asks for soft masks and gives the stock head's tensor.
        """
        threshold = rcnn_test_cfg.mask_thr_binary
        if not self.encode or threshold < 0:
            return super()._predict_by_feat_single(
                mask_preds, bboxes, labels, img_meta, rcnn_test_cfg, rescale, activate_map
            )
        height, width = img_meta['ori_shape'][:2]
        scale_factor = bboxes.new_tensor(img_meta['scale_factor']).repeat((1, 2))
        if rescale:
            bboxes /= scale_factor  # in place, as the stock head does: the caller's boxes change
        else:
            width = int(np.round(width * scale_factor[0, 0].item()))
            height = int(np.round(height * scale_factor[0, 1].item()))
        masks = self._probabilities(mask_preds, labels, activate_map)
        encoded: list[dict] = [{}] * len(masks)
        for chosen, xs, ys, crops in paste_in_boxes(masks, bboxes, (height, width), threshold):
            for k, item in zip(chosen, rle.encode_crops(crops, xs, ys, height, width), strict=True):
                encoded[k] = item
        return encoded


@MODELS.register_module()
class RLECoarseMaskHead(RLEMaskHead, CoarseMaskHead):
    """PointRend's coarse head, with the predictions of :class:`RLEMaskHead`."""


def maskness_of(masks: Tensor, threshold: float = 0.5) -> Tensor:
    """How sure masks are: the mean probability of each one's foreground.

    SOLOv2 (Wang et al., NeurIPS 2020) ranks its masks by it. A score of the class alone says
    nothing of the outline.

    Args:
        masks: (N, h, w) float, probabilities.
        threshold: a pixel is foreground if its probability is at least this; of a negative one,
            which asks for soft masks, 0.5 takes the place.

    Returns:
        (N,) float; 0 where a mask has no foreground.
    """
    inside = masks >= (threshold if threshold >= 0 else 0.5)
    return (masks * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def paste_in_boxes(
    masks: Tensor,
    boxes: Tensor,
    shape: tuple[int, int],
    threshold: float,
    pixels_at_once: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]]:
    """Resize each mask into its box, some at a time so that memory stays bounded.

    Samples as mmdet's ``_do_paste_mask`` does on a CPU: bilinear at pixel centres, inside the box
    and a margin of a pixel.

    Args:
        masks: (N, 1, h, w) float32 scores.
        boxes: (N, 4) (x1, y1, x2, y2), pixels of the image.
        shape: (height, width) of the image, pixels.
        threshold: a pixel is foreground if its score is at least this.
        pixels_at_once: bound on the pixels sampled at once; by device when None.

    Yields:
        Some masks' indices, the columns and rows of their crops' corners, and the bool crops. Every
        mask comes once, in no order; one whose box lies outside the image has an empty crop.
    """
    height, width = shape
    boxes = boxes.detach().float()
    device = boxes.device
    pixels_at_once = pixels_at_once or PIXELS_AT_ONCE.get(device.type, PIXELS_AT_ONCE['cuda'])
    bounds = torch.cat([boxes[:, :2].floor() - 1, boxes[:, 2:].ceil() + 1], dim=1)
    corners = np.clip(bounds.cpu().numpy(), 0, [width, height, width, height]).astype(np.int64)
    sizes = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    order = np.argsort(-sizes.prod(axis=1), kind='stable')  # alike ones together: little padding
    while len(order):
        count = _how_many(sizes[order], pixels_at_once)
        chosen, order = order[:count], order[count:]
        columns, rows = sizes[chosen].max(axis=0).tolist()
        if not columns or not rows:  # the rest lies outside the image
            yield chosen, *corners[chosen, :2].T, [np.zeros((0, 0), bool)] * count
            continue
        index = torch.from_numpy(chosen).to(device)
        left, top = torch.from_numpy(corners[chosen, :2].T.astype(np.float32)).to(device)[..., None]
        x1, y1, x2, y2 = boxes[index].T[..., None]
        grid_x = _to_unit(left + torch.arange(columns, device=device), x1, x2)
        grid_y = _to_unit(top + torch.arange(rows, device=device), y1, y2)
        part = masks[index]
        strips = []
        for strip in torch.split(grid_y, max(pixels_at_once // max(count * columns, 1), 1), dim=1):
            grid = torch.stack(
                torch.broadcast_tensors(grid_x[:, None, :], strip[:, :, None]), dim=3
            )
            scores = F.grid_sample(part, grid, align_corners=False)[:, 0]
            strips.append((scores >= threshold).cpu())
        pasted = torch.cat(strips, dim=1).numpy()
        crops = [pasted[k, : sizes[i, 1], : sizes[i, 0]] for k, i in enumerate(chosen)]
        yield chosen, *corners[chosen, :2].T, crops


def _how_many(sizes: np.ndarray, pixels_at_once: int) -> int:
    """How many windows, padded to one size, stay within the bound; at least one."""
    padded = np.maximum.accumulate(sizes, axis=0).prod(axis=1) * np.arange(1, len(sizes) + 1)
    return max(int(np.searchsorted(padded > pixels_at_once, True)), 1)


def _to_unit(pixels: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Pixel centres as ``grid_sample`` wants them: -1 and 1 are the box's edges."""
    position = (pixels.float() + 0.5 - low) / (high - low) * 2 - 1
    return torch.where(torch.isinf(position), 0, position)
