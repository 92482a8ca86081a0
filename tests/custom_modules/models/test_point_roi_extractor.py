"""One sample a bin, by a sampling that uses all cores: RoIAlign's values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torchvision.ops import roi_align

from custom_modules import PointRoIExtractor
from custom_modules.models.point_roi_extractor import PointRoIAlign


def boxes(number: int, images: int, generator: torch.Generator) -> torch.Tensor:
    """(N, 5) RoIs inside an image of 96x64, in no order of images."""
    corners = torch.rand(number, 2, generator=generator) * torch.tensor([60.0, 40.0])
    sides = 4 + torch.rand(number, 2, generator=generator) * 20
    owner = torch.randint(0, images, (number, 1), generator=generator).float()
    return torch.cat([owner, corners, corners + sides], dim=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.sampled_from([7, 14, (3, 5)]), st.booleans())
def test_equal_to_roi_align(number: int, images: int, bins: int, channels_last: bool) -> None:
    generator = torch.Generator().manual_seed(number * 10 + images)
    rois = boxes(number, images, generator)
    maps = torch.randn(images, 5, 16, 24, generator=generator)
    weight = None
    results = []
    for align in (
        PointRoIAlign(bins, 0.25),
        lambda m, r: roi_align(m, r, bins, 0.25, sampling_ratio=1, aligned=True),
    ):
        given_maps = maps.clone()
        if channels_last:
            given_maps = given_maps.contiguous(memory_format=torch.channels_last)
        given_maps.requires_grad_()
        found = align(given_maps, rois)
        weight = torch.randn(found.shape, generator=generator) if weight is None else weight
        (found * weight).sum().backward()
        results.append((found.detach(), given_maps.grad))
    for ours, stock in zip(*results, strict=True):
        torch.testing.assert_close(ours, stock, atol=1e-4, rtol=1e-4)


def test_levels_are_the_stock_extractor_s() -> None:
    generator = torch.Generator().manual_seed(0)
    strides = [4, 8]
    maps = tuple(torch.randn(2, 8, 64 // s, 96 // s, generator=generator) for s in strides)
    rois = boxes(9, 2, generator)
    rois[0, 1:] = torch.tensor([0.0, 0.0, 95.0, 63.0])
    common = dict(out_channels=8, featmap_strides=strides, finest_scale=20)
    ours = PointRoIExtractor(output_size=7, **common)
    layer = dict(type='RoIAlign', output_size=7, sampling_ratio=1)
    stock = SingleRoIExtractor(layer, **common)
    torch.testing.assert_close(ours(maps, rois), stock(maps, rois), atol=1e-4, rtol=1e-4)


def test_no_box_gives_no_feature() -> None:
    ours = PointRoIExtractor(7, 8, [4, 8])
    maps = (torch.zeros(1, 8, 16, 16), torch.zeros(1, 8, 8, 8))
    assert ours(maps, torch.zeros(0, 5)).shape == (0, 8, 7, 7)


@pytest.mark.parametrize('bins', [7, (7, 7)])
def test_output_size_is_what_the_extractor_reads(bins) -> None:
    assert PointRoIAlign(bins, 0.25).output_size == (7, 7)
