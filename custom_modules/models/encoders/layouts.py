"""Names that vision transformers have elsewhere, and mmpretrain's, which this project keeps.

timm, Meta's MAE, DINO v2 and v3, SAM, Hugging Face's ViT and Dinov2/3, mmpretrain; in whatever
wrapping: DinoBloom and RedDino lie below ``teacher`` and ``backbone.``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from cellkit.errors import BadFile

PATCHES = re.compile(
    r'(.*?)(patch_embed\.proj(ection)?|embeddings\.patch_embeddings(\.projection)?)\.weight'
)
"""The one tensor that each of them has; what stands before it is the encoder's prefix."""

RENAMED = (
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'^embeddings\.patch_embeddings\.(projection\.)?', 'patch_embed.projection.'),
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.', ''),
    (r'^(reg_token|storage_tokens)$', 'register_tokens'),
    (r'^blocks\.(?:\d+\.)?(\d+)\.', r'layers.\1.'),  # DINO trains with blocks in chunks
    (r'^(?:model\.)?(?:encoder\.)?layer\.(\d+)\.', r'layers.\1.'),
    (r'^(?:norm|layernorm)\.', 'ln1.'),
    (r'^(layers\.\d+)\.(?:norm1|layernorm_before)\.', r'\1.ln1.'),
    (r'^(layers\.\d+)\.(?:norm2|layernorm_after)\.', r'\1.ln2.'),
    (r'\.attention\.attention\.([qkv])(?:uery|ey|alue)\.', r'.attn.\1.'),
    (r'\.attention\.([qkv])_proj\.', r'.attn.\1.'),
    (r'\.attn\.([qv])_bias$', r'.attn.\1.bias'),
    (r'\.attention\.(?:output\.dense|o_proj)\.', '.attn.proj.'),
    (r'\.(?:ls1\.gamma|gamma_1|layer_scale1\.lambda1)$', '.attn.gamma1.weight'),
    (r'\.(?:ls2\.gamma|gamma_2|layer_scale2\.lambda1)$', '.ffn.gamma2.weight'),
    (r'\.mlp\.(?:fc1|lin1)\.', '.ffn.fc1.'),
    (r'\.mlp\.(?:fc2|lin2)\.', '.ffn.fc2.'),
    (r'^(layers\.\d+)\.intermediate\.dense\.', r'\1.ffn.fc1.'),
    (r'^(layers\.\d+)\.output\.dense\.', r'\1.ffn.fc2.'),
    (r'\.ffn\.layers\.0\.0\.', '.ffn.fc1.'),
    (r'\.ffn\.layers\.1\.', '.ffn.fc2.'),
    (r'\.mlp\.(?:w12|weights_in)\.', '.ffn.w12.'),
    (r'\.mlp\.(?:w3|weights_out)\.', '.ffn.w3.'),
    (r'\.mlp\.(?:w1|fc1_g|gate_proj)\.', '.ffn.w1.'),
    (r'\.mlp\.(?:w2|fc1_x)\.', '.ffn.w2.'),
    (r'\.mlp\.(up|down)_proj\.', r'.ffn.\1.'),
)

DROPPED = (
    (r'(.*\.)?mask_token$', 'of self-supervision'),
    (r'(dino_head|ibot_head|projectors?|local_cls_norm)\b', 'of self-supervision'),
    (r'decoder', "of the autoencoder's decoder"),
    (r'(heads?|head_dist|fc_norm|fc|classifier|pooler|pre_logits)\.', 'of a classifier'),
    (r'(neck|channel_reduction)\.', "SAM's neck, the detector has its own"),
    (r'rope(_embed)?(eddings)?\.', 'computed here'),
    (r'.*\.attn\.qkv\.bias_mask$', 'applied to the biases of the keys, which are 0'),
    (r'.*\.attn\.relative_position_index$', 'computed here'),
)

OUTSIDE = 'not of the encoder'


@dataclass
class Named:
    """Tensors with mmpretrain's names, where they come from, and what was left."""

    tensors: dict[str, Tensor]
    sources: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    masked_keys: bool = False
    """DINOv3's training file: a mask goes with the biases."""


def named(state: Mapping[str, Tensor], source: str) -> Named:
    """Tensors of an encoder by mmpretrain's names; parts of a layer may still be apart.

    Args:
        state: As stored, out of its wrapping.
        source: For sentences.

    Raises:
        BadFile: It holds no vision transformer, or several.
    """
    prefix = _prefix(state, source)
    found = Named({})
    for name, tensor in state.items():
        if not name.startswith(prefix):
            found.dropped[name] = OUTSIDE
            continue
        new = name.removeprefix(prefix)
        why = next((why for pattern, why in DROPPED if re.match(pattern, new)), None)
        if why:
            found.dropped[name] = why
            found.masked_keys |= new.endswith('bias_mask')
            continue
        for pattern, replaced in RENAMED:
            new = re.sub(pattern, replaced, new)
        found.tensors[new], found.sources[new] = tensor, name
    return found


def _prefix(state: Mapping[str, Tensor], source: str) -> str:
    matches = filter(None, map(PATCHES.fullmatch, state))
    prefixes = sorted({match[1] for match in matches if state[match[0]].ndim == 4})
    if len(prefixes) > 1:  # a student is what the teacher is the mean of
        prefixes = [each for each in prefixes if re.search('teacher|ema', each)] or prefixes
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        raise BadFile(
            source,
            f'holds {len(prefixes)} encoders ({", ".join(prefixes)})',
            'give a file with the one that is wanted',
        )
    raise BadFile(
        source,
        f'holds no vision transformer of a known layout (it has {next(iter(state))})',
        'give an encoder of timm, Hugging Face, MAE, DINO, SAM or mmpretrain (docs/encoders.md)',
    )
