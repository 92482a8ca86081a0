"""Draw predictions whose masks are run lengths."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as coco_mask
from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData


@VISUALIZERS.register_module()
class RLEVisualizer(DetLocalVisualizer):
    """:class:`DetLocalVisualizer` that also takes masks as a list of COCO RLE."""

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: list[str] | None,
        palette: list[tuple] | None,
    ) -> np.ndarray:
        if isinstance(instances.get('masks'), list):
            instances = instances.new()
            height, width = image.shape[:2]
            instances.masks = (
                np.stack([coco_mask.decode(item) for item in instances.masks])
                if len(instances)
                else np.zeros((0, height, width), bool)
            )
        return super()._draw_instances(image, instances, classes, palette)
