"""Positions inside the attention: turned queries and keys (DINOv3), relative ones (SAM)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones.vit_sam import get_rel_pos
from torch import Tensor, nn

BASE = 100.0
"""DINOv3's; the periods of a head's angles go from 1 to about this."""


def turns(grid: tuple[int, int], padded: tuple[int, int], head: int, device: object) -> Tensor:
    """Sines and cosines of the angles that DINOv3 turns queries and keys by.

    Siméoni et al., *DINOv3*, 2025: centres of the patches, from -1 to 1 over the whole image in
    both directions, whatever window a patch is looked at in.

    Args:
        grid: Patches (down, across) of the image.
        padded: The same with padding, whose positions go on beyond 1.
        head: Channels of a head, a multiple of four.
        device: Of the result.

    Returns:
        (padded height, padded width, 2 * head) float32, the sines first.
    """
    exponents = torch.arange(head // 4, device=device, dtype=torch.float32) / (head // 4)
    down, across = (
        (torch.arange(long, device=device, dtype=torch.float32) + 0.5) / count * 2 - 1
        for long, count in zip(padded, grid, strict=True)
    )
    places = torch.stack(torch.meshgrid(down, across, indexing='ij'), -1)
    angles = (2 * math.pi * places[..., None] / BASE**exponents).flatten(2)
    angles = torch.cat([angles, angles], -1)
    return torch.cat([angles.sin(), angles.cos()], -1)


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Queries or keys (B, heads, extra + N, head) with the last N turned.

    Args:
        x: Extra tokens first, which have no position.
        turn: (B or 1, N, 2 * head), see :func:`turns`.
    """
    extra = x.shape[2] - turn.shape[1]
    sine, cosine = turn[:, None].chunk(2, -1)
    free, placed = x[:, :, :extra], x[:, :, extra:]
    first, second = placed.chunk(2, -1)
    placed = placed * cosine + torch.cat([-second, first], -1) * sine
    return torch.cat([free, placed.type_as(x)], 2)


def relative_bias(attn: nn.Module, q: Tensor, grid: tuple[int, int]) -> Tensor:
    """SAM's decomposed relative positions as a bias of the attention.

    Args:
        attn: Has ``rel_pos_h`` and ``rel_pos_w``, (2 * side - 1, head).
        q: Queries (B, heads, h * w, head), not yet scaled.
        grid: (h, w).

    Returns:
        (B, heads, h * w, h * w)
    """
    height, width = grid
    rows = get_rel_pos(height, height, attn.rel_pos_h)
    columns = get_rel_pos(width, width, attn.rel_pos_w)
    on_grid = q.unflatten(2, grid)
    down = torch.einsum('bnhwc,hkc->bnhwk', on_grid, rows)
    across = torch.einsum('bnhwc,wkc->bnhwk', on_grid, columns)
    return (down[..., :, None] + across[..., None, :]).flatten(4).flatten(2, 3)


def attend(attn: nn.Module, x: Tensor, grid: tuple[int, int], turn: Tensor | None) -> Tensor:
    """mmpretrain's ``MultiheadAttention``, with positions.

    Args:
        attn: The attention's module.
        x: Tokens (B, extra + h * w, C).
        grid: (h, w) of those that have a position.
        turn: See :func:`turned`; None turns nothing.
    """
    relative = hasattr(attn, 'rel_pos_h')
    if turn is None and not relative:
        return attn(x)
    q, k, v = attn.qkv(x).unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    bias = relative_bias(attn, q, grid).type_as(q) if relative else None
    if turn is not None:
        q, k = turned(q, turn), turned(k, turn)
    dropout = attn.attn_drop if attn.training else 0.0
    x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
    x = attn.proj(x.transpose(1, 2).flatten(2))
    return attn.out_drop(attn.gamma1(attn.proj_drop(x)))
