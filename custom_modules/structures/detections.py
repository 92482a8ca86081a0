"""What a model predicts on one image, off the GPU and with masks as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.structures import InstanceData

from cellkit.errors import UserError
from cellkit.metrics.records import Detections
from cellkit.rle import encode_label_map


def detections_of(predicted: InstanceData | Mapping[str, Any]) -> Detections:
    """Take the detections out of a data sample's ``pred_instances``.

    Args:
        predicted: ``bboxes`` (D, 4) x1, y1, x2, y2 in pixels, ``scores`` (D,), and ``masks``: D
            COCO RLE dicts, or (D, H, W) bool.

    Returns:
        The detections in the same order; their RLE counts are str, ready for JSON.

    Raises:
        UserError: If there are boxes but no masks.
    """
    boxes = predicted['bboxes'].detach().cpu().numpy().astype(float)
    if len(boxes) and 'masks' not in predicted:
        raise UserError(
            'the model predicts boxes but no masks; evaluate a model that segments instances'
        )
    boxes[:, 2:] -= boxes[:, :2]
    scores = predicted['scores'].detach().cpu().numpy().astype(float)
    masks = predicted['masks'] if len(boxes) else []
    return Detections([_rle(mask) for mask in masks], scores, boxes)


def _rle(mask: dict | torch.Tensor) -> dict:
    if isinstance(mask, torch.Tensor):
        return encode_label_map(mask.cpu().numpy().astype(bool), 1)[0]
    counts = mask['counts']
    return {
        'size': [int(side) for side in mask['size']],
        'counts': counts.decode() if isinstance(counts, bytes) else counts,
    }
