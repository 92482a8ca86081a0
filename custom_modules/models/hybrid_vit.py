"""A small vision transformer with convolutional stages, for training from scratch on a CPU."""

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmdet.models.backbones.resnet import BasicBlock
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import ConditionalPositionEncoding
from torch import Tensor, nn

from cellkit.errors import BadSetting

INIT_CFG = [
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm', 'LayerNorm']),
]


class TransformerStage(BaseModule):
    """Downsample by two, give tokens a convolutional position, run transformer blocks.

    Args:
        in_channels: Channels of the incoming map.
        channels: Width of the blocks.
        depth: Number of blocks.
        num_heads: Attention heads of a block.
        mlp_ratio: Hidden width of a block's feed-forward part over ``channels``.
        drop_path_rate: Stochastic depth of every block.
        norm_cfg: Norm of the downsampling convolution.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
        drop_path_rate: float,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.downsample = ResLayer(
            BasicBlock, in_channels, channels, 1, stride=2, norm_cfg=norm_cfg
        )
        # Learned absolute positions would tie the model to one image size and learn slowly.
        self.position = ConditionalPositionEncoding(channels, channels)
        self.blocks = nn.ModuleList(
            TransformerEncoderLayer(
                channels,
                num_heads,
                int(channels * mlp_ratio),
                drop_path_rate=drop_path_rate,
                layer_scale_init_value=0.1,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / 2, W / 2)."""
        x = self.downsample(x)
        size = tuple(x.shape[2:])
        tokens = self.position(x.flatten(2).transpose(1, 2), size)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).transpose(1, 2).unflatten(2, size).contiguous()


@MODELS.register_module()
class HybridViT(BaseModule):
    """Residual convolutions at strides 4 and 8, transformer blocks at strides 16 and 32.

    A plain ViT needs long pretraining; convolutions in the early stages give it the locality it
    would have to learn (Xiao et al., *Early Convolutions Help Transformers See Better*, NeurIPS
    2021; Dai et al., *CoAtNet*, NeurIPS 2021). Outputs feed a feature pyramid directly.

    Args:
        channels: Channels at strides 4, 8, 16 and 32.
        depths: Residual blocks of the first two stages, transformer blocks of the last two.
        head_channels: Channels of one attention head.
        mlp_ratio: Feed-forward width of a transformer block over its channels.
        drop_path_rate: Stochastic depth of the transformer blocks.
        norm_cfg: Norm of the convolutions; batch norm when None.
        init_cfg: MMEngine initialisation config; Kaiming for convolutions when None.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256, 256),
        depths: Sequence[int] = (2, 2, 2, 2),
        head_channels: int = 32,
        mlp_ratio: float = 2.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or INIT_CFG)
        norm_cfg = norm_cfg or dict(type='BN')
        if len(channels) != 4 or len(depths) != 4:
            raise BadSetting('HybridViT.channels and .depths need four numbers each.')
        width = channels[0]
        conv = dict(kernel_size=3, stride=2, padding=1, norm_cfg=norm_cfg)
        self.stem = nn.Sequential(
            ConvModule(3, width // 2, **conv), ConvModule(width // 2, width, **conv)
        )
        self.stages = nn.ModuleList()
        for i, (out_channels, depth) in enumerate(zip(channels, depths, strict=True)):
            in_channels = channels[max(i - 1, 0)]
            if i < 2:
                stage = ResLayer(
                    BasicBlock, in_channels, out_channels, depth, stride=1 + i, norm_cfg=norm_cfg
                )
            else:
                stage = TransformerStage(
                    in_channels,
                    out_channels,
                    depth,
                    out_channels // head_channels,
                    mlp_ratio,
                    drop_path_rate,
                    norm_cfg,
                )
            self.stages.append(stage)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps images (B, 3, H, W) to four maps at strides 4, 8, 16 and 32."""
        x = self.stem(x)
        outs = []
        for stage in self.stages:
            x = stage(x)
            outs.append(x)
        return tuple(outs)
