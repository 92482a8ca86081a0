"""timm's models of each family at their real widths, a block or two deep, in others' layouts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import timm
import torch
from timm.layers import SwiGLUPacked
from torch import Tensor, nn

State = dict[str, Tensor]


class Family(NamedTuple):
    """A timm model, and the settings of the `WindowedViT` that takes its weights."""

    name: str
    heads: int
    patch: int = 16
    timm: dict = {}
    settings: dict = {}


SCALED = dict(layer_scale_init_value=1e-5, extra_tokens=1)
DINOV3 = dict(
    layer_scale_init_value=1e-5,
    extra_tokens=5,
    positions='rotary',
    norm_cfg=dict(type='LN', eps=1e-5),
)
GATED = dict(ffn_type='swiglu_fused')
UNI2H = dict(
    embed_dim=1536, num_heads=24, init_values=1e-5, mlp_ratio=2.66667 * 2, reg_tokens=8,
    mlp_layer=SwiGLUPacked, act_layer=nn.SiLU, no_embed_class=True,
)  # fmt: skip
VIRCHOW2 = dict(
    init_values=1e-5, mlp_ratio=5.3375, reg_tokens=4, mlp_layer=SwiGLUPacked, act_layer=nn.SiLU
)

FAMILIES = {
    'imagenet_ti': Family('vit_tiny_patch16_224', 3, settings=dict(extra_tokens=1)),
    'imagenet_s': Family('vit_small_patch16_224', 6, settings=dict(extra_tokens=1)),
    'mae_b': Family('vit_base_patch16_224', 12, settings=dict(extra_tokens=1)),
    'mae_h': Family('vit_huge_patch14_224', 16, 14, settings=dict(extra_tokens=1)),
    'uni': Family('vit_large_patch16_224', 16, timm=dict(init_values=1e-5), settings=SCALED),
    'uni2h': Family(
        'vit_giant_patch14_224', 24, 14, UNI2H,
        SCALED | dict(extra_tokens=9, layer_cfgs=GATED),
    ),
    'virchow2': Family(
        'vit_huge_patch14_224', 16, 14, VIRCHOW2,
        SCALED | dict(extra_tokens=5, layer_cfgs=GATED),
    ),
    'dinobloom_s': Family('vit_small_patch14_dinov2', 6, 14, settings=SCALED),
    'dinobloom_b': Family('vit_base_patch14_dinov2', 12, 14, settings=SCALED),
    'dinobloom_l': Family('vit_large_patch14_dinov2', 16, 14, settings=SCALED),
    'dinobloom_g': Family(
        'vit_giant_patch14_dinov2', 24, 14, settings=SCALED | dict(layer_cfgs=GATED)
    ),
    'dinov2_registers': Family(
        'vit_base_patch14_reg4_dinov2', 12, 14, settings=SCALED | dict(extra_tokens=5)
    ),
    'dinov3_b': Family('vit_base_patch16_dinov3_qkvb', 12, settings=DINOV3),
    'dinov3_l_no_bias': Family('vit_large_patch16_dinov3', 16, settings=DINOV3),
    'dinov3_splus': Family(
        'vit_small_plus_patch16_dinov3_qkvb', 6, settings=DINOV3 | dict(layer_cfgs=GATED)
    ),
    'sam_b': Family(
        'samvit_base_patch16', 12, timm=dict(global_attn_indexes=(1,)),
        settings=dict(positions='relative', window_size=14, global_blocks=(1,), final_norm=False),
    ),
}  # fmt: skip

SIDE = 5  # patches


def peer(family: Family, side: int = SIDE) -> nn.Module:
    """timm's model with random weights, none of them so small that it could be lost unseen."""
    torch.manual_seed(0)
    depth = 1 if re.search('giant|huge', family.name) else 2  # for time
    model = timm.create_model(
        family.name, num_classes=0, depth=depth, img_size=side * family.patch, **family.timm
    ).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if 'gamma' in name or (weight.ndim == 1 and name.endswith('weight')):
                weight.uniform_(0.5, 1.5)
            elif weight.ndim > 1 and 'rel_pos' not in name and 'token' not in name:
                weight.normal_(std=weight[0].numel() ** -0.5 if 'pos_embed' not in name else 0.3)
            else:
                weight.normal_(std=0.3)
    if family.name.startswith('samvit'):
        model.neck = nn.Identity()
    return model


@torch.no_grad()
def features(model: nn.Module, image: Tensor) -> Tensor:
    """timm's map (B, C, H, W) of an image, extra tokens left out."""
    found = model.forward_features(image)
    if found.ndim == 4:
        return found
    count = image.shape[-1] // model.patch_embed.patch_size[0]
    return found[:, model.num_prefix_tokens :].unflatten(1, (-1, count)).permute(0, 3, 1, 2)


def renamed(state: State, *pairs: tuple[str, str]) -> State:
    found = {}
    for name, tensor in state.items():
        for pattern, new in pairs:
            name = re.sub(pattern, new, name)
        found[name] = tensor
    return found


def dinobloom(state: State) -> dict:
    """DinoBloom's and RedDino's file: a training's teacher, its blocks in chunks."""
    teacher = renamed(state, (r'^blocks\.(\d+)', r'blocks.0.\1'), ('^', 'backbone.'))
    extra = {'dino_head.mlp.0.weight': torch.ones(2), 'backbone.mask_token': torch.ones(1, 4)}
    student = {name: tensor + 1 for name, tensor in teacher.items()}
    return {'student': student, 'teacher': teacher | extra, 'iteration': 3}


