"""Mask R-CNN in mixed precision, on GPUs and on CPUs that multiply bfloat16."""

from typing import Any

import torch
from mmdet.models.detectors import MaskRCNN
from mmdet.registry import MODELS
from mmengine.device import get_device
from torch import Tensor, nn


def bfloat16_is_fast(device: str) -> bool:
    """True where instructions multiply bfloat16: CUDA from Ampere on, x86 CPUs with AMX or
    AVX512-BF16 (Intel from Cooper Lake on, AMD from Zen 4 on).

    Args:
        device: Device type, such as 'cuda' or 'cpu'.
    """
    if device == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != 'cpu':
        return False
    # Not in every torch: one that can't tell computes in float32.
    probes = ('_is_amx_tile_supported', '_is_avx512_bf16_supported')
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def _to_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    return type(value)(_to_float32(item) for item in value)


def _float32_outputs(module: nn.Module, args: tuple, output: Any) -> Any:
    return _to_float32(output)


def _contiguous_maps(module: nn.Module, args: tuple) -> tuple:
    maps, *rest = args
    return tuple(item.contiguous() for item in maps), *rest


@MODELS.register_module()
class BFloat16MaskRCNN(MaskRCNN):
    """``MaskRCNN`` whose networks compute in bfloat16 and hand over float32.

    MMEngine's ``AmpOptimWrapper`` needs a GPU and leaves the maps in half precision, so that RoI
    extraction rounds the boxes: in bfloat16 a coordinate of 700 px is rounded to a multiple of
    4 px, a tenth of a cell; and the CPU's NMS and RoIAlign have no half-precision kernels. Here
    backbone, neck and heads run under autocast while everything between them (anchors, boxes,
    RoIAlign, NMS, losses) sees float32. bfloat16 has float32's range: no loss scaling is needed.

    Args:
        *args: Arguments of ``MaskRCNN``.
        bfloat16: True or False decides; None asks the hardware.
        channels_last: Keep images, maps and kernels in NHWC memory, which a CPU's convolutions
            like better.
        **kwargs: Arguments of ``MaskRCNN``.
    """

    def __init__(
        self, *args, bfloat16: bool | None = None, channels_last: bool = False, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)
        self.bfloat16 = bfloat16_is_fast(get_device()) if bfloat16 is None else bfloat16
        for module in (self.neck, self.rpn_head, self.roi_head.bbox_head, self.roi_head.mask_head):
            module.register_forward_hook(_float32_outputs)
        for extractor in (self.roi_head.bbox_roi_extractor, self.roi_head.mask_roi_extractor):
            # MMCV's RoIAlign on a CPU takes any memory for NCHW.
            extractor.register_forward_pre_hook(_contiguous_maps)

    def forward(self, inputs: Tensor, *args, **kwargs) -> Any:
        """Loss, prediction or raw outputs, as in the parent class."""
        inputs = inputs.contiguous(memory_format=self.memory_format)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.bfloat16):
            return super().forward(inputs, *args, **kwargs)
