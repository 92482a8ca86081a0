"""The pyramid's strides, gradients and settings."""

import pytest
import torch

from custom_modules import SimpleFeaturePyramid


def test_simple_feature_pyramid_strides() -> None:
    neck = SimpleFeaturePyramid(32, 16)
    outs = neck((torch.randn(1, 32, 8, 12),))
    assert [tuple(out.shape) for out in outs] == [
        (1, 16, 32, 48), (1, 16, 16, 24), (1, 16, 8, 12), (1, 16, 4, 6), (1, 16, 2, 3),
    ]  # fmt: skip
    sum(out.sum() for out in outs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in neck.parameters())


@pytest.mark.parametrize('wrong', [dict(strides=(4, 7)), dict(num_outs=3)])
def test_simple_feature_pyramid_names_the_wrong_setting(wrong: dict) -> None:
    with pytest.raises(ValueError, match='SimpleFeaturePyramid'):
        SimpleFeaturePyramid(32, 16, **wrong)
