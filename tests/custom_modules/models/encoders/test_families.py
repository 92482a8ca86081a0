"""Converted weights give what timm's own model gives, whatever family and layout."""

import math

import pytest
import torch
from torch import Tensor

from custom_modules import WindowedViT
from custom_modules.models.encoders.convert import Encoder, convert
from custom_modules.models.encoders.pretrained import fitted

from .families import FAMILIES, LAYOUTS, SIDE, Family, features, peer


def backbone(family: Family, encoder: Encoder, **more: object) -> WindowedViT:
    """A `WindowedViT` with an encoder's weights."""
    shape = encoder.shape
    hidden = shape.hidden * 3 // 2 if shape.swiglu else shape.hidden  # mmpretrain takes two thirds
    arch = dict(
        embed_dims=shape.width, num_layers=shape.depth, num_heads=family.heads,
        feedforward_channels=hidden,
    )  # fmt: skip
    settings = dict(window_size=0, final_norm=True, patch_size=family.patch) | family.settings
    with torch.device('meta'):  # nothing is drawn that is replaced
        model = WindowedViT(arch=arch, img_size=SIDE * family.patch, **(settings | more))
    tensors, _ = fitted(encoder, model.state_dict(), 'file')
    model.load_state_dict(tensors, assign=True)
    model.eval()
    return model


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    largest = float(theirs.abs().max())
    assert math.isfinite(largest)
    assert float((ours - theirs).abs().max()) <= 1e-5 * max(largest, 1)


@pytest.mark.parametrize('name', FAMILIES)
@torch.no_grad()
def test_features_are_timm_s(name: str) -> None:
    family = FAMILIES[name]
    theirs = peer(family)
    encoder = convert(theirs.state_dict(), 'file', patch=family.patch)
    image = torch.randn(1, 3, SIDE * family.patch, SIDE * family.patch)
    wanted = features(theirs, image)
    assert_same(backbone(family, encoder)(image)[0], wanted)
    if family.settings.get('positions') != 'relative':  # one window covers the picture
        windowed = backbone(family, encoder, window_size=SIDE, global_blocks=())
        assert_same(windowed(image)[0], wanted)


@pytest.mark.parametrize(
    ('name', 'layout'), LAYOUTS, ids=[f'{name}-{layout.__name__}' for name, layout in LAYOUTS]
)
@torch.no_grad()
def test_layouts_of_others_are_read(name: str, layout) -> None:
    family = FAMILIES[name]
    theirs = peer(family)
    image = torch.randn(1, 3, SIDE * family.patch, SIDE * family.patch)
    encoder = convert(layout(dict(theirs.state_dict())), 'file', patch=family.patch)
    assert_same(backbone(family, encoder)(image)[0], features(theirs, image))
