"""mmpretrain's VisionTransformer as a detection backbone: windowed attention, any image size."""

import math
from collections.abc import Sequence

import torch
from mmcv.cnn.bricks import DropPath
from mmdet.registry import MODELS
from mmengine.model import initialize
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.backbones.vit_sam import window_partition, window_unpartition
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.models.utils.swiglu_ffn import SwiGLUFFN
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cellkit.errors import BadSetting, UserError
from custom_modules.models.attention_positions import attend, turns

POSITIONS = 'absolute', 'rotary', 'relative'


@MODELS.register_module()
class WindowedViT(VisionTransformer):
    """A plain ViT whose blocks attend inside windows, but for a few that see the whole image.

    This is ViTDet's backbone (Li et al., ECCV 2022, section 3): tokens are parted into windows
    after a block's first norm and around its attention only, so that norms, feed-forward and drop
    path see images, and a window's padding is zero. Parameters keep mmpretrain's names.

    Encoders of other families differ in a few things, which are settings here: LayerScale
    (``layer_scale_init_value``) and SwiGLU (``layer_cfgs=dict(ffn_type='swiglu_fused')``) are
    mmpretrain's; class and register tokens, turned and relative positions are this class's.
    Relative positions are off as in ViTDet's later recipes: the bias is an (N, N) matrix, which
    PyTorch's fused attention is there to avoid.

    Args:
        window_size: Side of a window in patches; 0 makes every block global.
        global_blocks: Indices of the blocks that attend globally; None takes four, evenly spaced.
        with_cp: Recompute each block in the backward pass: less memory, about a third more time.
        extra_tokens: Class and register tokens that attend with the patches: in a windowed block
            with those of each window, whose mean they take. 0 does without, as ViTDet.
        positions: ``'absolute'``, ``'rotary'`` (DINOv3) or ``'relative'`` (SAM: absolute too).
        **kwargs: Arguments of ``mmpretrain.models.VisionTransformer``.
    """

    def __init__(
        self,
        window_size: int = 14,
        global_blocks: Sequence[int] | None = None,
        with_cp: bool = False,
        extra_tokens: int = 0,
        positions: str = 'absolute',
        **kwargs,
    ) -> None:
        if positions not in POSITIONS:
            raise BadSetting(
                f'WindowedViT.positions may be {", ".join(POSITIONS)}, not {positions}'
            )
        if positions == 'relative' and extra_tokens:
            raise BadSetting('WindowedViT.extra_tokens have no relative positions: set it to 0')
        kwargs = dict(out_type='featmap', with_cls_token=False, final_norm=False) | kwargs
        super().__init__(**kwargs)
        if global_blocks is None:
            quarter = max(self.num_layers // 4, 1)
            global_blocks = range(quarter - 1, self.num_layers, quarter)
        self.window_size = window_size
        self.global_blocks = frozenset(global_blocks)
        self.with_cp = with_cp
        self.positions = positions
        self.extra_tokens = None
        if extra_tokens:
            self.extra_tokens = nn.Parameter(torch.zeros(1, extra_tokens, self.embed_dims))
        if positions == 'rotary':
            self.pos_embed = None
        # One draw drops all windows of an image: it comes after they are put together again.
        self.drop_paths = nn.ModuleList(block.attn.out_drop for block in self.layers)
        for index, block in enumerate(self.layers):
            block.attn.out_drop = nn.Identity()
            if isinstance(block.ffn, SwiGLUFFN):  # mmpretrain gives it none
                block.ffn.dropout_layer = DropPath(self.drop_paths[index].drop_prob)
            if positions == 'relative':
                sides = [self.window_size] * 2 if self._windowed(index) else self.patch_resolution
                for name, side in zip(('rel_pos_h', 'rel_pos_w'), sides, strict=True):
                    empty = torch.zeros(2 * side - 1, block.attn.head_dims)
                    setattr(block.attn, name, nn.Parameter(empty))

    def init_weights(self) -> None:
        """As mmpretrain's; a whole encoder is loaded once its parts are drawn."""
        config = self.init_cfg
        if not (isinstance(config, dict) and config.get('type') == 'PretrainedEncoder'):
            super().init_weights()
            if self.extra_tokens is not None and not isinstance(config, dict):
                nn.init.trunc_normal_(self.extra_tokens, std=0.02)
            return
        self.init_cfg = None
        try:
            super().init_weights()
        finally:
            self.init_cfg = config
        initialize(self, config)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """As mmpretrain's; extra tokens stand at the beginning."""
        depth, layers = super().get_layer_depth(param_name, prefix)
        return (0 if param_name == f'{prefix}extra_tokens' else depth), layers

    def _windowed(self, index: int) -> bool:
        return self.window_size > 0 and index not in self.global_blocks

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

    def _turns(self, grid: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor] | None:
        """Turns of the whole grid (1, N, 2 * head), and of its windows (windows, N, 2 * head)."""
        if self.positions != 'rotary':
            return None
        size, head = max(self.window_size, 1), self.layers[0].attn.head_dims
        padded = tuple(-(-side // size) * size for side in grid)
        every = turns(grid, padded, head, device)[None]
        windows = window_partition(every, size)[0].flatten(1, 2)
        return every[:, : grid[0], : grid[1]].flatten(1, 2), windows

    def _run_block(
        self,
        index: int,
        x: Tensor,
        grid: tuple[int, int],
        turns: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """One block over tokens (B, extra + H * W, C) of a grid (H, W)."""
        block = self.layers[index]
        seen = block.ln1(x)
        if self._windowed(index):
            attended = self._attend_in_windows(block.attn, seen, grid, turns and turns[1])
        else:
            attended = attend(block.attn, seen, grid, turns and turns[0])
        x = x + self.drop_paths[index](attended)
        return block.ffn(block.ln2(x), identity=x)

    def _attend_in_windows(
        self, attn: nn.Module, x: Tensor, grid: tuple[int, int], turn: Tensor | None
    ) -> Tensor:
        batch, size = len(x), self.window_size
        extra = x.shape[1] - grid[0] * grid[1]
        seen, padded = window_partition(x[:, extra:].unflatten(1, grid), size)
        tokens = seen.flatten(1, 2)
        windows = len(tokens) // batch
        if extra:
            tokens = torch.cat([x[:, :extra].repeat_interleave(windows, 0), tokens], 1)
        if turn is not None:
            turn = turn.repeat(batch, 1, 1)
        tokens = attend(attn, tokens, (size, size), turn)
        seen = tokens[:, extra:].unflatten(1, (size, size))
        whole = window_unpartition(seen, size, padded, grid).flatten(1, 2)
        if not extra:
            return whole
        common = tokens[:, :extra].unflatten(0, (batch, windows)).mean(1)
        return torch.cat([common, whole], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps images (B, 3, H, W) to maps (B, embed_dims, H / 16, W / 16), one an out index."""
        x, grid = self.patch_embed(x)
        grid = tuple(grid)
        if self.pos_embed is not None:
            x = x + resize_pos_embed(
                self.pos_embed, self.patch_resolution, grid, self.interpolate_mode, 0
            )
        extra = 0
        if self.extra_tokens is not None:
            extra = self.extra_tokens.shape[1]
            x = torch.cat([self.extra_tokens.expand(len(x), -1, -1), x], 1)
        x = self.pre_norm(self.drop_after_pos(x))
        turns = self._turns(grid, x.device)
        outs = []
        for index in range(self.num_layers):
            if self.with_cp and self.training:
                x = checkpoint(self._run_block, index, x, grid, turns, use_reentrant=False)
            else:
                x = self._run_block(index, x, grid, turns)
            if index in self.out_indices:
                last = index == self.num_layers - 1
                out = self.ln1(x) if last and self.final_norm else x
                outs.append(out[:, extra:].unflatten(1, grid).permute(0, 3, 1, 2))
        return tuple(outs)
