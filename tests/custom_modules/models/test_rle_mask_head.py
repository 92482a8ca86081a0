"""The mask head's run lengths against the stock head's bitmaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.evaluation.metrics import CocoMetric
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import encode_mask_results
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from cellkit import rle
from custom_modules.models.rle_mask_head import RLEMaskHead, maskness_of, paste_in_boxes
from custom_modules.visualization.rle_visualizer import RLEVisualizer

SIZES = {'num_convs': 0, 'in_channels': 4, 'conv_out_channels': 4}
THRESHOLD = ConfigDict(mask_thr_binary=0.5)


def heads(num_classes: int = 1, **kwargs) -> tuple[RLEMaskHead, FCNMaskHead]:
    return (
        RLEMaskHead(num_classes=num_classes, **SIZES, **kwargs),
        FCNMaskHead(num_classes=num_classes, **SIZES, **kwargs),
    )


def predictions(
    count: int, height: int, width: int, num_classes: int = 1, seed: int = 0
) -> tuple[torch.Tensor, InstanceData]:
    """Smooth random logits, and boxes small and large, some over the image's edge."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, num_classes, 5, 5, generator=generator) * 3
    logits = torch.nn.functional.interpolate(coarse, size=28, mode='bicubic')
    centres = torch.rand(count, 2, generator=generator) * torch.tensor([width, height])
    sides = torch.exp(torch.rand(count, 2, generator=generator) * 5)
    boxes = torch.cat([centres - sides / 2, centres + sides / 2], dim=1)
    boxes = boxes.clamp(min=0).minimum(torch.tensor([width, height] * 2).float())
    results = InstanceData(
        bboxes=boxes,
        scores=torch.rand(count, generator=generator),
        labels=torch.randint(num_classes, (count,), generator=generator),
    )
    return logits, results


def meta(height: int, width: int, scale: float = 1.0) -> dict:
    return {'ori_shape': (height, width), 'scale_factor': (scale, scale), 'img_id': 7}


def as_text(encoded: list[dict]) -> list[str]:
    return [
        item['counts'].decode() if isinstance(item['counts'], bytes) else item['counts']
        for item in encoded
    ]


