"""RoIAlign with one sample a bin, by a sampling that uses all cores."""

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor, nn


class PointRoIAlign(nn.Module):
    """``RoIAlign(sampling_ratio=1, aligned=True)``: a bin's value is the map's at its centre.

    RoIAlign's CPU kernels walk through the RoIs on one core and want NCHW memory; ``grid_sample``
    takes the images side by side and any memory (docs/performance_model.md has the times).

    Args:
        output_size: Bins a side, or (height, width).
        spatial_scale: Map's size over the image's.
    """

    def __init__(self, output_size: int | tuple[int, int], spatial_scale: float) -> None:
        super().__init__()
        sides = (output_size, output_size) if isinstance(output_size, int) else output_size
        self.output_size = tuple(sides)
        self.spatial_scale = spatial_scale

    def forward(self, maps: Tensor, rois: Tensor) -> Tensor:
        """Samples.

        Args:
            maps: (B, C, H, W).
            rois: (N, 5): index of the image, then x1, y1, x2, y2, pixels of the image.

        Returns:
            (N, C, h, w). Points outside the map take its nearest pixel.
        """
        images, _, height, width = maps.shape
        rows, columns = self.output_size
        owner = rois[:, 0].long()
        # Each image's RoIs in a row of their own, padded to the longest.
        order = torch.argsort(owner, stable=True)
        counts = torch.bincount(owner, minlength=images)
        slot = torch.empty_like(owner)
        first = (counts.cumsum(0) - counts)[owner[order]]
        slot[order] = torch.arange(len(rois), device=rois.device) - first
        boxes = rois.new_zeros(images, int(counts.max()), 4)
        boxes[owner, slot] = rois[:, 1:] * self.spatial_scale
        x = _to_unit(boxes[..., 0:1], boxes[..., 2:3], columns, width)
        y = _to_unit(boxes[..., 1:2], boxes[..., 3:4], rows, height)
        grid = torch.stack(torch.broadcast_tensors(x[:, :, None, :], y[:, :, :, None]), dim=-1)
        found = F.grid_sample(
            maps, grid.flatten(1, 2), padding_mode='border', align_corners=False
        ).unflatten(2, (-1, rows))
        return found.transpose(1, 2)[owner, slot]


def _to_unit(low: Tensor, high: Tensor, bins: int, length: int) -> Tensor:
    """Centres of the bins between two edges (..., 1) -> (..., bins), -1 and 1 the map's edges."""
    centre = (torch.arange(bins, device=low.device, dtype=low.dtype) + 0.5) / bins
    return (low + (high - low) * centre) * (2 / length) - 1


@MODELS.register_module()
class PointRoIExtractor(SingleRoIExtractor):
    """:class:`SingleRoIExtractor` whose layers are :class:`PointRoIAlign`.

    Args:
        output_size: Bins a side.
        out_channels: Channels of the maps.
        featmap_strides: Strides of the maps.
        **kwargs: As for :class:`SingleRoIExtractor`.
    """

    def __init__(
        self, output_size: int, out_channels: int, featmap_strides: list[int], **kwargs
    ) -> None:
        layer = dict(type=PointRoIAlign, output_size=output_size)
        super().__init__(layer, out_channels, featmap_strides, **kwargs)
