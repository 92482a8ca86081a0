import contextlib
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import custom_modules  # noqa: F401
from cellkit.errors import UserError
from cellkit.metrics.counting import count_values, stable_threshold
from cellkit.metrics.pixel import pixel_values
from cellkit.metrics.records import Detections, instance_values, measure_image
from cellkit.metrics.truth import TrueImage
from cellkit.rle import encode_label_map
from cellkit.visible import visible_cells

SIZE, CROWDED_SIZE = (40, 50), (150, 200)
THRESHOLDS = (0.25, 0.75)
KINDS = ('PixelDice', 'CountError', 'InstanceMetrics', 'DenseCocoMetric')


def draw_image(rng):
    """True label map, overlapping predicted masks and their scores."""
    true_map = np.zeros(SIZE, np.int32)
    for k, left in enumerate(range(0, 48, 8), start=1):
        top = rng.integers(0, 30)
        true_map[top : top + 10, left : left + 7] = k
    masks = [np.roll(true_map == k, rng.integers(-4, 5), rng.integers(2)) for k in range(1, 7)]
    return true_map, np.stack(masks), rng.integers(0, 11, 6) / 10


def write_set(folder, number):
    """An annotation file of random images, and what was drawn, by image id."""
    rng = np.random.default_rng(3)
    images = {10 + k: draw_image(rng) for k in range(number)}
    coco = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'cell'}]}
    for image_id, (true_map, _, _) in images.items():
        coco['images'].append({'id': image_id, 'file_name': 'a.png', 'height': 40, 'width': 50})
        for rle in encode_label_map(true_map):
            coco['annotations'].append(
                {'id': len(coco['annotations']) + 1, 'image_id': image_id, 'category_id': 1}
                | {'segmentation': rle, 'iscrowd': 0, 'area': 1, 'bbox': [0, 0, 1, 1]}
            )
    folder.mkdir(exist_ok=True)
    path = folder / 'test.json'
    path.write_text(json.dumps(coco))
    return path, images


def sample(image_id, masks, scores, as_rle):
    """What a model hands to a metric."""
    predicted = InstanceData(
        scores=torch.tensor(scores, dtype=torch.float64),
        labels=torch.zeros(len(scores), dtype=torch.long),
        bboxes=torch.zeros(len(scores), 4),
        masks=to_rles(masks) if as_rle else torch.from_numpy(masks),
    )
    about = {'img_id': image_id, 'ori_shape': SIZE}
    return DetDataSample(metainfo=about, pred_instances=predicted)


def to_rles(masks):
    return [encode_label_map(mask.astype(np.int32), 1)[0] for mask in masks]


def unions(masks, scores, threshold):
    """Union of the predictions that are left when better ones have taken their pixels."""
    label_map, kept = visible_cells(to_rles(masks), scores, SIZE)
    return np.isin(label_map, 1 + np.flatnonzero(scores[kept] >= threshold)), kept


def measure_samples(kind, path, samples, **options):
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools talks
        metric = METRICS.build({'type': kind, 'ann_file': str(path), **options})
        metric.dataset_meta = {'classes': ('cell',)}
        for item in samples:
            metric.process({}, [item.to_dict()])
        return metric.evaluate(len(samples))


def measure(kind, path, images, as_rle=True, **options):
    samples = [sample(k, masks, scores, as_rle) for k, (_, masks, scores) in images.items()]
    return measure_samples(kind, path, samples, **options)


@pytest.mark.parametrize('as_rle', [True, False])
def test_values_are_those_of_the_unions(tmp_path, as_rle):
    path, images = write_set(tmp_path, 5)
    values = measure('PixelDice', path, images, as_rle, score_thrs=THRESHOLDS)
    for threshold, suffix in ((0.5, ''), (0.25, '_thr0.25'), (0.75, '_thr0.75')):
        counts = [
            [np.count_nonzero(mask) for mask in (true & pred, true, pred)]
            for true, pred in (
                (true > 0, unions(masks, scores, threshold)[0])
                for true, masks, scores in images.values()
            )
        ]
        for name, value in pixel_values(np.array(counts)).items():
            assert values[f'pixel/{name}{suffix}'] == pytest.approx(value, abs=1e-12)
            assert 0 < value < 1
    assert all(type(value) is float for value in values.values())


