import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from cellkit.errors import UserError
from cellkit.rle import encode_label_map
from custom_modules.structures.detections import detections_of


def predicted(masks):
    return InstanceData(
        bboxes=torch.tensor([[2.0, 1, 6, 4], [0.5, 0, 3, 3]]),
        scores=torch.tensor([0.9, 0.25]),
        masks=masks,
    )


def test_bitmaps_and_rles_give_the_same():
    bitmaps = np.zeros((2, 5, 7), bool)
    bitmaps[0, 1:4, 2:6] = bitmaps[1, :3, 1:3] = True
    rles = [coco_mask.encode(np.asfortranarray(mask.view(np.uint8))) for mask in bitmaps]
    expected = [encode_label_map(mask.astype(int))[0] for mask in bitmaps]
    for masks in (torch.from_numpy(bitmaps), rles, expected):
        found = detections_of(predicted(masks))
        assert json.loads(json.dumps(found.rles)) == expected
        assert found.boxes.tolist() == [[2, 1, 4, 3], [0.5, 0, 2.5, 3]]
        assert found.scores.dtype == found.boxes.dtype == np.float64
    as_dict = dict(predicted(rles).items())
    assert detections_of(as_dict).rles == expected  # as metrics get it


def test_the_sample_is_left_as_it_is():
    sample = predicted(torch.zeros((2, 5, 7), dtype=torch.bool))
    detections_of(sample)
    assert sample.bboxes[0].tolist() == [2, 1, 6, 4]


def test_boxes_without_masks_are_refused_and_nothing_is_fine():
    sample = predicted(torch.zeros((2, 5, 7), dtype=torch.bool))
    del sample.masks
    with pytest.raises(UserError, match='predicts boxes but no masks'):
        detections_of(sample)
    nothing = detections_of(sample[:0])
    assert nothing.rles == []
    assert nothing.boxes.shape == (0, 4)
