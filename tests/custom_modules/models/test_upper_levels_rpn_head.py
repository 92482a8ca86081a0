"""The proposal head leaves the finest map out and is the stock head on the others."""

import torch
from mmdet.registry import MODELS
from mmengine.config import Config

import custom_modules  # noqa: F401 - registers

ANCHORS = dict(type='AnchorGenerator', scales=[4, 8], ratios=[1.0], strides=[8, 16, 32])


def build(kind: str, **more) -> torch.nn.Module:
    base = Config.fromfile('configs/bccd_hybrid_mask_rcnn_scratch.py').model
    head = {**base.rpn_head, 'type': kind, 'anchor_generator': ANCHORS, **more}
    torch.manual_seed(0)
    return MODELS.build({**head, 'train_cfg': base.train_cfg.rpn, 'test_cfg': base.test_cfg.rpn})


def test_equal_to_the_stock_head_on_the_maps_that_it_uses() -> None:
    ours, stock = build('UpperLevelsRPNHead'), build('mmdet.RPNHead')
    maps = tuple(torch.randn(1, 64, 64 // s, 96 // s) for s in (4, 8, 16, 32))
    for one, two in zip(ours(maps), stock(maps[1:]), strict=True):
        assert len(one) == 3
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_first_level_can_be_set() -> None:
    head = build('UpperLevelsRPNHead', first_level=2)
    maps = tuple(torch.randn(1, 64, 8, 8) for _ in range(4))
    assert len(head(maps)[0]) == 2