@pytest.mark.parametrize(('num_classes', 'agnostic'), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize(('rescale', 'scale'), [(True, 1.0), (True, 0.7), (False, 0.7)])
@pytest.mark.parametrize('threshold', [0.5, 0.35])
def test_same_run_lengths_as_the_stock_head(num_classes, agnostic, rescale, scale, threshold):
    ours, stock = heads(num_classes, class_agnostic=agnostic)
    config = ConfigDict(mask_thr_binary=threshold)
    logits, results = predictions(40, 120, 160, num_classes)
    logits = logits[:, :1] if agnostic else logits
    copies = [InstanceData(**{k: v.clone() for k, v in results.items()}) for _ in range(2)]
    image = meta(180, 240, scale) if rescale else meta(200, 300, scale)
    out = [
        head.predict_by_feat([logits], [copy], [image], config, rescale=rescale)[0]
        for head, copy in zip((ours, stock), copies, strict=True)
    ]
    expected = encode_mask_results(out[1].masks.numpy())
    assert as_text(out[0].masks) == as_text(expected)
    assert out[0].masks[0]['size'] == list(out[1].masks.shape[1:])
    torch.testing.assert_close(out[0].bboxes, out[1].bboxes)
    assert sum(mask.any() for mask in out[1].masks) > 20


@pytest.mark.parametrize('pixels_at_once', [1, 1000, 20000, 10**9])
def test_memory_bound_does_not_change_the_result(pixels_at_once):
    logits, results = predictions(30, 90, 130)
    masks = logits.sigmoid()
    expected: dict[int, np.ndarray] = {}
    found: dict[int, np.ndarray] = {}
    for store, bound in ((expected, None), (found, pixels_at_once)):
        for chosen, xs, ys, crops in paste_in_boxes(masks, results.bboxes, (90, 130), 0.5, bound):
            for k, x, y, crop in zip(chosen, xs, ys, crops, strict=True):
                store[int(k)] = rle.encode_crops([crop], [x], [y], 90, 130)[0]
    assert len(found) == 30
    assert found == expected


def test_boxes_outside_the_image_are_empty():
    boxes = torch.tensor([[200.0, 10, 220, 30], [-50, -50, -20, -20], [5, 5, 25, 25]])
    results = InstanceData(bboxes=boxes, scores=torch.ones(3), labels=torch.zeros(3).long())
    logits = torch.full((3, 1, 28, 28), 9.0)
    masks = heads()[0].predict_by_feat([logits], [results], [meta(60, 80)], THRESHOLD)[0].masks
    areas = [int((rle.decode_to_label_map([mask]) > 0).sum()) for mask in masks]
    assert areas == [0, 0, 400]


def test_box_without_a_side_is_as_in_the_stock_head():
    results = InstanceData(
        bboxes=torch.tensor([[20.0, 20, 20, 20], [7, 9, 7, 30]]),
        scores=torch.ones(2),
        labels=torch.zeros(2).long(),
    )
    logits = torch.full((2, 1, 28, 28), 9.0)
    ours, stock = (
        head.predict_by_feat([logits], [results[:]], [meta(60, 80)], THRESHOLD)[0].masks
        for head in heads()
    )
    assert as_text(ours) == as_text(encode_mask_results(stock.numpy()))


def test_no_detections_and_stock_output_on_request():
    ours, stock = heads()
    empty = InstanceData(
        bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long()
    )
    no_logits = torch.zeros(0, 1, 28, 28)
    assert ours.predict_by_feat([no_logits], [empty], [meta(9, 9)], THRESHOLD)[0].masks == []
    logits, results = predictions(3, 60, 80)
    for head, some in (
        (RLEMaskHead(encode=False, **SIZES, num_classes=1), THRESHOLD),
        (ours, ConfigDict(mask_thr_binary=-1)),
    ):
        masks = head._predict_by_feat_single(
            logits, results.bboxes, results.labels, meta(60, 80), some
        )
        expected = stock._predict_by_feat_single(
            logits, results.bboxes, results.labels, meta(60, 80), some
        )
        assert torch.equal(masks, expected)


def test_results_can_be_indexed_and_scored():
    head = heads()[0]
    logits, results = predictions(12, 60, 80)
    results = head.predict_by_feat([logits], [results], [meta(60, 80)], THRESHOLD, rescale=True)[0]
    kept = results.to('cpu')[results.scores > 0.5]
    assert len(kept.masks) == int((results.scores > 0.5).sum()) > 1
    metric = CocoMetric(metric='segm', format_only=True, outfile_prefix='unused')
    sample = {'img_id': 7, 'ori_shape': (60, 80), 'instances': []}
    metric.process({}, [sample | {'pred_instances': kept.to_dict()}])
    assert metric.results[0][1]['masks'] == kept.masks


@pytest.mark.parametrize(('num_classes', 'agnostic'), [(1, False), (3, False), (3, True)])
def test_maskness_weighs_scores_and_sorts_what_belongs_to_them(num_classes, agnostic):
    plain = heads(num_classes, class_agnostic=agnostic)[0]
    weighed = RLEMaskHead(num_classes=num_classes, class_agnostic=agnostic, maskness=True, **SIZES)
    logits, results = predictions(40, 120, 160, num_classes)
    logits = logits[:, :1] if agnostic else logits
    copies = [InstanceData(**{k: v.clone() for k, v in results.items()}) for _ in range(2)]
    before, after = (
        head.predict_by_feat([logits], [copy], [meta(120, 160)], THRESHOLD)[0]
        for head, copy in zip((plain, weighed), copies, strict=True)
    )
    expected = []
    for k, label in enumerate(before.labels.tolist()):  # slow and plain
        inside = [p for p in logits[k, 0 if agnostic else label].sigmoid().ravel() if p >= 0.5]
        expected.append(float(before.scores[k]) * float(sum(inside)) / max(len(inside), 1))
    order = np.argsort(-np.array(expected), kind='stable')
    np.testing.assert_allclose(after.scores, np.array(expected)[order], rtol=1e-5)
    assert as_text(after.masks) == [as_text(before.masks)[k] for k in order]
    assert torch.equal(after.bboxes, before.bboxes[order])
    assert list(order) != list(range(40))


def test_maskness_in_closed_form():
    masks = torch.tensor([[[0.5, 1.0], [0.0, 0.49]], [[0.2, 0.1], [0.3, 0.4]]])
    assert maskness_of(masks).tolist() == [0.75, 0.0]
    assert maskness_of(masks, 0.3).tolist() == pytest.approx([1.99 / 3, 0.35])
    assert torch.equal(maskness_of(masks, -1), maskness_of(masks))


def test_maskness_of_no_detection():
    head = RLEMaskHead(num_classes=1, maskness=True, **SIZES)
    logits, results = predictions(0, 60, 80)
    out = head.predict_by_feat([logits], [results], [meta(60, 80)], THRESHOLD)[0]
    assert out.masks == []
    assert out.scores.shape == (0,)


@pytest.mark.parametrize('count', [0, 4])
def test_visualizer_draws_run_lengths(count):
    head = heads()[0]
    logits, results = predictions(count, 60, 80)
    results = head.predict_by_feat([logits], [results], [meta(60, 80)], THRESHOLD, rescale=True)[0]
    image = np.zeros((60, 80, 3), np.uint8)
    drawn = RLEVisualizer()._draw_instances(image, results, ['cell'], None)
    assert bool((drawn != image).any()) == (count > 0)
    assert isinstance(results.masks, list)


def test_trains_like_the_stock_head_and_takes_its_weights():
    ours, stock = heads()
    assert ours.load_state_dict(stock.state_dict()) is not None
    features = torch.rand(2, 4, 14, 14)
    torch.testing.assert_close(ours(features), stock(features))