def mae(state: State) -> dict:
    """Meta's whole MAE file."""
    return {'model': state | {'mask_token': torch.ones(4), 'decoder_pos_embed': torch.ones(4)}}


def official_registers(state: State) -> State:
    """DINOv2 with registers as Meta publishes it: the class token apart from its position."""
    state = renamed(state, ('reg_token', 'register_tokens'))
    place = torch.randn_like(state['cls_token'])
    state['cls_token'] = state['cls_token'] - place
    state['pos_embed'] = torch.cat([place, state['pos_embed']], 1)
    return state


def official_giant(state: State) -> State:
    return renamed(state, (r'mlp\.fc1', 'mlp.w12'), (r'mlp\.fc2', 'mlp.w3'))


def official_dinov3(state: State) -> State:
    """Meta's DINOv3: a bias of keys that its mask makes 0."""
    state = renamed(
        state, ('reg_token', 'storage_tokens'), ('gamma_1', 'ls1.gamma'), ('gamma_2', 'ls2.gamma'),
        ('fc1_g', 'w1'), ('fc1_x', 'w2'), (r'(w1.*)', r'\1'),
    )  # fmt: skip
    if any('.w1.' in name for name in state):
        state = renamed(state, (r'mlp\.fc2', 'mlp.w3'))
    for name in [name for name in state if name.endswith('q_bias')]:
        q, v = state.pop(name), state.pop(name.replace('q_bias', 'v_bias'))
        full = name.replace('q_bias', 'qkv.bias')
        state[full] = torch.cat([q, torch.ones_like(q), v])
        mask = torch.cat([torch.ones_like(q), torch.zeros_like(q), torch.ones_like(v)])
        state[f'{full}_mask'] = mask
    return state | {'rope_embed.periods': torch.ones(16), 'mask_token': torch.ones(1, 4)}


def parted(state: State, names: tuple[str, str, str]) -> State:
    """Queries, keys and values apart."""
    found = {}
    for name, tensor in state.items():
        if '.qkv.' in name:
            for part, rows in zip(names, tensor.chunk(3), strict=True):
                found[name.replace('attn.qkv', part)] = rows
        else:
            found[name] = tensor
    return found


def hugging_face(state: State) -> State:
    """Dinov2Model of transformers, Phikon-v2's layout."""
    inner = tuple(f'attention.attention.{part}' for part in ('query', 'key', 'value'))
    state = renamed(
        parted(state, inner), (r'^blocks\.', 'encoder.layer.'),
        (r'attn\.proj', 'attention.output.dense'), (r'ls(\d)\.gamma', r'layer_scale\1.lambda1'),
        (r'^norm\.', 'layernorm.'), ('^patch_embed.proj', 'embeddings.patch_embeddings.projection'),
        ('^cls_token', 'embeddings.cls_token'), ('^pos_embed', 'embeddings.position_embeddings'),
    )  # fmt: skip
    return state | {'embeddings.mask_token': torch.ones(1, 4)}


def hugging_face_vit(state: State) -> State:
    state = renamed(
        hugging_face(state), (r'\.norm1\.', '.layernorm_before.'),
        (r'\.norm2\.', '.layernorm_after.'), (r'\.mlp\.fc1\.', '.intermediate.dense.'),
        (r'(\d)\.mlp\.fc2\.', r'\1.output.dense.'), ('^', 'vit.'),
    )  # fmt: skip
    return state | {'classifier.weight': torch.ones(2, 4)}


def hugging_face_dinov3(state: State) -> State:
    """DINOv3ViTModel of transformers."""
    state = renamed(
        state, (r'attn\.([qv])_bias', r'attention.\1_proj.bias'), (r'^blocks\.', 'layer.'),
        ('gamma_(.)', r'layer_scale\1.lambda1'), ('reg_token', 'embeddings.register_tokens'),
        ('^cls_token', 'embeddings.cls_token'), ('patch_embed.proj', 'embeddings.patch_embeddings'),
        ('fc1_g', 'gate_proj'), ('fc1_x', 'up_proj'), ('fc1', 'up_proj'), ('fc2', 'down_proj'),
        (r'attn\.proj', 'attention.o_proj'),
    )  # fmt: skip
    parts = parted(state, tuple(f'attention.{part}_proj' for part in 'qkv'))
    return renamed(parts, (r'attn\.qkv', 'unused'))


def sam(state: State) -> State:
    """Meta's SAM: the whole model."""
    state = renamed(state, ('^', 'image_encoder.'), (r'mlp\.fc', 'mlp.lin'))
    extra = ('image_encoder.neck.0.weight', 'mask_decoder.iou_token.weight')
    return state | {name: torch.ones(2, 4) for name in extra}


LAYOUTS: list[tuple[str, Callable[[State], dict]]] = [
    ('dinobloom_s', dinobloom),
    ('mae_b', mae),
    ('dinov2_registers', official_registers),
    ('dinobloom_g', official_giant),
    ('dinov3_b', official_dinov3),
    ('dinov3_splus', official_dinov3),
    ('dinobloom_b', hugging_face),
    ('mae_b', hugging_face_vit),
    ('dinov3_b', hugging_face_dinov3),
    ('dinov3_splus', hugging_face_dinov3),
    ('sam_b', sam),
]
