"""mmpretrain's VisionTransformer as a detection backbone: windowed attention, any image size."""

from collections.abc import Sequence

from mmdet.registry import MODELS
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.backbones.vit_sam import window_partition, window_unpartition
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@MODELS.register_module()
class WindowedViT(VisionTransformer):
    """A plain ViT whose blocks attend inside windows, but for a few that see the whole image.

    This is ViTDet's backbone (Li et al., ECCV 2022, section 3) without relative positions, so that
    every block runs PyTorch's fused scaled-dot-product attention. Parameters keep mmpretrain's
    names: its ViT and MAE checkpoints load unchanged (the class token is dropped on loading).

    Args:
        window_size: Side of a window in patches; 0 makes every block global.
        global_blocks: Indices of the blocks that attend globally; None takes four, evenly spaced.
        with_cp: Recompute each block in the backward pass: less memory, about a third more time.
        **kwargs: Arguments of ``mmpretrain.models.VisionTransformer``.
    """

    def __init__(
        self,
        window_size: int = 14,
        global_blocks: Sequence[int] | None = None,
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        kwargs = dict(out_type='featmap', with_cls_token=False, final_norm=False) | kwargs
        super().__init__(**kwargs)
        if global_blocks is None:
            quarter = max(self.num_layers // 4, 1)
            global_blocks = range(quarter - 1, self.num_layers, quarter)
        self.window_size = window_size
        self.global_blocks = frozenset(global_blocks)
        self.with_cp = with_cp

    def _run_block(self, index: int, block: nn.Module, x: Tensor) -> Tensor:
        """One block over tokens (B, H, W, C)."""
        size = tuple(x.shape[1:3])
        windowed = self.window_size > 0 and index not in self.global_blocks
        if windowed:
            x, padded = window_partition(x, self.window_size)
        shape = x.shape
        x = block(x.flatten(1, 2)).view(shape)
        return window_unpartition(x, self.window_size, padded, size) if windowed else x

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps images (B, 3, H, W) to maps (B, embed_dims, H / 16, W / 16), one an out index."""
        x, (height, width) = self.patch_embed(x)
        x = x + resize_pos_embed(
            self.pos_embed, self.patch_resolution, (height, width), self.interpolate_mode, 0
        )
        x = self.pre_norm(self.drop_after_pos(x))
        x = x.view(x.shape[0], height, width, -1)
        outs = []
        for index, block in enumerate(self.layers):
            if self.with_cp and self.training:
                x = checkpoint(self._run_block, index, block, x, use_reentrant=False)
            else:
                x = self._run_block(index, block, x)
            if index in self.out_indices:
                last = index == len(self.layers) - 1
                out = self.ln1(x) if last and self.final_norm else x
                outs.append(out.permute(0, 3, 1, 2).contiguous())
        return tuple(outs)
