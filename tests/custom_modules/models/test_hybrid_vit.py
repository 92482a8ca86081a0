"""The hybrid ViT's strides and gradients."""

import torch

from custom_modules import HybridViT


def test_hybrid_vit_strides_and_gradients() -> None:
    model = HybridViT(channels=(8, 16, 32, 64), head_channels=16)
    model.init_weights()
    outs = model(torch.randn(2, 3, 64, 96))
    assert [tuple(out.shape) for out in outs] == [
        (2, 8, 16, 24), (2, 16, 8, 12), (2, 32, 4, 6), (2, 64, 2, 3),
    ]  # fmt: skip
    sum(out.square().mean() for out in outs).backward()
    assert all(p.grad is not None for p in model.parameters())
