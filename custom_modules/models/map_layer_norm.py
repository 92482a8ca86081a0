"""LayerNorm over the channels of maps."""

import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class MapLayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` of maps (B, C, H, W), as ViTDet has it in neck and heads.

    mmpretrain's ``LN2d`` copies every map into NCHW memory and, under autocast, leaves it in
    float32. This one keeps memory format and type; the norm itself is computed in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalises (B, C, H, W) over C."""
        normed = F.layer_norm(
            x.permute(0, 2, 3, 1).float(), self.normalized_shape, self.weight, self.bias, self.eps
        )
        return normed.permute(0, 3, 1, 2).to(x.dtype)
