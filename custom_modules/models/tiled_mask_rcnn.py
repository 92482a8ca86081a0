"""Mask R-CNN that looks at a picture in overlapping tiles, as ``tools.predict --tile`` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from cellkit.errors import BadSetting
from cellkit.label_maps import areas_and_boxes, resize
from cellkit.metrics.records import DEFAULT_THRESHOLD
from cellkit.rle import encode_label_map
from cellkit.rows import cells_of
from cellkit.tiles import Window, cut_margin, least_overlap, pieces_of, tile_windows
from cellkit.visible import visible_cells
from custom_modules.models.mixed_precision_mask_rcnn import MixedPrecisionMaskRCNN
from custom_modules.structures.detections import detections_of


@MODELS.register_module()
class TiledMaskRCNN(MixedPrecisionMaskRCNN):
    """Trains on patches as they come, and tests whole pictures tile by tile.

    So pictures can be tested at the scale that patches were trained at, in bounded memory. Tiles,
    overlap and merging are those of ``cellkit.tiles``. Weights have the names of the parent class.
    The cells of a picture are merged, so that no two share a pixel; boxes are those of the masks.

    Args:
        tile: (height, width) of a tile in pixels of what the test pipeline gives.
        sure: Detections of lower scores are merged by themselves and change no cell above.
        *args: As for the parent class.
        **kwargs: As for the parent class.
    """

    def __init__(
        self, *args, tile: tuple[int, int], sure: float = DEFAULT_THRESHOLD, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        if len(tile) != 2 or min(tile) < 64:
            raise BadSetting(f'model.tile is {tile}: give (height, width), 64 pixels or more each')
        self.tile, self.sure = tuple(tile), sure

    def test_step(self, data: dict[str, Any]) -> list[DetDataSample]:
        """Detections of whole pictures, in pixels of the files, as in the parent class.

        Args:
            data: ``inputs``, (3, H, W) uint8 each, and ``data_samples``.
        """
        return [
            self._test_whole(*pair)
            for pair in zip(data['inputs'], data['data_samples'], strict=True)
        ]

    def val_step(self, data: dict[str, Any]) -> list[DetDataSample]:
        """The same."""
        return self.test_step(data)

    def _test_whole(self, image: torch.Tensor, sample: DetDataSample) -> DetDataSample:
        size = tuple(image.shape[-2:])
        windows = tile_windows(size, self.tile, least_overlap(self.tile))
        found = [self._test_tile(image, window) for window in windows]
        labels = torch.cat([instances.labels for instances in found])
        parts = [
            self._merge(windows, [one[one.labels == label] for one in found], size, sample, label)
            for label in labels.unique()  # a class at a time
        ]
        together = InstanceData.cat(parts) if parts else found[0]
        best = together.scores.argsort(descending=True, stable=True)
        sample.pred_instances = together[best[: self.test_cfg.rcnn.max_per_img]]
        return sample

    def _test_tile(self, image: torch.Tensor, window: Window) -> InstanceData:
        part = image[:, window.y1 : window.y2, window.x1 : window.x2].contiguous()
        size = tuple(part.shape[-2:])
        about = dict(img_id=0, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
        data = {'inputs': [part], 'data_samples': [DetDataSample(metainfo=about)]}
        return super().test_step(data)[0].pred_instances

    def _merge(
        self,
        windows: Sequence[Window],
        found: Sequence[InstanceData],
        size: tuple[int, int],
        sample: DetDataSample,
        label: torch.Tensor,
    ) -> InstanceData:
        """The cells of one class, from what the tiles show of them."""
        pieces = []
        for window, instances in zip(windows, found, strict=True):
            rles, scores, _ = detections_of(instances)
            tile = (window.y2 - window.y1, window.x2 - window.x1)
            label_map, kept = visible_cells(rles, scores, tile)
            pieces += pieces_of(label_map, scores[kept], window, size, cut_margin(self.tile))
        label_map, scores = cells_of(pieces, size, self.sure)
        label_map = resize(label_map, sample.ori_shape[:2])
        areas, boxes = areas_and_boxes(label_map, len(scores))
        there = np.flatnonzero(areas[1:])
        masks = encode_label_map(label_map, len(scores))
        on = {'dtype': torch.float32, 'device': label.device}
        return InstanceData(
            bboxes=torch.as_tensor(boxes[1:][there].reshape(-1, 4), **on),
            scores=torch.as_tensor(scores[there], **on),
            labels=label.repeat(len(there)),
            masks=[masks[k] for k in there],
        )
