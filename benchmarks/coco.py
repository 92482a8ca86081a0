"""Time of COCO evaluation: pycocotools, faster-coco-eval and cellkit on crowded synthetic images.

Each image holds 190 cells, of which 300 detections are shifted by a few pixels. The libraries take
turns in one process; the table gives the median ratio to pycocotools and the largest difference of
any precision value. faster-coco-eval is left out where it is not installed.
"""

from __future__ import annotations

import contextlib
import copy
import io
from functools import partial
from statistics import median

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.harness import Way, in_turn, machine, markdown_table
from cellkit.metrics.average_precision import match_masks, precision_recall
from cellkit.rle import encode_crops

CELLS, DETECTIONS, SIZE = 190, 300, (1200, 1600)


def make_data(images: int, seed: int = 0) -> tuple[dict, list[dict]]:
    """COCO ground truth and results of crowded round cells."""
    rng = np.random.default_rng(seed)
    truth = dict(info={}, images=[], annotations=[], categories=[{'id': 1, 'name': 'cell'}])
    results = []
    for image_id in range(1, images + 1):
        truth['images'].append({'id': image_id, 'height': SIZE[0], 'width': SIZE[1]})
        grid = np.array([(x, y) for y in range(10, 1090, 82) for x in range(10, 1490, 84)])
        place = grid[rng.permutation(len(grid))[:CELLS]] + rng.integers(-6, 7, (CELLS, 2))
        radius = rng.integers(28, 42, CELLS)
        cell = {'image_id': image_id, 'category_id': 1}
        for rle, r in zip(_discs(place, radius), radius, strict=True):
            number, area = len(truth['annotations']) + 1, float(np.count_nonzero(_disc(r)))
            item = cell | {'id': number, 'iscrowd': 0, 'bbox': [0, 0, 1, 1], 'area': area}
            truth['annotations'].append(item | {'segmentation': rle})
        near = rng.integers(0, CELLS, DETECTIONS)
        shifted = np.clip(place[near] + rng.integers(-9, 10, (DETECTIONS, 2)), 0, 1100)
        found = _discs(shifted, radius[near] + rng.integers(-3, 4, DETECTIONS))
        for rle, score in zip(found, rng.random(DETECTIONS), strict=True):
            results.append(cell | {'score': float(score), 'segmentation': rle})
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
        evaluation = eval_class(coco, coco.loadRes(results), 'segm')
        evaluation.params.maxDets = [1, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval['precision'][:, :, 0, :, 2].transpose(2, 0, 1)


def with_cellkit(truth: dict, results: list) -> np.ndarray:
    """(A, T, 101) precision of this project."""
    images = []
    for image in truth['images']:
        true = [item for item in truth['annotations'] if item['image_id'] == image['id']]
        found = [item for item in results if item['image_id'] == image['id']]
        found_rles, true_rles = ([item['segmentation'] for item in part] for part in (found, true))
        scores = np.array([item['score'] for item in found])
        areas = np.array([item['area'] for item in true])
        images.append(match_masks(found_rles, scores, true_rles, areas))
    precision = precision_recall(images).precision
    return np.where(np.isnan(precision), -1, precision)


def run(images: int = 12, rounds: int = 5) -> str:
    """Time the libraries on the same data."""
    methods = {'pycocotools': partial(with_library, COCO, COCOeval), 'cellkit': with_cellkit}
    with contextlib.suppress(ImportError):
        from faster_coco_eval import COCO as FasterCOCO
        from faster_coco_eval import COCOeval_faster

        methods['faster-coco-eval'] = partial(with_library, FasterCOCO, COCOeval_faster)
    data = make_data(images)
    # The libraries write into what they are given: each run gets a copy.
    ways = {name: Way(method, lambda: copy.deepcopy(data)) for name, method in methods.items()}
    seconds, precisions = in_turn(ways, rounds, keep=True, label='rounds')
    rows = []
    for name, precision in precisions.items():
        pairs = zip(seconds['pycocotools'], seconds[name], strict=True)
        ratio = median(first / second for first, second in pairs)
        gap = np.abs(precision - precisions['pycocotools']).max()
        spent, value = f'{median(seconds[name]):.3f}', f'{precision[0].mean():.6f}'
        rows.append([name, spent, f'{ratio:.1f}', f'{gap:.1e}', value])
    header = ['', 'seconds (median)', 'times faster', 'largest difference', 'mAP']
    about = f'{images} images x {DETECTIONS} detections, {CELLS} cells each, segm, {rounds} rounds'
    return f'{about}. {machine("numpy")}.\n\n{markdown_table(header, rows)}'
