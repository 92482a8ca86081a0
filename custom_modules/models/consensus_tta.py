"""Test-time augmentation of a detector with masks: what several flips of an image agree on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData

from cellkit.consensus import consensus, flip_rles
from cellkit.metrics.records import Detections
from custom_modules.structures.detections import detections_of


@MODELS.register_module()
class ConsensusTTAModel(BaseTTAModel):
    """Sees each image in several views and merges the masks, which mmdet's DetTTAModel can't do.

    The views, flips and sizes, are those of the config's ``tta_pipeline``. ``pred_instances`` has
    RLE masks, and ``agreement`` (K,) float32: the share of the views that have a detection.

    Args:
        max_per_img: Greatest number of detections of an image; the detector's own when None.
        **kwargs: As for :class:`BaseTTAModel`.
    """

    def __init__(self, max_per_img: int | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        own = (getattr(self.module, 'test_cfg', None) or {}).get('rcnn') or {}
        self.max_per_img = max_per_img or own.get('max_per_img')

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list:
        """One data sample an image from those of its views."""
        return [self._merge(views) for views in data_samples_list]

    def _merge(self, views: Sequence[DetDataSample]) -> DetDataSample:
        found = [_upright(view) for view in views]
        rles = [rle for one in found for rle in one.rles]
        scores = np.concatenate([one.scores for one in found])
        boxes = np.concatenate([one.boxes for one in found])
        number = np.repeat(np.arange(len(found)), [len(one.scores) for one in found])
        labels = torch.cat([view.pred_instances.labels for view in views])
        results = []
        for label in labels.unique():  # a class at a time
            own = np.flatnonzero((labels == label).cpu().numpy())
            among = [rles[k] for k in own], scores[own], boxes[own], number[own]
            results.append(_instances(*consensus(*among, len(found)), label))
        merged = views[0].new()
        if results:
            together = InstanceData.cat(results)
            best = together.scores.argsort(descending=True, stable=True)[: self.max_per_img]
            merged.pred_instances = together[best]
        else:
            merged.pred_instances = views[0].pred_instances
        return merged


def _upright(view: DetDataSample) -> Detections:
    """A view's detections as they lie on the image itself."""
    boxes = view.pred_instances.bboxes
    rles, scores, _ = detections_of(view.pred_instances)
    if view.get('flip'):
        boxes = bbox_flip(boxes, view.ori_shape, view.flip_direction)
        rles = flip_rles(rles, view.flip_direction)
    return Detections(rles, scores, boxes.cpu().numpy())


def _instances(
    rles: list[dict],
    scores: np.ndarray,
    boxes: np.ndarray,
    agreement: np.ndarray,
    label: torch.Tensor,
) -> InstanceData:
    """Merged detections of one class, on the label's device."""
    columns = {'bboxes': boxes, 'scores': scores, 'agreement': agreement}
    tensors = {
        key: torch.as_tensor(value, dtype=torch.float32, device=label.device)
        for key, value in columns.items()
    }
    return InstanceData(masks=rles, labels=label.repeat(len(rles)), **tensors)
