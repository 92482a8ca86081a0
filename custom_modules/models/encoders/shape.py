"""What kind of vision transformer weights are of, and which config is made for it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """A ViT as its tensors show it; the number of heads leaves no trace in them."""

    width: int
    depth: int
    hidden: int
    """Channels inside a feed-forward network; of SwiGLU, after its gate."""
    swiglu: bool
    layer_scale: bool
    extra_tokens: int
    """Class and register tokens."""
    positions: str
    """As ``WindowedViT.positions``."""
    grid: int | None
    """Stored positions across the square image; None where there are none, or it is no square."""

    def differences(self, wanted: Shape) -> list[str]:
        """What keeps these weights out of a backbone of another shape, in words.

        A class token alone may be left out, and positions are resized.
        """
        found = []
        for name, word in WORDS.items():
            here, there = getattr(self, name), getattr(wanted, name)
            left_out = name == 'extra_tokens' and (here, there) == (1, 0)
            if here != there and not left_out:
                found.append(f'{word} {_said(here)} and not {_said(there)}')
        return found

    def configs(self) -> list[str]:
        """Names of the configs whose backbone is of this shape, those of the same grid if any."""
        fitting = [name for name, shape in CONFIGS.items() if not self.differences(shape)]
        same = [name for name in fitting if CONFIGS[name].extra_tokens == self.extra_tokens]
        fitting = same or fitting
        return [name for name in fitting if CONFIGS[name].grid == self.grid] or fitting


WORDS = {
    'width': 'width',
    'depth': 'blocks',
    'hidden': 'hidden channels',
    'swiglu': 'SwiGLU',
    'layer_scale': 'LayerScale',
    'extra_tokens': 'class and register tokens',
    'positions': 'positions',
}


def _said(value: object) -> str:
    return {True: 'yes', False: 'no'}[value] if isinstance(value, bool) else str(value)


def shape_of(tensors: Mapping[str, Tensor]) -> Shape:
    """The shape of a ViT with this project's names, of a file or of a backbone."""
    swiglu = 'layers.0.ffn.w3.weight' in tensors
    hidden = tensors['layers.0.ffn.w3.weight' if swiglu else 'layers.0.ffn.layers.1.weight']
    extra, places = tensors.get('extra_tokens'), tensors.get('pos_embed')
    relative = any('.rel_pos_' in name for name in tensors)
    kind = 'relative' if relative else 'rotary' if places is None else 'absolute'
    side = None if places is None else round(places.shape[1] ** 0.5)
    return Shape(
        width=len(tensors['patch_embed.projection.weight']),
        depth=1 + max(int(n.split('.')[1]) for n in tensors if re.match(r'layers\.\d+\.', n)),
        hidden=hidden.shape[1],
        swiglu=swiglu,
        layer_scale=any('.gamma' in name for name in tensors),
        extra_tokens=0 if extra is None else extra.shape[1],
        positions=kind,
        grid=side if side is not None and side**2 == places.shape[1] else None,
    )


def _vit(width: int, depth: int, **other: object) -> Shape:
    plain = Shape(width, depth, 4 * width, False, False, 0, 'absolute', 14)
    return dataclasses.replace(plain, **other)


def _dino(width: int, depth: int, grid: int) -> Shape:
    return _vit(width, depth, layer_scale=True, extra_tokens=1, grid=grid)


CONFIGS = {
    'bccd_vitti_mask_rcnn_cpu': _vit(192, 12),
    'bccd_vits_mask_rcnn': _vit(384, 12),
    'bccd_vitb_mask_rcnn': _vit(768, 12),
    'bccd_vitl_mask_rcnn': _vit(1024, 24),
    'bccd_uni_mask_rcnn': _dino(1024, 24, 14),
    'bccd_uni2h_mask_rcnn': _vit(
        1536, 24, hidden=4096, swiglu=True, layer_scale=True, extra_tokens=9, grid=16
    ),
    'bccd_dinobloom_s_mask_rcnn': _dino(384, 12, 16),
    'bccd_dinobloom_b_mask_rcnn': _dino(768, 12, 16),
    'bccd_dinobloom_l_mask_rcnn': _dino(1024, 24, 16),
    'bccd_reddino_s_mask_rcnn': _dino(384, 12, 16),
    'bccd_reddino_b_mask_rcnn': _dino(768, 12, 16),
    'bccd_reddino_l_mask_rcnn': _dino(1024, 24, 16),
    'bccd_dinov2_b_mask_rcnn': _dino(768, 12, 37),
    'bccd_dinov3_b_mask_rcnn': _vit(
        768, 12, layer_scale=True, extra_tokens=5, positions='rotary', grid=None
    ),
    'bccd_sam_b_mask_rcnn': _vit(768, 12, positions='relative', grid=64),
}
"""Backbones by the name of their config; `tests/configs` builds them and compares."""
