import contextlib
import io
import json

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import custom_modules.dense_coco_metric  # noqa: F401
from cellkit.rle import encode_label_map

CLASSES = ('cell', 'platelet')
SIZE = (150, 200)


def write_set(folder, classes=('cell',)):
    """Two images with 150 squares each, and shifted predictions of them."""
    rng = np.random.default_rng(5)
    coco = {'images': [], 'annotations': []}
    coco['categories'] = [{'id': k, 'name': name} for k, name in enumerate(classes, start=1)]
    samples = []
    for image_id in (7, 4):
        coco['images'].append({'id': image_id, 'file_name': 'a', 'height': 150, 'width': 200})
        true_map = np.zeros(SIZE, np.int32)
        for k in range(150):
            top, left = divmod(k, 15)
            true_map[top * 15 : top * 15 + 11, left * 13 : left * 13 + 10] = k + 1
        labels = rng.integers(0, len(classes), 150)
        for k, rle in enumerate(encode_label_map(true_map)):
            top, left = divmod(k, 15)
            coco['annotations'].append(
                {'id': len(coco['annotations']) + 1, 'image_id': image_id, 'iscrowd': 0}
                | {'category_id': int(labels[k]) + 1, 'segmentation': rle, 'area': 110}
                | {'bbox': [left * 13, top * 15, 10, 11]}
            )
        samples.append(predict(image_id, true_map, labels, rng))
    path = folder / 'test.json'
    path.write_text(json.dumps(coco))
    return path, samples


def predict(image_id, true_map, labels, rng):
    boxes, masks = [], []
    for k in range(1, 151):
        mask = np.roll(true_map == k, rng.integers(0, 3), 1)
        y, x = np.nonzero(mask)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        masks.append(encode_label_map(mask.astype(np.int32))[0])
    instances = InstanceData(
        bboxes=torch.tensor(np.array(boxes), dtype=torch.float32),
        labels=torch.from_numpy(labels),
        scores=torch.from_numpy(rng.random(150)),
        masks=masks,
    )
    return DetDataSample(metainfo={'img_id': image_id, 'ori_shape': SIZE}, pred_instances=instances)


def measure(kind, path, samples, classes=('cell',), **options):
    with contextlib.redirect_stdout(io.StringIO()):
        metric = METRICS.build({'type': kind, 'ann_file': str(path), **options})
        metric.dataset_meta = {'classes': classes}
        for sample in samples:
            metric.process({}, [sample.to_dict()])
        return metric.evaluate(len(samples))


def pycocotools_stats(path, results, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        peer = COCOeval(coco, coco.loadRes(str(results)), kind)
        peer.params.maxDets = [1, 100, 1000]
        peer.evaluate()
        peer.accumulate()
    precision = peer.eval['precision'][..., 0, 2]
    return [precision[precision > -1].mean(), precision[0].mean(), precision[5].mean()]


@pytest.mark.parametrize('classes', [CLASSES[:1], CLASSES])
def test_agrees_with_pycocotools_on_crowded_images(tmp_path, classes):
    path, samples = write_set(tmp_path, classes)
    prefix = str(tmp_path / 'out')
    figures = measure('DenseCocoMetric', path, samples, classes, outfile_prefix=prefix)
    for kind in ('bbox', 'segm'):
        expected = pycocotools_stats(path, f'{prefix}.{kind}.json', kind)
        found = [figures[f'coco/{kind}_{item}'] for item in ('mAP', 'mAP_50', 'mAP_75')]
        assert found == pytest.approx(expected, abs=1e-9)
    assert all(type(value) is float for value in figures.values())


def test_hundred_detections_are_no_limit_as_they_are_in_the_stock_metric(tmp_path):
    path, samples = write_set(tmp_path)
    stock = measure('CocoMetric', path, samples, metric=['segm'])
    dense = measure('DenseCocoMetric', path, samples, metric=['segm'])
    assert stock.keys() == dense.keys()
    assert dense['coco/segm_mAP_50'] == pytest.approx(1)
    assert dense['coco/segm_mAP_50'] == stock['coco/segm_mAP_50']  # this one has no limit in either
    assert stock['coco/segm_mAP'] < dense['coco/segm_mAP'] * 0.7
    assert dense['coco/segm_mAP_l'] == stock['coco/segm_mAP_l'] == -1  # no large objects


def test_a_model_that_predicts_nothing_scores_zero(tmp_path):
    path, samples = write_set(tmp_path)
    for sample in samples:
        sample.pred_instances = sample.pred_instances[:0]
    figures = measure('DenseCocoMetric', path, samples)
    assert figures['coco/segm_mAP'] == figures['coco/bbox_mAP_50'] == 0


def test_wrong_settings_and_annotations_are_named(tmp_path):
    path, samples = write_set(tmp_path)
    with pytest.raises(ValueError, match='CocoMetric for proposals'):
        measure('DenseCocoMetric', path, samples, metric='proposal')
    with pytest.raises(ValueError, match="metric_items has 'AR@100'"):
        measure('DenseCocoMetric', path, samples, metric_items=['AR@100'])
    samples[0].set_metainfo({'img_id': 99})
    with pytest.raises(ValueError, match='no image with the id 99: they are of another data set'):
        measure('DenseCocoMetric', path, samples)
    del samples[1].pred_instances.masks
    with pytest.raises(ValueError, match='the model predicts no masks'):
        measure('DenseCocoMetric', path, samples[1:])
