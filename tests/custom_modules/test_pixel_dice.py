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
from mmengine.structures import InstanceData

import custom_modules.counting
import custom_modules.dense_coco_metric
import custom_modules.instance_metrics
import custom_modules.pixel_dice  # noqa: F401
from cellkit.metrics.counting import count_figures
from cellkit.metrics.pixel import mask_counts, pixel_figures
from cellkit.metrics.summary import instance_counts, instance_figures
from cellkit.overlaps import keep_labels
from cellkit.rle import encode_label_map
from cellkit.visible import visible_cells

SIZE = (40, 50)
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
    return DetDataSample(metainfo=about, pred_instances=predicted).to_dict()


def to_rles(masks):
    return [encode_label_map(mask.astype(np.int32), 1)[0] for mask in masks]


def unions(masks, scores, threshold):
    """Union of the predictions that are left when better ones have taken their pixels."""
    label_map, kept = visible_cells(to_rles(masks), scores, SIZE)
    return np.isin(label_map, 1 + np.flatnonzero(scores[kept] >= threshold)), kept


def measure(kind, path, images, as_rle=True, **options):
    metric = METRICS.build({'type': kind, 'ann_file': str(path), **options})
    metric.dataset_meta = {'classes': ('cell',)}
    for image_id, (_, masks, scores) in images.items():
        metric.process({}, [sample(image_id, masks, scores, as_rle)])
    return metric.evaluate(len(images))


@pytest.mark.parametrize('as_rle', [True, False])
def test_figures_are_those_of_the_unions(tmp_path, as_rle):
    path, images = write_set(tmp_path, 5)
    figures = measure('PixelDice', path, images, as_rle, score_thrs=THRESHOLDS)
    for threshold, suffix in ((0.5, ''), (0.25, '_thr0.25'), (0.75, '_thr0.75')):
        counts = [
            mask_counts(true > 0, unions(masks, scores, threshold)[0])
            for true, masks, scores in images.values()
        ]
        for name, value in pixel_figures(np.array(counts)).items():
            assert figures[f'pixel/{name}{suffix}'] == pytest.approx(value, abs=1e-12)
            assert 0 < value < 1
    assert all(type(value) is float for value in figures.values())


def test_counts_are_those_above_the_threshold_and_the_best_is_found(tmp_path):
    path, images = write_set(tmp_path, 5)
    thresholds = np.linspace(0.05, 0.95, 19)
    figures = measure('CountError', path, images, score_thrs=thresholds, choose=True)
    true = np.full(5, 6)
    kept = [scores[unions(masks, scores, 0)[1]] for _, masks, scores in images.values()]
    pred = np.array([[(s >= t).sum() for t in (0.5, *thresholds)] for s in kept])
    expected = count_figures(true, pred)
    for name, value in expected.items():
        assert figures[f'count/{name}'] == pytest.approx(value[0])
    assert figures['count/best_relative_error'] == expected['relative_error'].min()
    chosen = np.argmin(np.abs(thresholds - figures['count/best_score_thr'])) + 1
    assert expected['relative_error'][chosen] == expected['relative_error'].min()


def test_instances_are_those_above_the_threshold(tmp_path):
    path, images = write_set(tmp_path, 5)
    figures = measure('InstanceMetrics', path, images, score_thr=0.3, boundary_tolerance=1)
    records = []
    for true, masks, scores in images.values():
        label_map, kept = visible_cells(to_rles(masks), scores, SIZE)
        pred_map, number = keep_labels(label_map, scores[kept] >= 0.3)
        records.append(instance_counts(true, pred_map, 6, number, boundary_tolerance=1))
    expected = instance_figures(records)
    assert figures == {f'instance/{name}': value for name, value in expected.items()}
    assert 0 < figures['instance/pq'] < 1


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
    figures = measure('CountError', path, nothing, score_thrs=[0.9], choose=True)
    assert figures['count/best_score_thr'] == 0.5
    assert figures['count/best_relative_error'] == 1


def test_annotations_of_another_data_set_are_named(tmp_path):
    path, images = write_set(tmp_path, 1)
    with pytest.raises(ValueError, match=r'test\.json has no image with the id 99: .* another'):
        measure('PixelDice', path, {99: images[10]})
    (tmp_path / 'broken.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match=r'broken\.json is not a COCO annotation file'):
        measure('PixelDice', tmp_path / 'broken.json', {})
    with pytest.raises(FileNotFoundError, match='run `make prepare`'):
        measure('PixelDice', tmp_path / 'absent.json', {})


def one_of_two(rank, folder):
    """A process that sees every second image, one of them twice as under a padding sampler."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo')
    path, images = write_set(folder / f'set{rank}', 5)
    ids = list(images)
    figures = {}
    for kind in KINDS:
        metric = METRICS.build({'type': kind, 'ann_file': str(path)})
        metric.collect_dir = str(folder / kind)
        metric.dataset_meta = {'classes': ('cell',)}
        for image_id in (ids + ids[:1])[rank::2]:
            _, masks, scores = images[image_id]
            metric.process({}, [sample(image_id, masks, scores, True)])
        figures |= metric.evaluate(len(ids))
    (folder / f'rank{rank}.json').write_text(json.dumps(figures))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(tmp_path):
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
        assert json.loads((tmp_path / f'rank{rank}.json').read_text()) == single


if __name__ == '__main__':
    one_of_two(int(sys.argv[1]), Path(sys.argv[2]))