def test_counts_are_those_above_the_threshold_and_a_threshold_is_chosen(tmp_path):
    path, images = write_set(tmp_path, 5)
    thresholds = np.linspace(0.05, 0.95, 19)
    values = measure('CountError', path, images, score_thrs=thresholds, choose=True)
    true = np.full(5, 6)
    kept = [scores[unions(masks, scores, 0)[1]] for _, masks, scores in images.values()]
    pred = np.array([[(s >= t).sum() for t in (0.5, *thresholds)] for s in kept])
    expected = count_values(true, pred)
    for name, value in expected.items():
        assert values[f'count/{name}'] == pytest.approx(value[0])
    chosen = stable_threshold(true, pred, (0.5, *thresholds)).value
    assert values['count/best_score_thr'] == chosen
    at = [0.5, *thresholds].index(chosen)
    assert values['count/best_relative_error'] == expected['relative_error'][at]


def test_instances_are_those_above_the_threshold(tmp_path):
    path, images = write_set(tmp_path, 5)
    values = measure('InstanceMetrics', path, images, score_thr=0.3, boundary_tolerance=1)
    records = [
        measure_image(
            k,
            TrueImage('a.png', SIZE, encode_label_map(true), np.ones((6, 4)), np.ones(6)),
            Detections(to_rles(masks), scores, np.zeros((6, 4))),
            boundary_tolerance=1,
        ).counts(0.3)
        for k, (true, masks, scores) in images.items()
    ]
    expected = instance_values(records)
    assert values == {f'instance/{name}': value for name, value in expected.items()}
    assert 0 < values['instance/pq'] < 1


def test_only_perfect_predictions_score_one(tmp_path):
    path, images = write_set(tmp_path, 2)
    perfect = {
        key: (true, np.stack([true == k for k in range(1, 7)]), np.ones(6))
        for key, (true, _, _) in images.items()
    }
    assert set(measure('PixelDice', path, perfect).values()) == {1.0}
    assert set(measure('InstanceMetrics', path, perfect).values()) == {1.0}
    assert set(measure('CountError', path, perfect).values()) == {0.0}
    wrong = {key: (true, ~masks, scores) for key, (true, masks, scores) in perfect.items()}
    assert max(measure('PixelDice', path, wrong).values()) < 0.9
    nothing = {key: (true, masks[:0], scores[:0]) for key, (true, masks, scores) in perfect.items()}
    assert set(measure('PixelDice', path, nothing).values()) == {0.0}
    values = measure('CountError', path, nothing, score_thrs=[0.9], choose=True)
    assert values['count/best_score_thr'] == 0.5
    assert values['count/best_relative_error'] == 1


def test_annotations_of_another_data_set_are_named(tmp_path):
    path, images = write_set(tmp_path, 1)
    with pytest.raises(UserError, match=r'test\.json has no image with the id 99: .* another'):
        measure('PixelDice', path, {99: images[10]})
    (tmp_path / 'broken.json').write_text('{"images": []}')
    with pytest.raises(UserError, match=r'broken\.json is not a COCO annotation file'):
        measure('PixelDice', tmp_path / 'broken.json', images)
    with pytest.raises(UserError, match='run `make prepare`'):
        measure('PixelDice', tmp_path / 'absent.json', {})


def test_the_metrics_of_one_evaluator_share_one_record_an_image(tmp_path, monkeypatch):
    path, images = write_set(tmp_path, 3)
    made = []
    monkeypatch.setattr(
        'custom_modules.evaluation.cell_metrics.measure_image',
        lambda image_id, *rest: made.append(image_id) or measure_image(image_id, *rest),
    )
    evaluator = Evaluator([{'type': kind, 'ann_file': str(path)} for kind in KINDS])
    evaluator.dataset_meta = {'classes': ('cell',)}
    for image_id, (_, masks, scores) in images.items():
        evaluator.process([sample(image_id, masks, scores, True)], {})
    found = evaluator.evaluate(len(images))
    assert made == list(images)
    assert {key.split('/')[0] for key in found} == {'pixel', 'count', 'instance', 'coco'}
    apart = [measure(kind, path, images) for kind in KINDS]
    assert found == pytest.approx({k: v for one in apart for k, v in one.items()}, nan_ok=True)


