"""mmpretrain's VisionTransformer as a detection backbone: windowed attention, any image size."""

import math
from collections.abc import Sequence

from mmdet.registry import MODELS
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.backbones.vit_sam import window_partition, window_unpartition
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cellkit.errors import UserError


@MODELS.register_module()
class WindowedViT(VisionTransformer):
    """A plain ViT whose blocks attend inside windows, but for a few that see the whole image.

    This is ViTDet's backbone (Li et al., ECCV 2022, section 3): tokens are parted into windows
    after a block's first norm and around its attention only, so that norms, feed-forward and drop
    path see images, and a window's padding is zero. Relative positions are left out: they are a
    bias on the attention, which PyTorch's fused scaled-dot-product kernels do not take without
    the (N, N) matrix that they are there to avoid. Parameters keep mmpretrain's names: its ViT and
    MAE checkpoints load unchanged (the class token is dropped, positions are resized).

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
        # One draw drops all windows of an image: it comes after they are put together again.
        self.drop_paths = nn.ModuleList(block.attn.out_drop for block in self.layers)
        for block in self.layers:
            block.attn.out_drop = nn.Identity()

    def _prepare_pos_embed(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        """Fits a checkpoint's positions to ``img_size``; the parent knows one size and no class
        token of another.

        Raises:
            UserError: They are no square grid, with or without a class token.
        """
        name = f'{prefix}pos_embed'
        if name not in state_dict:
            return
        stored = state_dict[name]
        for tokens in (stored, stored[:, 1:]):  # as they are, or without a class token
            if tokens.shape[1] == self.pos_embed.shape[1]:
                state_dict[name] = tokens
                return
        for tokens in (stored, stored[:, 1:]):
            side = math.isqrt(tokens.shape[1])
            if side * side == tokens.shape[1]:
                state_dict[name] = resize_pos_embed(
                    tokens, (side, side), self.patch_resolution, self.interpolate_mode, 0
                )
                return
        raise UserError(
            f'{name} of the checkpoint has {stored.shape[1]} tokens, which are no square grid with '
            'or without a class token: give the weights of a plain ViT without registers'
        )

    def _run_block(self, index: int, x: Tensor) -> Tensor:
        """One block over tokens (B, H, W, C)."""
        block, size = self.layers[index], tuple(x.shape[1:3])
        windowed = self.window_size > 0 and index not in self.global_blocks
        seen = block.ln1(x)
        if windowed:
            seen, padded = window_partition(seen, self.window_size)
        attended = block.attn(seen.flatten(1, 2)).view(seen.shape)
        if windowed:
            attended = window_unpartition(attended, self.window_size, padded, size)
        x = x + self.drop_paths[index](attended)
        return block.ffn(block.ln2(x), identity=x)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps images (B, 3, H, W) to maps (B, embed_dims, H / 16, W / 16), one an out index."""
        x, (height, width) = self.patch_embed(x)
        x = x + resize_pos_embed(
            self.pos_embed, self.patch_resolution, (height, width), self.interpolate_mode, 0
        )
        x = self.pre_norm(self.drop_after_pos(x))
        x = x.view(x.shape[0], height, width, -1)
        outs = []
        for index in range(self.num_layers):
            if self.with_cp and self.training:
                x = checkpoint(self._run_block, index, x, use_reentrant=False)
            else:
                x = self._run_block(index, x)
            if index in self.out_indices:
                last = index == self.num_layers - 1
                out = self.ln1(x) if last and self.final_norm else x
                outs.append(out.permute(0, 3, 1, 2))
        return tuple(outs)
