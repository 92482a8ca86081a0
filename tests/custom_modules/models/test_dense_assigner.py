"""The assigner without a loop gives what MMDetection's gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmengine.structures import InstanceData

from custom_modules import DenseMaxIoUAssigner

RPN = dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True)
KINDS = [
    RPN,
    RPN | dict(min_pos_iou=0.0),
    RPN | dict(gt_max_assign_all=False),
    RPN | dict(neg_iou_thr=(0.1, 0.3), ignore_iof_thr=0.5),
    dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False),
]


def boxes(number: int, generator: torch.Generator) -> torch.Tensor:
    """On a coarse grid, so that many overlaps are equal."""
    corners = torch.randint(0, 8, (number, 2), generator=generator)
    sides = torch.randint(1, 5, (number, 2), generator=generator)
    return torch.cat([corners, corners + sides], dim=1).float() * 4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 80), st.integers(0, 3), st.sampled_from(KINDS), st.data())
def test_equal_to_the_stock_assigner(
    cells: int, anchors: int, ignored: int, kind: dict, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    truth = InstanceData(bboxes=boxes(cells, generator))
    truth.labels = torch.randint(0, 3, (cells,), generator=generator)
    priors = InstanceData(priors=boxes(anchors, generator))
    skip = InstanceData(bboxes=boxes(ignored, generator))
    ours, stock = (
        cls(**kind).assign(priors, truth, skip) for cls in (DenseMaxIoUAssigner, MaxIoUAssigner)
    )
    for name in ('gt_inds', 'max_overlaps', 'labels'):
        assert torch.equal(getattr(ours, name), getattr(stock, name)), name


def test_the_setting_outlives_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assigner = DenseMaxIoUAssigner(**RPN)
    monkeypatch.setattr(MaxIoUAssigner, 'assign_wrt_overlaps', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        assigner.assign_wrt_overlaps(torch.rand(2, 3), torch.zeros(2).long())
    assert assigner.match_low_quality
