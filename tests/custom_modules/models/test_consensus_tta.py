"""Views of an image, merged by the model that mim wraps around a detector."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from cellkit.rle import decode_to_label_map, encode_label_map
from custom_modules.models.consensus_tta import ConsensusTTAModel

FLIPS = {None: (), 'horizontal': (1,), 'vertical': (0,), 'diagonal': (0, 1)}


class Detector(BaseModel):
    """Stands for a detector; the views are made by hand."""

    test_cfg = {'rcnn': {'max_per_img': 3}}

    def forward(self, inputs, data_samples, mode):
        raise NotImplementedError


def view(label_map: np.ndarray, direction: str | None, scores: list[float]) -> DetDataSample:
    """What a faultless detector finds in the flipped image."""
    flipped = np.flip(label_map, FLIPS[direction])
    boxes = []
    for k in range(1, len(scores) + 1):
        rows, columns = np.nonzero(flipped == k)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    sample = DetDataSample(
        metainfo={
            'img_id': 7,
            'ori_shape': label_map.shape,
            'flip': direction is not None,
            'flip_direction': direction,
        }
    )
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores),
        labels=torch.zeros(len(scores), dtype=torch.int64),
        masks=encode_label_map(flipped, len(scores)),
    )
    return sample


@pytest.fixture
def label_map() -> np.ndarray:
    label_map = np.zeros((20, 30), int)
    label_map[2:9, 3:8], label_map[10:18, 20:30], label_map[0:4, 12:19] = 1, 2, 3
    return label_map


def test_flips_come_back_upright(label_map: np.ndarray) -> None:
    views = [view(label_map, direction, [0.9, 0.8, 0.6]) for direction in FLIPS]
    (merged,) = ConsensusTTAModel(module=Detector()).merge_preds([views])
    found = merged.pred_instances
    assert merged.img_id == 7
    np.testing.assert_array_equal(decode_to_label_map(found.masks), label_map)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.6])
    np.testing.assert_array_equal(found.agreement, [1, 1, 1])
    np.testing.assert_array_equal(found.bboxes, views[0].pred_instances.bboxes)


def test_what_one_view_sees_alone_counts_less(label_map: np.ndarray) -> None:
    some = np.where(label_map == 3, 0, label_map)
    views = [view(label_map, None, [0.9, 0.8, 0.6]), view(some, 'vertical', [0.7, 0.8])]
    (merged,) = ConsensusTTAModel(module=Detector()).merge_preds([views])
    np.testing.assert_allclose(merged.pred_instances.scores, [0.8, 0.8, 0.3], atol=1e-6)
    np.testing.assert_allclose(merged.pred_instances.agreement, [1, 1, 0.5])


def test_classes_are_not_mixed_and_the_limit_is_kept(label_map: np.ndarray) -> None:
    views = [view(label_map, direction, [0.9, 0.8, 0.6]) for direction in (None, 'diagonal')]
    views[1].pred_instances.labels += 1
    (merged,) = ConsensusTTAModel(module=Detector()).merge_preds([views])
    assert len(merged.pred_instances) == 3  # of six: the detector's own limit
    (merged,) = ConsensusTTAModel(module=Detector(), max_per_img=9).merge_preds([views])
    assert sorted(merged.pred_instances.labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_nothing_found() -> None:
    views = [view(np.zeros((20, 30), int), direction, []) for direction in FLIPS]
    (merged,) = ConsensusTTAModel(module=Detector()).merge_preds([views])
    assert len(merged.pred_instances.scores) == 0
    assert merged.pred_instances.masks == []
