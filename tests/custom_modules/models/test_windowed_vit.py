"""The windowed ViT: equal to its peer where it should be, windows, gradients, checkpoints."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.models.backbones import VisionTransformer

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
    path = tmp_path / 'mae.pth'
    state = {f'backbone.{name}': value for name, value in theirs.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    ours = tiny_vit(init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix='backbone.'))
    torch.testing.assert_close(ours.pos_embed, theirs.pos_embed[:, 1:])
    torch.testing.assert_close(ours.layers[3].attn.qkv.weight, theirs.layers[3].attn.qkv.weight)
