"""Mask R-CNN in mixed precision, on GPUs and on CPUs that multiply bfloat16."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
from mmdet.models.detectors import MaskRCNN
from mmdet.registry import MODELS
from torch import Tensor, nn

from cellkit.errors import BadSetting
from custom_modules.models.point_roi_extractor import PointRoIExtractor

PRECISIONS = ('bfloat16', 'float16', 'float32')


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


@cache
def fast_precision(device: str) -> str:
    """The precision in which a device multiplies fastest at no loss of quality.

    bfloat16 where there are instructions for it: it has float32's range. Else float16 on CUDA from
    Volta on (V100, T4, RTX 20), whose tensor cores know no other; it needs loss scaling, which
    :class:`StrictRunner` adds. Else float32.

    Args:
        device: Device type, such as 'cuda' or 'cpu'.
    """
    if bfloat16_is_fast(device):
        return 'bfloat16'
    if device == 'cuda' and torch.cuda.get_device_capability() >= (7, 0):
        return 'float16'
    return 'float32'


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
class MixedPrecisionMaskRCNN(MaskRCNN):
    """``MaskRCNN`` whose networks compute in half precision and hand over float32.

    MMEngine's ``AmpOptimWrapper`` alone leaves the maps in half precision, so that RoI extraction
    rounds the boxes: in bfloat16 a coordinate of 700 px is rounded to a multiple of 4 px, a tenth
    of a cell; and the CPU's NMS and RoIAlign have no half-precision kernels. Here backbone, neck
    and heads run under autocast while everything between them (anchors, boxes, RoIAlign, NMS,
    losses) sees float32.

    Args:
        *args: Arguments of ``MaskRCNN``.
        precision: ``'bfloat16'``, ``'float16'`` or ``'float32'``; ``'auto'`` asks the hardware
            (:func:`fast_precision`), and an ``AmpOptimWrapper`` (``--amp``) before it.
        channels_last: Keep images, maps and kernels in NHWC memory, which a CPU's convolutions
            like better.
        **kwargs: Arguments of ``MaskRCNN``.

    Raises:
        ValueError: ``precision`` is none of these.
    """

    def __init__(
        self, *args, precision: str = 'auto', channels_last: bool = False, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        if precision not in ('auto', *PRECISIONS):
            raise BadSetting(
                f"model.precision is {precision!r}: it must be 'auto' or one of {PRECISIONS}"
            )
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)
        self.precision = precision
        heads, names = self.roi_head, ('bbox_head', 'mask_head', 'point_head')
        for module in (self.neck, self.rpn_head, *_parts(heads, names)):
            module.register_forward_hook(_float32_outputs)
        for extractor in _parts(heads, ('bbox_roi_extractor', 'mask_roi_extractor')):
            if not isinstance(extractor, PointRoIExtractor):
                # MMCV's RoIAlign on a CPU takes any memory for NCHW.
                extractor.register_forward_pre_hook(_contiguous_maps)

    def precision_on(self, device: str) -> str:
        """The precision as set, or the one that suits a type of device, such as 'cuda'."""
        return fast_precision(device) if self.precision == 'auto' else self.precision

    def _dtype(self, device: str) -> torch.dtype:
        """What the networks compute in, here and now."""
        scaled = torch.is_autocast_enabled(device)  # by AmpOptimWrapper, which scales the loss too
        if scaled and self.precision == 'auto':
            return torch.get_autocast_dtype(device)
        precision = self.precision_on(device)
        if precision == 'float16' and torch.is_grad_enabled() and not scaled:
            return torch.float32  # small gradients would vanish without loss scaling
        return getattr(torch, precision)

    def forward(self, inputs: Tensor, *args, **kwargs) -> Any:
        """Loss, prediction or raw outputs, as in the parent class."""
        inputs = inputs.contiguous(memory_format=self.memory_format)
        device = inputs.device.type
        dtype = self._dtype(device)
        half = dtype != torch.float32
        with torch.autocast(device, dtype if half else None, enabled=half):
            return super().forward(inputs, *args, **kwargs)


def precision_of(model: nn.Module, device: str) -> str:
    """What a model of any kind computes in on a type of device; float32 if it does not say."""
    return model.precision_on(device) if hasattr(model, 'precision_on') else 'float32'


@MODELS.register_module()
class BFloat16MaskRCNN(MixedPrecisionMaskRCNN):
    """The name and the setting that runs of version 0.1 hold, so that they can still be used."""

    def __init__(self, *args, bfloat16: bool | None = None, **kwargs) -> None:
        old = {None: 'auto', True: 'bfloat16', False: 'float32'}
        super().__init__(*args, precision=old[bfloat16], **kwargs)