def write_crowded_set(folder):
    """Two images with 150 squares each, and shifted predictions of them."""
    rng = np.random.default_rng(5)
    coco = {'images': [], 'annotations': []}
    coco['categories'] = [{'id': 1, 'name': 'cell'}]
    samples = []
    for image_id in (7, 4):
        coco['images'].append({'id': image_id, 'file_name': 'a', 'height': 150, 'width': 200})
        true_map = np.zeros(CROWDED_SIZE, np.int32)
        for k in range(150):
            top, left = divmod(k, 15)
            true_map[top * 15 : top * 15 + 11, left * 13 : left * 13 + 10] = k + 1
        for k, rle in enumerate(encode_label_map(true_map)):
            top, left = divmod(k, 15)
            coco['annotations'].append(
                {'id': len(coco['annotations']) + 1, 'image_id': image_id, 'iscrowd': 0}
                | {'category_id': 1, 'segmentation': rle, 'area': 110}
                | {'bbox': [left * 13, top * 15, 10, 11]}
            )
        samples.append(crowded_sample(image_id, true_map, rng))
    path = folder / 'test.json'
    path.write_text(json.dumps(coco))
    return path, samples


def crowded_sample(image_id, true_map, rng):
    boxes, masks = [], []
    for k in range(1, 151):
        mask = np.roll(true_map == k, rng.integers(0, 3), 1)
        y, x = np.nonzero(mask)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        masks.append(encode_label_map(mask.astype(np.int32))[0])
    instances = InstanceData(
        bboxes=torch.tensor(np.array(boxes), dtype=torch.float32),
        labels=torch.zeros(150, dtype=torch.long),
        scores=torch.from_numpy(rng.random(150)),
        masks=masks,
    )
    return DetDataSample(
        metainfo={'img_id': image_id, 'ori_shape': CROWDED_SIZE}, pred_instances=instances
    )


def pycocotools_stats(path, samples, kind):
    results = []
    for sample in samples:
        found = sample.pred_instances
        for box, score, mask in zip(
            found.bboxes.tolist(), found.scores.tolist(), found.masks, strict=True
        ):
            item = {'image_id': sample.img_id, 'category_id': 1, 'score': score}
            if kind == 'segm':
                results.append(item | {'segmentation': mask})
            else:
                results.append(item | {'bbox': [*box[:2], box[2] - box[0], box[3] - box[1]]})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        peer = COCOeval(coco, coco.loadRes(results), kind)
        peer.params.maxDets = [1, 100, 1000]
        peer.evaluate()
        peer.accumulate()
    precision = peer.eval['precision'][..., 0, 0, 2]
    return [precision.mean(), precision[0].mean(), precision[5].mean()]


def test_agrees_with_pycocotools_on_crowded_images(tmp_path):
    path, samples = write_crowded_set(tmp_path)
    values = measure_samples('DenseCocoMetric', path, samples)
    for kind in ('bbox', 'segm'):
        expected = pycocotools_stats(path, samples, kind)
        found = [values[f'coco/{kind}_{item}'] for item in ('mAP', 'mAP_50', 'mAP_75')]
        assert found == pytest.approx(expected, abs=1e-9)
    assert all(type(value) is float for value in values.values())


def test_max_dets_is_pycocotools_s_limit(tmp_path):
    path, samples = write_crowded_set(tmp_path)
    limited = measure_samples('DenseCocoMetric', path, samples, metric='segm', max_dets=100)
    stock = measure_samples(
        'CocoMetric', path, samples, metric=['segm'], proposal_nums=[1, 10, 100]
    )
    for item in ('mAP', 'mAP_50', 'mAP_75'):
        assert limited[f'coco/segm_{item}'] == pytest.approx(stock[f'coco/segm_{item}'], abs=1e-3)


def test_hundred_detections_are_no_limit_as_they_are_in_the_stock_metric(tmp_path):
    path, samples = write_crowded_set(tmp_path)
    stock = measure_samples('CocoMetric', path, samples, metric=['segm'])
    dense = measure_samples('DenseCocoMetric', path, samples, metric=['segm'])
    assert stock.keys() == dense.keys()
    assert dense['coco/segm_mAP_50'] == pytest.approx(1)
    assert dense['coco/segm_mAP_50'] == stock['coco/segm_mAP_50']  # this one has no limit in either
    assert stock['coco/segm_mAP'] < dense['coco/segm_mAP'] * 0.7
    assert np.isnan(dense['coco/segm_mAP_l'])  # no large cell, which the stock metric calls -1
    assert stock['coco/segm_mAP_l'] == -1


