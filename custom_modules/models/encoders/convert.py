"""An encoder's tensors as `WindowedViT` takes them: the same function, in this project's names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cellkit.errors import BadFile
from custom_modules.engine.loaded_weights import state_of
from custom_modules.models.encoders.layouts import Named, named
from custom_modules.models.encoders.shape import Shape, shape_of

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation, of values from 0 to 1, that the detector brings pictures to."""

H_OPTIMUS = (0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)

MAX_SHOWN = 4


@dataclass
class Encoder:
    """A converted encoder.

    Attributes:
        tensors: float32, by `WindowedViT`'s names, with everything that it can take.
        shape: Of the tensors.
        sources: Names in the file that a tensor was made of.
        dropped: Names in the file that were left, and why.
        notes: What was changed beyond names, a sentence each.
    """

    tensors: dict[str, Tensor]
    shape: Shape
    sources: dict[str, tuple[str, ...]]
    dropped: dict[str, str]
    notes: list[str] = field(default_factory=list)


def convert(
    content: Any,
    source: str,
    patch: int = 16,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Encoder:
    """Convert the content of a checkpoint.

    Args:
        content: As read.
        source: Of the content, for sentences.
        patch: Side of the patches that are wanted, pixels.
        mean: Of the pictures that the encoder knows, per channel, of values from 0 to 1; None for
            ImageNet's, or those of an encoder that is recognised.
        std: Standard deviation, likewise.

    Raises:
        BadFile: It is no vision transformer, lacks tensors, or has some that have no place.
    """
    parts = named(state_of(content, source), source)
    found = _Parts(parts, source)
    notes = found.merge_attention()
    found.merge_feed_forward()
    notes += found.split_tokens()
    tensors = {name: tensor.detach().float() for name, tensor in found.tensors.items()}
    if 'layers.0.ffn.w3.weight' not in tensors and 'layers.0.ffn.layers.1.weight' not in tensors:
        raise BadFile(source, 'has no blocks of a plain vision transformer', 'give another file')
    shape = shape_of(tensors)
    _check_complete(tensors, shape, found.sources, source)
    kernel = tensors['patch_embed.projection.weight']
    before = kernel.shape[-1]
    if mean is None and _is_h_optimus(shape, before):
        mean, std = H_OPTIMUS
    if mean is not None and std is not None and (tuple(mean), tuple(std)) != IMAGENET:
        _take_in_pixels(tensors, mean, std)
        shown = ', '.join(f'{value:g}' for value in (*mean, *std))
        notes.append(f"its own mean and standard deviation ({shown}) went into the patches' kernel")
    if before != patch:
        kernel = tensors['patch_embed.projection.weight']
        tensors['patch_embed.projection.weight'] = resample_kernel(kernel, patch)
        notes.append(f"the patches' kernel was resampled from {before} to {patch} pixels")
    return Encoder(tensors, shape, found.sources, parts.dropped, notes)


class _Parts:
    """Tensors of an encoder while they are put together."""

    def __init__(self, parts: Named, source: str) -> None:
        self.tensors = dict(parts.tensors)
        self.sources = {new: (old,) for new, old in parts.sources.items()}
        self.masked_keys, self.source = parts.masked_keys, source
        found = {m[1] for m in map(re.compile(r'(layers\.\d+)\.').match, self.tensors) if m}
        self.layers = sorted(found, key=lambda name: int(name.split('.')[1]))

    def move(self, new: str, tensor: Tensor, *old: str) -> None:
        """Puts a tensor in the place of others."""
        sources = sum((self.sources.pop(name) for name in old), ())
        for name in old:
            del self.tensors[name]
        self.tensors[new], self.sources[new] = tensor, sources

    def join(self, new: str, old: Sequence[str]) -> None:
        """Puts tensors one below the other, where they are all there."""
        if all(name in self.tensors for name in old):
            self.move(new, torch.cat([self.tensors[name] for name in old]), *old)

    def merge_attention(self) -> list[str]:
        """Makes queries, keys and values one; biases that are not there are 0."""
        notes = set()
        for layer in self.layers:
            weight, bias = f'{layer}.attn.qkv.weight', f'{layer}.attn.qkv.bias'
            self.join(weight, [f'{layer}.attn.{part}.weight' for part in 'qkv'])
            if weight not in self.tensors:
                continue
            width = len(self.tensors[weight]) // 3
            if bias not in self.tensors:
                there = [n for n in (f'{layer}.attn.{p}.bias' for p in 'qkv') if n in self.tensors]
                empty = self.tensors[weight].new_zeros(width)
                rows = [self.tensors.get(f'{layer}.attn.{part}.bias', empty) for part in 'qkv']
                self.move(bias, torch.cat(rows), *there)
                if len(there) < 3:
                    notes.add('biases of the attention that it has none of are 0')
            elif self.masked_keys:
                rows = self.tensors[bias].clone()
                rows[width : 2 * width] = 0
                self.tensors[bias] = rows
        return sorted(notes)

    def merge_feed_forward(self) -> None:
        """Tells plain networks from SwiGLU's, which some pack and some keep apart."""
        for layer in self.layers:
            gated = f'{layer}.ffn.w1.weight' in self.tensors
            for kind in ('weight', 'bias'):
                named_here = {part: f'{layer}.ffn.{part}.{kind}' for part in PARTS}
                self._rename(named_here['up'], named_here['w2' if gated else 'fc1'])
                self._rename(named_here['down'], named_here['w3' if gated else 'fc2'])
                self.join(named_here['w12'], [named_here['w1'], named_here['w2']])
            packed = self._is_packed(layer)
            for kind in ('weight', 'bias'):
                first, last = (f'{layer}.ffn.{part}.{kind}' for part in ('fc1', 'fc2'))
                names = ('w12', 'w3') if packed else ('layers.0.0', 'layers.1')
                if gated or packed:
                    self._rename(last, f'{layer}.ffn.w3.{kind}')
                self._rename(first, f'{layer}.ffn.{names[0]}.{kind}')
                self._rename(last, f'{layer}.ffn.{names[1]}.{kind}')

    def _is_packed(self, layer: str) -> bool:
        first, last = (self.tensors.get(f'{layer}.ffn.{n}.weight') for n in ('fc1', 'fc2'))
        return first is not None and last is not None and len(first) == 2 * last.shape[1]

    def _rename(self, old: str, new: str) -> None:
        if old in self.tensors:
            self.move(new, self.tensors[old], old)

    def split_tokens(self) -> list[str]:
        """Makes class and register tokens one, and parts positions from theirs."""
        notes = []
        places = self.tensors.get('pos_embed')
        if places is not None and places.ndim == 4:  # SAM's
            self.move('pos_embed', places.flatten(1, 2), 'pos_embed')
            places = self.tensors['pos_embed']
        names = [name for name in ('cls_token', 'register_tokens') if name in self.tensors]
        if 'extra_tokens' in self.tensors or (places is None and not names):
            return notes
        shape = (1, -1, self.tensors['patch_embed.projection.weight'].shape[0])
        rows = [self.tensors[name].reshape(shape) for name in names]
        extra = torch.cat(rows, 1).clone() if rows else None
        count = 0 if extra is None else extra.shape[1]
        if places is not None:
            first = self._positions_of_tokens(places.shape[1], count)
            if extra is not None:
                extra[:, :first] += places[:, :first]
            self.move('pos_embed', places[:, first:], 'pos_embed')
            if first:
                notes.append(f'positions of {first} class or register tokens were added to them')
        if extra is not None:
            self.move('extra_tokens', extra, *names)
        return notes

    def _positions_of_tokens(self, positions: int, tokens: int) -> int:
        """How many of the first positions are of no patch: what remains is a square."""
        for first in sorted({0, 1, tokens}):
            if math.isqrt(positions - first) ** 2 == positions - first:
                return first
        raise BadFile(
            self.source,
            f'has {positions} positions, no square grid with or without its {tokens} tokens',
            'give the encoder as its authors publish it',
        )


PARTS = 'fc1', 'fc2', 'w1', 'w2', 'w12', 'w3', 'up', 'down'


def _check_complete(
    tensors: Mapping[str, Tensor], shape: Shape, sources: Mapping[str, tuple], file: str
) -> None:
    """Compares names with those that a ViT of this shape has.

    Raises:
        BadFile: Some are missing, or have no place.
    """
    parts = ['ln1', 'ln2', 'attn.qkv', 'attn.proj']
    parts += ['ffn.w12', 'ffn.w3'] if shape.swiglu else ['ffn.layers.0.0', 'ffn.layers.1']
    layer = [f'{part}.{kind}' for part in parts for kind in ('weight', 'bias')]
    if shape.layer_scale:
        layer += ['attn.gamma1.weight', 'ffn.gamma2.weight']
    if shape.positions == 'relative':
        layer += ['attn.rel_pos_h', 'attn.rel_pos_w']
    wanted = {f'layers.{index}.{name}' for index in range(shape.depth) for name in layer}
    wanted |= {f'patch_embed.projection.{kind}' for kind in ('weight', 'bias')}
    allowed = {'pos_embed', 'extra_tokens', 'ln1.weight', 'ln1.bias'}
    if missing := sorted(wanted - set(tensors)):
        raise BadFile(
            file,
            f'lacks {some(missing)} of a ViT with {shape.depth} blocks',
            'copy it again, or give the encoder as its authors publish it',
        )
    if unexpected := sorted(set(tensors) - wanted - allowed):
        stored = [name for new in unexpected for name in sources.get(new, (new,))]
        raise BadFile(
            file,
            f'has {some(stored)}, for which a WindowedViT has no place',
            'give a plain vision transformer (docs/encoders.md)',
        )


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f' and {len(names) - MAX_SHOWN} more' if len(names) > MAX_SHOWN else ''
    return ', '.join(names[:MAX_SHOWN]) + more


def _is_h_optimus(shape: Shape, patch: int) -> bool:
    """H-optimus-0: DINOv2's giant with registers, at 224 px."""
    return (shape.width, shape.depth, shape.extra_tokens, shape.grid, patch) == (
        1536,
        40,
        5,
        16,
        14,
    )


def _take_in_pixels(
    tensors: dict[str, Tensor], mean: Sequence[float], std: Sequence[float]
) -> None:
    """Has the first layer give for ImageNet's pixels what it gave for its own; this is exact."""
    usual, spread = (torch.tensor(values, dtype=torch.float64) for values in IMAGENET)
    own, width = (torch.tensor(list(values), dtype=torch.float64) for values in (mean, std))
    names = [f'patch_embed.projection.{kind}' for kind in ('weight', 'bias')]
    kernel, bias = (tensors[name].double() for name in names)
    shift = torch.einsum('ochw,c->o', kernel, (usual - own) / width)
    tensors[names[0]] = (kernel * (spread / width)[:, None, None]).float()
    tensors[names[1]] = (bias + shift).float()


def resample_kernel(kernel: Tensor, side: int) -> Tensor:
    """A patch kernel (out, in, h, w) for larger or smaller patches, (out, in, side, side).

    FlexiViT's rule (Beyer et al., CVPR 2023): the pseudo-inverse of resizing the picture, so that a
    resized patch gives what the patch gave.
    """
    old = kernel.shape[-2:]
    count = old[0] * old[1]
    basis = torch.eye(count, dtype=torch.float64).view(count, 1, *old)
    resized = F.interpolate(
        basis, (side, side), mode='bicubic', antialias=True, align_corners=False
    ).view(count, -1)
    inverse = torch.linalg.pinv(resized)  # (side * side, count)
    return (kernel.double().flatten(2) @ inverse.T).view(*kernel.shape[:2], side, side).float()
