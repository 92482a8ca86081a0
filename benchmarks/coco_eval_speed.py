"""Time of COCO evaluation: pycocotools, faster-coco-eval and cellkit on 12 images x 300 detections.

    python -m benchmarks.coco_eval_speed [--rounds 5]

Crowded synthetic images: 190 cells each, 300 detections of them shifted by a few pixels. The three
are timed in turn in one process; the table gives the median ratio to pycocotools and the largest
difference of any precision value. faster-coco-eval is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import statistics
import time

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cellkit.metrics.average_precision import match_masks, precision_recall
from cellkit.rle import encode_crops

IMAGES, CELLS, DETECTIONS, SIZE = 12, 190, 300, (1200, 1600)


def make_data(seed: int = 0) -> tuple[dict, list[dict]]:
    """COCO ground truth and results of crowded round cells."""
    rng = np.random.default_rng(seed)
    truth = {'info': {}, 'images': [], 'annotations': []}
    truth['categories'] = [{'id': 1, 'name': 'cell'}]
    results = []
    for image_id in range(1, IMAGES + 1):
        truth['images'].append({'id': image_id, 'height': SIZE[0], 'width': SIZE[1]})
        grid = np.array([(x, y) for y in range(10, 1090, 82) for x in range(10, 1490, 84)])
        place = grid[rng.permutation(len(grid))[:CELLS]] + rng.integers(-6, 7, (CELLS, 2))
        radius = rng.integers(28, 42, CELLS)
        for rle, r in zip(_discs(place, radius), radius, strict=True):
            item = {'id': len(truth['annotations']) + 1, 'image_id': image_id, 'iscrowd': 0}
            item |= {'category_id': 1, 'segmentation': rle, 'bbox': [0, 0, 1, 1]}
            truth['annotations'].append(item | {'area': float(np.count_nonzero(_disc(r)))})
        near = rng.integers(0, CELLS, DETECTIONS)
        shifted = np.clip(place[near] + rng.integers(-9, 10, (DETECTIONS, 2)), 0, 1100)
        found = _discs(shifted, radius[near] + rng.integers(-3, 4, DETECTIONS))
        for rle, score in zip(found, rng.random(DETECTIONS), strict=True):
            item = {'image_id': image_id, 'category_id': 1, 'score': float(score)}
            results.append(item | {'segmentation': rle})
    return truth, results


def _disc(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius


def _discs(corners: np.ndarray, radii: np.ndarray) -> list[dict]:
    crops = [_disc(int(radius)) for radius in radii]
    return encode_crops(crops, corners[:, 0], corners[:, 1], *SIZE)


def with_library(coco_class: type, eval_class: type, truth: dict, results: list) -> np.ndarray:
    """(A, T, 101) precision of a COCO library."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_class()
        coco.dataset = truth
        coco.createIndex()
        run = eval_class(coco, coco.loadRes(results), 'segm')
        run.params.maxDets = [1, 100, 1000]
        run.evaluate()
        run.accumulate()
    return run.eval['precision'][:, :, 0, :, 2].transpose(2, 0, 1)


def with_cellkit(truth: dict, results: list) -> np.ndarray:
    """(A, T, 101) precision of this project."""
    images = []
    for image in truth['images']:
        true = [item for item in truth['annotations'] if item['image_id'] == image['id']]
        found = [item for item in results if item['image_id'] == image['id']]
        images.append(
            match_masks(
                [item['segmentation'] for item in found],
                np.array([item['score'] for item in found]),
                [item['segmentation'] for item in true],
                np.array([item['area'] for item in true]),
            )
        )
    precision = precision_recall(images).precision
    return np.where(np.isnan(precision), -1, precision)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5)
    rounds = parser.parse_args().rounds
    methods = {
        'pycocotools': lambda *data: with_library(COCO, COCOeval, *data),
        'cellkit': with_cellkit,
    }
    with contextlib.suppress(ImportError):
        from faster_coco_eval import COCO as FasterCOCO
        from faster_coco_eval import COCOeval_faster

        methods['faster-coco-eval'] = lambda *data: with_library(FasterCOCO, COCOeval_faster, *data)
    data = make_data()
    seconds = {name: [] for name in methods}
    values = {}
    for _ in range(rounds):
        for name, method in methods.items():
            mine = copy.deepcopy(data)
            start = time.perf_counter()
            values[name] = method(*mine)
            seconds[name].append(time.perf_counter() - start)
    print(f'{IMAGES} images x {DETECTIONS} detections, {CELLS} cells each, segm, {rounds} rounds')
    print('| | seconds (median) | times faster | largest difference | mAP |')
    print('|---|---|---|---|---|')
    for name in methods:
        pairs = zip(seconds['pycocotools'], seconds[name], strict=True)
        ratio = statistics.median(first / second for first, second in pairs)
        gap = np.abs(values[name] - values['pycocotools']).max()
        median = statistics.median(seconds[name])
        print(f'| {name} | {median:.3f} | {ratio:.1f} | {gap:.1e} | {values[name][0].mean():.6f} |')


if __name__ == '__main__':
    main()