def test_a_model_that_predicts_nothing_scores_zero(tmp_path):
    path, samples = write_crowded_set(tmp_path)
    for sample in samples:
        sample.pred_instances = sample.pred_instances[:0]
    values = measure_samples('DenseCocoMetric', path, samples)
    assert values['coco/segm_mAP'] == values['coco/bbox_mAP_50'] == 0


def test_wrong_settings_and_annotations_are_named(tmp_path):
    path, samples = write_crowded_set(tmp_path)
    with pytest.raises(UserError, match="metric has 'proposal'"):
        measure_samples('DenseCocoMetric', path, samples, metric='proposal')
    with pytest.raises(UserError, match="metric_items has 'AR@100'"):
        measure_samples('DenseCocoMetric', path, samples, metric_items=['AR@100'])
    samples[0].set_metainfo({'img_id': 99})
    with pytest.raises(UserError, match=r'no image with the id 99: .* another data set'):
        measure_samples('DenseCocoMetric', path, samples)
    del samples[1].pred_instances.masks
    with pytest.raises(UserError, match='the model predicts boxes but no masks'):
        measure_samples('DenseCocoMetric', path, samples[1:])


class Scripted(BaseMetric):
    """Gives one value after the other, whatever it sees."""

    def __init__(self, values):
        super().__init__()
        self.scripted = iter(values)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return {'coco/segm_mAP': next(self.scripted)}


class Doubling(BaseModel):
    """The least model that a runner trains."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        return {'loss': self.layer(inputs).sum()} if mode == 'loss' else [{}]


@pytest.mark.parametrize('values', [(np.nan, 0.2, np.nan), (np.nan, np.nan, np.nan)])
def test_an_average_precision_that_is_not_a_number_is_never_best(tmp_path, values):
    data = {'dataset': [torch.ones(1)], 'sampler': {'type': 'DefaultSampler'}, 'batch_size': 1}
    runner = Runner(
        Doubling(),
        str(tmp_path),
        train_dataloader=data,
        val_dataloader=data,
        train_cfg={'by_epoch': True, 'max_epochs': 3},
        val_cfg={},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
        val_evaluator=Evaluator(Scripted(values)),
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'save_best': 'coco/segm_mAP'}},
        experiment_name=f'nan_{np.isnan(values).sum()}',
        default_scope='mmengine',
    )
    runner.train()
    best = [file.name for file in tmp_path.glob('best_*')]
    assert best == ['best_coco_segm_mAP_epoch_2.pth'] * (not np.isnan(values).all())
    logged = [
        entry['coco/segm_mAP']
        for line in next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()
        if 'coco/segm_mAP' in (entry := json.loads(line))
    ]
    assert logged == pytest.approx(list(values), nan_ok=True)


def one_of_two(rank, folder):
    """A process that sees every second image, one of them twice as under a padding sampler."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo')
    path, images = write_set(folder / f'set{rank}', 5)
    ids = list(images)
    values = {}
    for kind in KINDS:
        metric = METRICS.build({'type': kind, 'ann_file': str(path)})
        metric.collect_dir = str(folder / kind)
        metric.dataset_meta = {'classes': ('cell',)}
        for image_id in (ids + ids[:1])[rank::2]:
            _, masks, scores = images[image_id]
            metric.process({}, [sample(image_id, masks, scores, True).to_dict()])
        values |= metric.evaluate(len(ids))
    (folder / f'rank{rank}.json').write_text(json.dumps(values))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_values_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    shared = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port), 'WORLD_SIZE': '2'}
    processes = []
    for rank in range(2):
        environment = os.environ | shared | {'RANK': str(rank), 'LOCAL_RANK': str(rank)}
        processes.append(
            subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)], env=environment)
        )
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    path, images = write_set(tmp_path, 5)
    single = {}
    for kind in KINDS:
        single |= measure(kind, path, images)
    for rank in range(2):
        assert json.loads((tmp_path / f'rank{rank}.json').read_text()) == pytest.approx(
            single, abs=0, rel=0, nan_ok=True
        )


if __name__ == '__main__':
    one_of_two(int(sys.argv[1]), Path(sys.argv[2]))
