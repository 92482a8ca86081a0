import contextlib
import io

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cellkit.metrics.average_precision import (
    coco_values,
    match_boxes,
    match_masks,
    precision_recall,
)

seeds = st.integers(0, 2**32 - 1)
SIZE = (120, 160)


def random_image(rng):
    """Boxes and rectangular masks with scores; few distinct scores, so that ties occur."""
    number = rng.integers(0, 12)
    corner = rng.integers(0, 40, (number, 2))
    extent = rng.integers(4, 115, (number, 2))
    true = np.hstack([corner, np.minimum(extent, np.array(SIZE[::-1]) - corner)]).astype(float)
    near = true[rng.integers(0, number, rng.integers(0, 20))] if number else true
    boxes = np.maximum(near + rng.integers(-6, 7, near.shape), 1).astype(float)
    boxes[:, :2] = np.minimum(boxes[:, :2], np.array(SIZE[::-1]) - 2)
    boxes[:, 2:] = np.minimum(boxes[:, 2:], np.array(SIZE[::-1]) - boxes[:, :2])
    return true, boxes, rng.integers(1, 8, len(boxes)) / 8


def rectangle(box):
    mask = np.zeros(SIZE, np.uint8, order='F')
    x, y, width, height = box.astype(int)
    mask[y : y + height, x : x + width] = 1
    return coco_mask.encode(mask)


def pycocotools_ap(images, kind, max_dets):
    """Precision array of pycocotools, area ranges first, -1 as nan."""
    truth = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'cell'}]}
    found = []
    for k, (true, boxes, scores) in enumerate(images, start=1):
        truth['images'].append({'id': k, 'height': SIZE[0], 'width': SIZE[1]})
        for box in true:
            rle = rectangle(box)
            item = {'id': len(truth['annotations']) + 1, 'image_id': k, 'category_id': 1}
            item |= {'bbox': box.tolist(), 'segmentation': rle, 'iscrowd': 0}
            truth['annotations'].append(item | {'area': float(coco_mask.area(rle))})
        for box, score in zip(boxes, scores, strict=True):
            shape = {'bbox': box.tolist()} if kind == 'bbox' else {'segmentation': rectangle(box)}
            found.append({'image_id': k, 'category_id': 1, 'score': score} | shape)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        peer = COCOeval(coco, coco.loadRes(found), kind)
        peer.params.maxDets = [1, 2, max_dets]
        peer.evaluate()
        peer.accumulate()
    precision = peer.eval['precision'][:, :, 0, :, 2].transpose(2, 0, 1)
    return np.where(precision < 0, np.nan, precision)


def average_precision(images, weights=None):
    """(A, T), of area ranges and IoU thresholds."""
    return precision_recall(images, weights).precision.mean(-1)


def match(image, kind):
    true, boxes, scores = image
    areas = np.array([np.floor(box[2]) * np.floor(box[3]) for box in true])
    if kind == 'bbox':
        return match_boxes(boxes, scores, true, areas)
    found, real = [rectangle(box) for box in boxes], [rectangle(box) for box in true]
    return match_masks(found, scores, real, areas)


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
@given(seeds, st.sampled_from([3, 1000]))
@settings(max_examples=40, deadline=None, phases=[Phase.generate])
def test_agrees_with_pycocotools(kind, seed, max_dets):
    rng = np.random.default_rng(seed)
    images = [random_image(rng) for _ in range(4)]
    if not any(len(image[1]) for image in images):
        return  # pycocotools can't load an empty list of results
    curves = precision_recall([match(image, kind) for image in images], None, max_dets)
    expected = pycocotools_ap(images, kind, max_dets)
    np.testing.assert_allclose(curves.precision, expected, rtol=0, atol=1e-12)


def test_perfect_missing_and_empty_predictions():
    true = np.array([[0, 0, 20, 20], [40, 40, 20, 20.0]])
    areas = np.full(2, 400.0)
    assert average_precision([match_boxes(true, [0.9, 0.8], true, areas)])[0].tolist() == [1] * 10
    # one of two found: precision 1 up to recall 0.5, that is at 51 of 101 recalls
    half = average_precision([match_boxes(true[:1], [0.9], true, areas)])
    np.testing.assert_allclose(half[0], 51 / 101)
    assert not average_precision([match_boxes(true[:0], [], true, areas)])[0].any()
    assert np.isnan(average_precision([match_boxes(true, [0.9, 0.8], true[:0], areas[:0])])).all()
    with pytest.raises(ValueError, match='at least one image'):
        average_precision([])


def test_values_have_the_names_of_coco():
    true = np.array([[0, 0, 20, 20], [40, 40, 50, 50.0]])  # a small and a medium one
    matches = match_boxes(true[1:], [0.9], true, true[:, 2] * true[:, 3])
    values = coco_values([matches])
    assert list(values) == ['mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l']
    assert [values['mAP'], values['mAP_75']] == pytest.approx([51 / 101] * 2)
    assert [values['mAP_s'], values['mAP_m']] == pytest.approx([0, 1])
    assert np.isnan(values['mAP_l'])
    assert list(coco_values([matches.of_all_areas()])) == ['mAP', 'mAP_50', 'mAP_75']


def test_score_of_each_recall():
    true = np.array([[0, 0, 20, 20], [40, 40, 20, 20.0]])
    matches = match_boxes(true, [0.3, 0.8], true, np.full(2, 400.0))
    curves = precision_recall([matches])
    assert curves.scores[0, 0, 10] == 0.8
    assert curves.scores[0, 0, 90] == 0.3
    assert curves.recall[0, 0] == 1


@given(seeds)
@settings(max_examples=20, deadline=None, phases=[Phase.generate])
def test_weights_count_an_image_several_times(seed):
    rng = np.random.default_rng(seed)
    matches = [match(random_image(rng), 'bbox') for _ in range(3)]
    # distinct scores: a repeated image's ties would otherwise fall in another order
    matches = [m._replace(scores=m.scores + rng.random(len(m.scores)) / 100) for m in matches]
    weights = rng.integers(0, 3, 3)
    repeated = [image for image, w in zip(matches, weights, strict=True) for _ in range(w)]
    if repeated:
        expected = average_precision(repeated)
        np.testing.assert_allclose(average_precision(matches, weights), expected, atol=1e-12)


def test_an_image_may_have_more_than_255_detections():
    boxes = np.array([[k % 40, k // 40 * 3, 3, 3] for k in range(300)], float)
    rles = [rectangle(box) for box in boxes]
    matches = match_masks(rles, np.linspace(0, 1, 300), rles, np.full(300, 9.0))
    assert average_precision([matches])[0].tolist() == [1] * 10
