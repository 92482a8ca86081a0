"""The simple feature pyramid of ViTDet: a pyramid from one stride-16 map."""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from cellkit.errors import BadSetting
from custom_modules.models.map_layer_norm import MapLayerNorm


def _resample(in_channels: int, stride: int) -> tuple[nn.Module, int]:
    """Layers that take a stride-16 map to ``stride``, and the channels that come out."""
    half, quarter = in_channels // 2, in_channels // 4
    if stride == 4:
        layers = [
            nn.ConvTranspose2d(in_channels, half, 2, 2),
            MapLayerNorm(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, 2),
        ]
        return nn.Sequential(*layers), quarter
    if stride == 8:
        return nn.ConvTranspose2d(in_channels, half, 2, 2), half
    if stride == 16:
        return nn.Identity(), in_channels
    if stride == 32:
        return nn.MaxPool2d(2, 2), in_channels
    raise BadSetting(f'SimpleFeaturePyramid.strides may hold 4, 8, 16 and 32, not {stride}.')


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Levels at strides 4 to 32 from the last map of a plain ViT, and a pooled one above.

    Li et al., *Exploring Plain Vision Transformer Backbones for Object Detection*, ECCV 2022,
    section 3: no top-down path and no lateral connections; each level is a (transposed)
    convolution of the one map, then a 1x1 and a 3x3 convolution, each with LayerNorm.

    Args:
        in_channels: Channels of the incoming map.
        out_channels: Channels of every level.
        strides: Strides of the levels made from the map; any of 4, 8, 16, 32.
        num_outs: Levels in all; those beyond ``strides`` are 1x1 max-poolings of the last.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        strides: tuple[int, ...] = (4, 8, 16, 32),
        num_outs: int = 5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_outs < len(strides):
            raise BadSetting(
                f'SimpleFeaturePyramid.num_outs is {num_outs}: {len(strides)} strides need as many.'
            )
        self.num_outs = num_outs
        self.levels = nn.ModuleList()
        for stride in strides:
            resample, channels = _resample(in_channels, stride)
            self.levels.append(
                nn.Sequential(
                    resample,
                    nn.Conv2d(channels, out_channels, 1, bias=False),
                    MapLayerNorm(out_channels),
                    nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                    MapLayerNorm(out_channels),
                )
            )

    def forward(self, inputs: tuple[Tensor, ...] | Tensor) -> tuple[Tensor, ...]:
        """Makes the pyramid.

        Args:
            inputs: The backbone's outputs; the last, (B, in_channels, H, W) at stride 16, is used.

        Returns:
            ``num_outs`` maps (B, out_channels, H * 16 / stride, W * 16 / stride).
        """
        x = inputs if isinstance(inputs, torch.Tensor) else inputs[-1]
        outs = [level(x) for level in self.levels]
        while len(outs) < self.num_outs:
            outs.append(F.max_pool2d(outs[-1], 1, stride=2))
        return tuple(outs)
