"""Mixed precision, on GPUs and on CPUs that multiply bfloat16."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from cellkit.errors import BadSetting

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


class MixedPrecision:
    """Has a model of MMEngine's kind compute in half precision, before it in the bases of a class.

    Args:
        *args: Arguments of the model.
        precision: ``'bfloat16'``, ``'float16'`` or ``'float32'``; ``'auto'`` asks the hardware
            (:func:`fast_precision`), and an ``AmpOptimWrapper`` (``--amp``) before it.
        **kwargs: Arguments of the model.

    Raises:
        ValueError: ``precision`` is none of these.
    """

    def __init__(self, *args, precision: str = 'auto', **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if precision not in ('auto', *PRECISIONS):
            raise BadSetting(
                f"model.precision is {precision!r}: it must be 'auto' or one of {PRECISIONS}"
            )
        self.precision = precision

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
        device = inputs.device.type
        dtype = self._dtype(device)
        half = dtype != torch.float32
        with torch.autocast(device, dtype if half else None, enabled=half):
            return super().forward(inputs, *args, **kwargs)


def precision_of(model: nn.Module, device: str) -> str:
    """What a model of any kind computes in on a type of device; float32 if it does not say."""
    return model.precision_on(device) if hasattr(model, 'precision_on') else 'float32'
