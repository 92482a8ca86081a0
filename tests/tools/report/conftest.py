"""A small made-up run, whole; and what its page and tables hold."""

import csv
import hashlib
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from cellkit.files.annotations import GroundTruth
from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.count_interval import CountModel
from cellkit.metrics.records import values
from cellkit.rle import encode_label_map
from tools.evaluate.certainty import certainty, interval_columns
from tools.evaluate.session import image_row
from tools.runs.predictions import read_predictions

SIZE = (80, 120)
CHECKPOINT = b'not opened'
CONFIG = "train_cfg = dict(type='IterBasedTrainLoop', max_iters=200, val_interval=100)\n"
LOG = """2026/01/01 10:00:00 - mmengine - INFO -
System environment:
    Python: 3.11.7 (main)
    CUDA available: False
    PyTorch: 2.12.1
Runtime environment:
    seed: 42
    GPU number: 1
2026/01/01 10:30:05 - mmengine - INFO - Iter(train) [200/200]
"""


def rectangles(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    label_map = np.zeros(SIZE, np.int32)
    for k, (x1, y1, x2, y2) in enumerate(boxes, 1):
        label_map[y1:y2, x1:x2] = k
    return label_map


# One cell found, two merged, one split, one missed; one prediction spurious.
TRUE = rectangles(
    (5, 5, 25, 25), (35, 5, 55, 25), (55, 5, 75, 25), (85, 5, 105, 25), (5, 50, 25, 70)
)
FOUND = rectangles(
    (5, 5, 25, 25), (35, 5, 75, 26), (85, 5, 95, 24), (95, 5, 105, 24), (60, 50, 80, 70)
)


def coco_file(file: Path) -> None:
    images, annotations = [], []
    for k, label_map in enumerate((TRUE, TRUE[::-1], TRUE[:, ::-1]), 1):
        name = f'test/original/{k}.png'
        images.append({'id': k, 'file_name': name, 'height': SIZE[0], 'width': SIZE[1]})
        for rle in encode_label_map(np.ascontiguousarray(label_map)):
            item = {'id': len(annotations) + 1, 'image_id': k, 'category_id': 1, 'iscrowd': 0}
            box = cv2.boundingRect(np.uint8(label_map == len(annotations) % 5 + 1))
            annotations.append(item | {'segmentation': rle, 'area': 400, 'bbox': box})
        path = file.parent.parent / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((*SIZE, 3), 200, np.uint8))
    info = {'fingerprint': 'sha256:abc', 'demo': True, 'seed': 7, 'val_fraction': 0.3}
    content = {'info': info, 'images': images, 'annotations': annotations, 'categories': []}
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))


def write_evaluation(run: Path, annotations: Path) -> None:
    coco_file(annotations)
    results = []
    for k, label_map in enumerate((FOUND, TRUE[::-1], FOUND[:, ::-1]), 1):
        for rle in encode_label_map(np.ascontiguousarray(label_map)):
            results.append({'image_id': k, 'segmentation': rle, 'bbox': [0, 0, 9, 9], 'score': 0.9})
    folder = run / 'predictions' / 'best'
    folder.mkdir(parents=True)
    (folder / 'test.json').write_text(json.dumps(results))
    digest = hashlib.sha256(CHECKPOINT).hexdigest()
    about = {'part': 'test', 'image_ids': [1, 2, 3], 'checkpoint_sha256': digest}
    (folder / 'test.about.json').write_text(json.dumps(about))
    records = read_predictions(folder / 'test.json').measure(GroundTruth(annotations))
    choice = {'value': 0.5, 'low': 0.5, 'high': 0.5, 'thresholds': [0.4, 0.5]}
    choice |= {'relative_error': [0.2, 0.1], 'dice_pooled': [0.8, 0.9]}
    fitted = Calibration(1.5, CountModel(1.02, 1.3, 1e-4, 14), 14, 900)
    sure = certainty(records, None, 0.5, fitted)
    rows = zip(records, interval_columns(sure, len(records)), strict=True)
    evaluation = {
        'part': 'test',
        'checkpoint': 'best_coco_segm_mAP_iter_100.pth',
        'checkpoint_sha256': digest,
        'checkpoint_chosen': 'which training marked as best on validation',
        'annotations': str(annotations),
        'annotations_sha256': hashlib.sha256(annotations.read_bytes()).hexdigest(),
        'number_of_images': 3,
        'number_of_cells': 15,
        'predictions': 'predictions/best/test.json',
        'score_thr': 0.5,
        'score_thr_source': 'chosen on validation',
        'validation': {'pixel/dice': 0.91},
        'threshold_choice': choice,
        'calibration': sure,
        'figures': values(records, 0.5),
        'intervals': {'pixel/dice': [0.8, 0.95], 'pixel/iou': [None, None]},
        'bootstrap': {'samples': 10, 'seed': 0, 'level': 0.95},
        'images': [image_row(record, 0.5) | ends for record, ends in rows],
        'notes': ['a note with <angles> & all'],
    }
    (run / 'evaluation.json').write_text(json.dumps(evaluation))


@pytest.fixture
def run(tmp_path: Path, log) -> Path:
    """A finished run."""
    folder = tmp_path / 'work_dirs' / 'some_run'
    entries = [log.train(50), log.train(100), log.val(0.4) | {'val_loss': 0.7}]
    entries += [log.train(150), log.train(200), log.val(0.5) | {'val_loss': 0.6}]
    log.write(folder, '20260101_100000', entries)
    (folder / '20260101_100000' / '20260101_100000.log').write_text(LOG)
    (folder / 'cells.py').write_text(CONFIG)
    (folder / 'best_coco_segm_mAP_iter_100.pth').write_bytes(CHECKPOINT)
    (folder / 'every_epoch_on_test.csv').write_text(
        'checkpoint,coco/segm_mAP,pixel/dice,count/mae\niter_100,0.5,0.9,3\n'
    )
    write_evaluation(folder, tmp_path / 'data' / 'annotations' / 'test.json')
    return folder


@pytest.fixture
def config_text() -> str:
    """The run's config."""
    return CONFIG


class Page(HTMLParser):
    """Collects what a page loads and links, and checks that its elements are closed."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ''
        self.feed(file.read_text(encoding='utf-8'))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = dict(attrs)
        self.loaded += [attributes[key] for key in ('src', 'srcset', 'data') if key in attributes]
        self.ids += [attributes['id']] if 'id' in attributes else []
        assert tag not in ('script', 'link', 'iframe')
        if 'href' in attributes:
            self.links.append(attributes['href'])
        if tag not in ('meta', 'img', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def read_page() -> type[Page]:
    """Reads an HTML file."""
    return Page


@pytest.fixture
def read_rows() -> Callable[[Path], list[dict[str, str]]]:
    """Reads a CSV file."""

    def read(file: Path) -> list[dict[str, str]]:
        with file.open(newline='', encoding='utf-8-sig') as lines:
            return list(csv.DictReader(lines))

    return read
