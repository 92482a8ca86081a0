"""Mask R-CNN in mixed precision, on GPUs and on CPUs that multiply bfloat16."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmdet.models.detectors import MaskRCNN
from mmdet.registry import MODELS
from torch import Tensor, nn

from custom_modules.models.mixed_precision import MixedPrecision
from custom_modules.models.point_roi_extractor import PointRoIExtractor


def _to_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    return type(value)(_to_float32(item) for item in value)


def _float32_outputs(module: nn.Module, args: tuple, output: Any) -> Any:
    return _to_float32(output)


def _contiguous_maps(module: nn.Module, args: tuple) -> tuple:
    maps, *rest = args
    return tuple(item.contiguous() for item in maps), *rest


def _parts(heads: nn.Module, names: Sequence[str]) -> Iterator[nn.Module]:
    """Those that there are; of a cascade the parts of every stage."""
    for name in names:
        part = getattr(heads, name, None)
        yield from part if isinstance(part, nn.ModuleList) else filter(None, [part])


@MODELS.register_module()
class MixedPrecisionMaskRCNN(MixedPrecision, MaskRCNN):
    """``MaskRCNN`` whose networks compute in half precision and hand over float32.

    MMEngine's ``AmpOptimWrapper`` alone leaves the maps in half precision, so that RoI extraction
    rounds the boxes: in bfloat16 a coordinate of 700 px is rounded to a multiple of 4 px, a tenth
    of a cell; and the CPU's NMS and RoIAlign have no half-precision kernels. Here backbone, neck
    and heads run under autocast while everything between them (anchors, boxes, RoIAlign, NMS,
    losses) sees float32.

    Args:
        *args: Arguments of ``MaskRCNN``.
        channels_last: Keep images, maps and kernels in NHWC memory, which a CPU's convolutions
            like better.
        **kwargs: Arguments of ``MaskRCNN``, and ``precision`` of :class:`MixedPrecision`.
    """

    def __init__(self, *args, channels_last: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)
        heads, names = self.roi_head, ('bbox_head', 'mask_head', 'point_head')
        for module in (self.neck, self.rpn_head, *_parts(heads, names)):
            module.register_forward_hook(_float32_outputs)
        for extractor in _parts(heads, ('bbox_roi_extractor', 'mask_roi_extractor')):
            if not isinstance(extractor, PointRoIExtractor):
                # MMCV's RoIAlign on a CPU takes any memory for NCHW.
                extractor.register_forward_pre_hook(_contiguous_maps)

    def forward(self, inputs: Tensor, *args, **kwargs) -> Any:
        """Loss, prediction or raw outputs, as in the parent class."""
        inputs = inputs.contiguous(memory_format=self.memory_format)
        return super().forward(inputs, *args, **kwargs)


@MODELS.register_module()
class BFloat16MaskRCNN(MixedPrecisionMaskRCNN):
    """The name and the setting that runs of version 0.1 hold, so that they can still be used."""

    def __init__(self, *args, bfloat16: bool | None = None, **kwargs) -> None:
        old = {None: 'auto', True: 'bfloat16', False: 'float32'}
        super().__init__(*args, precision=old[bfloat16], **kwargs)
