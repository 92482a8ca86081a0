"""LayerNorm of maps: mmpretrain's in values, with its own memory and type."""

import pytest
import torch
from mmpretrain.models.utils import LayerNorm2d

from custom_modules import MapLayerNorm


def norms() -> tuple[MapLayerNorm, LayerNorm2d]:
    ours, theirs = MapLayerNorm(8, eps=1e-6), LayerNorm2d(8, eps=1e-6)
    torch.nn.init.normal_(ours.weight)
    torch.nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_the_peer_s(layout: torch.memory_format) -> None:
    maps = torch.randn(2, 8, 5, 7).to(memory_format=layout)
    found = []
    for norm in norms():
        image = maps.clone().requires_grad_()
        out = norm(image)
        (out * torch.arange(7.0)).sum().backward()
        found.append((out, image.grad, norm.weight.grad))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_keeps_type_and_memory_format_and_computes_in_float32(dtype: torch.dtype) -> None:
    ours, theirs = norms()
    maps = (1000 + torch.randn(2, 8, 5, 7)).to(dtype, memory_format=torch.channels_last)
    out = ours(maps)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, theirs(maps.float()).to(dtype))
