"""The windowed ViT: equal to its peers, windows, drop path, gradients, checkpoints."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.models.backbones import VisionTransformer, ViTSAM
from mmpretrain.models.utils import resize_pos_embed

from cellkit.errors import UserError
from custom_modules import WindowedViT

TINY = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)


def tiny_vit(**kwargs) -> WindowedViT:
    torch.manual_seed(0)
    model = WindowedViT(arch=TINY, img_size=64, patch_size=16, **kwargs)
    model.init_weights()
    model.eval()  # mmpretrain's backbones return None here
    return model


@torch.no_grad()
def test_global_windowed_vit_equals_mmpretrain() -> None:
    ours = tiny_vit(window_size=0)
    theirs = VisionTransformer(
        arch=TINY, img_size=64, patch_size=16, out_type='featmap', with_cls_token=False,
        final_norm=False,
    )  # fmt: skip
    theirs.eval()
    theirs.load_state_dict(ours.state_dict())
    image = torch.randn(2, 3, 96, 64)
    torch.testing.assert_close(ours(image)[0], theirs(image)[0])


@pytest.mark.parametrize('size', [(64, 64), (96, 64), (80, 112), (16, 48)])
def test_windows_are_those_of_vitdet(size: tuple[int, int]) -> None:
    """mmpretrain's ViTSAM is the peer; 80x112 px are 5x7 patches, which windows of 2 and 3 pad."""
    for window in (2, 3):
        ours = tiny_vit(window_size=window, global_blocks=[1, 3])
        theirs = ViTSAM(
            arch=TINY | dict(global_attn_indexes=[1, 3]), img_size=64, patch_size=16,
            out_channels=0, use_rel_pos=False, window_size=window,
        )  # fmt: skip
        state = ours.state_dict()
        # Biases make a padded token differ from no token at all.
        state = {key: value + 0.1 * torch.randn_like(value) for key, value in state.items()}
        ours.load_state_dict(state)
        theirs.load_state_dict(
            {k: v.unflatten(1, (4, 4)) if k == 'pos_embed' else v for k, v in state.items()
             if not k.startswith('ln1')}
        )  # fmt: skip
        batch, results = torch.randn(2, 3, *size), []
        for model in (ours, theirs):
            image = batch.clone().requires_grad_()
            (out,) = model(image)
            (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
            found = {key: value.grad for key, value in model.named_parameters()}
            found['pos_embed'] = found['pos_embed'].flatten(1, -2)
            results.append((out, image.grad, [found[key] for key in sorted(found)]))
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def test_an_image_s_windows_are_dropped_together() -> None:
    """Attention's path alone: with the feed-forward silenced a block adds all of it or nothing."""
    model = tiny_vit(window_size=2, global_blocks=[], drop_path_rate=0.5)
    index, block = 3, model.layers[3]
    model.train()
    with torch.no_grad():
        for parameter in block.ffn.parameters():
            parameter.zero_()
    x = torch.randn(64, 16, 32)
    torch.manual_seed(0)
    moved = (model._run_block(index, x, (4, 4)) - x).abs().amax(-1) > 0
    assert (moved.all(1) == moved.any(1)).all()
    assert 16 < moved.all(1).sum() < 48


@torch.no_grad()
def test_windows_confine_attention_and_global_blocks_do_not() -> None:
    image = torch.randn(1, 3, 128, 128)
    changed = image.clone()
    changed[..., :16, :16] += 1  # one patch of the first 2x2 window of 16-px patches
    windowed = tiny_vit(window_size=2, global_blocks=[])
    difference = (windowed(image)[0] - windowed(changed)[0]).abs().amax((0, 1))
    assert difference[:2, :2].min() > 0
    assert difference[2:].max() == difference[:, 2:].max() == 0
    mixed = tiny_vit(window_size=2)
    assert mixed.global_blocks == {0, 1, 2, 3}  # four blocks: each quarter ends in a global one
    assert (mixed(image)[0] - mixed(changed)[0]).abs().amax((0, 1)).min() > 0


@settings(max_examples=10, deadline=None)
@given(height=st.integers(1, 6), width=st.integers(1, 6), window=st.integers(0, 4))
@torch.no_grad()
def test_windowed_vit_takes_any_size(height: int, width: int, window: int) -> None:
    model = tiny_vit(window_size=window, global_blocks=[3])
    (out,) = model(torch.randn(1, 3, 16 * height, 16 * width))
    assert out.shape == (1, 32, height, width)
    assert torch.isfinite(out).all()


def test_activation_checkpointing_gives_the_same_gradients() -> None:
    grads = []
    for with_cp in (False, True):
        model = tiny_vit(window_size=2, with_cp=with_cp)
        model.train()
        torch.manual_seed(1)
        model(torch.randn(1, 3, 64, 64))[0].square().mean().backward()
        grads.append(model.patch_embed.projection.weight.grad)
    torch.testing.assert_close(*grads)


def test_vitb_global_blocks_are_those_of_vitdet() -> None:
    with torch.device('meta'):
        model = WindowedViT(arch='base')
    assert sorted(model.global_blocks) == [2, 5, 8, 11]


def test_checkpoint_with_class_token_loads(tmp_path) -> None:
    """An MAE checkpoint has a class token in its positions; the detector drops it."""
    theirs = VisionTransformer(arch=TINY, img_size=64, patch_size=16)
    ours = tiny_vit(init_cfg=save(theirs, tmp_path / 'mae.pth'))
    torch.testing.assert_close(ours.pos_embed, theirs.pos_embed[:, 1:])
    torch.testing.assert_close(ours.layers[3].attn.qkv.weight, theirs.layers[3].attn.qkv.weight)


def save(model: VisionTransformer, path: Path) -> dict:
    """Writes a checkpoint of the model and gives the setting that loads it."""
    state = {f'backbone.{name}': value for name, value in model.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    return dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')


@pytest.mark.parametrize('with_cls_token', [True, False])
@pytest.mark.parametrize('img_size', [128, (96, 128), 64])
def test_positions_of_another_size_are_resized(
    with_cls_token: bool, img_size: int | tuple[int, int], tmp_path: Path
) -> None:
    kind = {} if with_cls_token else dict(out_type='featmap')
    theirs = VisionTransformer(TINY, 64, 16, with_cls_token=with_cls_token, **kind)
    theirs.init_weights()
    init_cfg = save(theirs, tmp_path / 'vit.pth')
    ours = WindowedViT(arch=TINY, img_size=img_size, patch_size=16, init_cfg=init_cfg)
    ours.init_weights()
    grid = theirs.pos_embed[:, with_cls_token:]
    wanted = resize_pos_embed(grid, (4, 4), ours.patch_resolution, 'bicubic', 0)
    torch.testing.assert_close(ours.pos_embed.data, wanted.data)
    torch.testing.assert_close(ours.layers[0].ln1.weight, theirs.layers[0].ln1.weight)


def test_positions_that_are_no_grid_are_refused_in_a_sentence() -> None:
    ours = tiny_vit()
    state = ours.state_dict() | {'pos_embed': torch.zeros(1, 21, 32)}  # 4x4 and five registers
    with pytest.raises(UserError, match='pos_embed of the checkpoint has 21 tokens'):
        ours.load_state_dict(state)
