"""The report of a small made-up run: whole, half-finished, damaged, and of nothing."""

import csv
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.metrics.evaluation import figures, measure_image
from cellkit.metrics.ground_truth import GroundTruth
from cellkit.rle import encode_label_map
from tools.evaluate import image_row
from tools.report import main
from tools.report_figures import OUTCOME_COLOURS
from tools.report_pictures import best_and_worst
from tools.training_log import read_training_log, series

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


def train_entry(step: int, **more: float) -> dict:
    loss = 100 / (step + 10)
    return {'loss': loss, 'loss_mask': loss / 2, 'lr': 0.1, 'time': 0.5, 'step': step} | more


def val_entry(value: float, step: int = 0) -> dict:
    return {'coco/segm_mAP': value, 'pixel/dice_pooled': value, 'time': 9.0, 'step': step}


def write_log(run: Path, stamp: str, entries: list[dict], tail: str = '') -> None:
    folder = run / stamp / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, entries)) + '\n' + tail)


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
    about = {'image_ids': [1, 2, 3], 'checkpoint_sha256': digest}
    (folder / 'test.about.json').write_text(json.dumps(about))
    truth = GroundTruth(annotations)
    records = [
        measure_image(k, truth[k], [item for item in results if item['image_id'] == k], [0.5])
        for k in (1, 2, 3)
    ]
    values = figures(records)
    choice = {'thresholds': [0.4, 0.5], 'relative_error': [0.2, 0.1], 'dice_pooled': [0.8, 0.9]}
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
        'figures': values,
        'intervals': {'pixel/dice': [0.8, 0.95]},
        'bootstrap': {'samples': 10, 'seed': 0, 'level': 0.95},
        'images': [image_row(record) for record in records],
        'notes': ['a note with <angles> & all'],
    }
    (run / 'evaluation.json').write_text(json.dumps(evaluation))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run."""
    folder = tmp_path / 'work_dirs' / 'some_run'
    entries = [train_entry(50), train_entry(100), val_entry(0.4) | {'val_loss': 0.7}]
    entries += [train_entry(150), train_entry(200), val_entry(0.5) | {'val_loss': 0.6}]
    write_log(folder, '20260101_100000', entries)
    (folder / '20260101_100000' / '20260101_100000.log').write_text(LOG)
    (folder / 'cells.py').write_text(CONFIG)
    (folder / 'best_coco_segm_mAP_iter_100.pth').write_bytes(CHECKPOINT)
    (folder / 'every_epoch_on_test.csv').write_text(
        'checkpoint,coco/segm_mAP,pixel/dice,count/mae\niter_100,0.5,0.9,3\n'
    )
    write_evaluation(folder, tmp_path / 'data' / 'annotations' / 'test.json')
    return folder


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


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline='') as lines:
        return list(csv.DictReader(lines))


def test_whole_run(run: Path, capsys) -> None:
    assert main([str(run)]) == 0
    assert 'not there yet' not in capsys.readouterr().out
    out = run / 'report'
    page = Page(out / 'report.html')
    assert len(page.loaded) == 6 + 3  # figures and pictures
    assert all(source.startswith('data:image/') for source in page.loaded)
    assert 'url(' not in (out / 'report.html').read_text()
    for link in page.links:
        assert link[1:] in page.ids if link.startswith('#') else (out / link).is_file(), link
    assert {file.name for file in out.iterdir()} == {
        "report.html", "config.py", "errors.csv",
        "figure_errors.png", "figure_images.png", "figure_loss.png", "figure_metrics.png",
        "figure_precision_recall.png", "figure_threshold.png",
        "image_best_1.jpg", "image_best_2.jpg", "image_worst_1.jpg",
        "table_errors.csv", "table_errors.md", "table_figures.csv", "table_figures.md",
        "table_images.csv", "table_images.md", "table_every_epoch.csv", "table_every_epoch.md",
    }  # fmt: skip
    for words in (
        "a note with <angles> & all", "synthetic demo smears", "sha256:abc", "30 min 05 s",
        "42 (drawn, in the log)", "2.12.1", "200 of 200 iterations", "max_iters=200",
    ):  # fmt: skip
        assert words in page.words, words
    for file in out.glob('*.png'):
        assert cv2.imread(str(file)).shape[1] > 1000


def test_errors_are_the_ones_that_were_made(run: Path) -> None:
    assert main([str(run)]) == 0
    errors = [row for row in rows(run / 'report' / 'errors.csv') if row['image'].endswith('1.png')]
    found = sorted((row['cell'], row['error'], row['x'], row['y']) for row in errors)
    assert found == [
        ('predicted', 'merging', '55.0', '15.5'),
        ('predicted', 'piece of a split cell', '100.0', '14.5'),
        ('predicted', 'piece of a split cell', '90.0', '14.5'),
        ('predicted', 'spurious', '70.0', '60.0'),
        ('true', 'merged', '45.0', '15.0'),
        ('true', 'merged', '65.0', '15.0'),
        ('true', 'missed', '15.0', '60.0'),
        ('true', 'split', '95.0', '15.0'),
    ]
    table = {row['outcome']: row for row in rows(run / 'report' / 'table_errors.csv')}
    assert table['found']['true cells'] == '7 (46.7%)'  # 1 + 5 + 1 of 15
    assert table['missed / spurious']['true cells'] == '2 (13.3%)'
    assert table['merged / merging']['predicted cells'] == '2 (13.3%)'


def test_figures_stand_beside_those_of_the_first_report(run: Path) -> None:
    assert main([str(run)]) == 0
    table = {row['figure']: row for row in rows(run / 'report' / 'table_figures.csv')}
    assert table['pixel IoU']['first report'] == '0.8719'
    assert table['mask AP, IoU 0.50:0.95']['first report'] == '0.753'
    dice = table['pixel Dice']
    assert (dice['95 % interval'], dice['validation']) == ('0.8000 to 0.9500', '0.9100')
    assert 'bug' in dice['averaged over']
    value = json.loads((run / 'evaluation.json').read_text())['figures']['pixel/dice']
    assert dice['test'] == f'{value:.4f}'


def test_test_figures_by_checkpoint_stand_beside_those_of_the_first_report(run: Path) -> None:
    assert main([str(run)]) == 0
    ours, first = rows(run / 'report' / 'table_every_epoch.csv')
    assert ours['checkpoint'] == 'iter_100'
    assert first['checkpoint'].startswith('first report')
    values = [(row['mask AP, IoU 0.50:0.95'], row['pixel Dice']) for row in (ours, first)]
    assert values == [('0.5000', '0.9000'), ('0.753', '1.0')]


def test_an_evaluation_of_an_earlier_checkpoint_of_that_name_is_not_shown(run, capsys) -> None:
    """As after a second `make train` into the same folder."""
    (run / 'best_coco_segm_mAP_iter_100.pth').write_bytes(b'trained again')
    assert main([str(run)]) == 0
    assert 'is of an earlier best_coco_segm_mAP_iter_100.pth' in capsys.readouterr().out
    assert not (run / 'report' / 'table_figures.csv').exists()


def test_predictions_of_another_checkpoint_are_not_mixed_with_the_figures(run, capsys) -> None:
    side = run / 'predictions/best/test.about.json'
    side.write_text(json.dumps(json.loads(side.read_text()) | {'checkpoint_sha256': 'other'}))
    assert main([str(run)]) == 0
    assert 'of another checkpoint than the figures' in capsys.readouterr().out
    assert not (run / 'report' / 'errors.csv').exists()


def test_what_mim_test_left_in_the_folder_is_not_training(run: Path) -> None:
    folder = run / '20260103_100000'
    write_log(run, folder.name, [{'coco/segm_mAP': 0.9, 'time': 1.0, 'step': 0}])
    folder.joinpath('x.log').write_text(
        '2026/01/03 10:00:00 - mmengine - INFO - Iter(test) [1/1]\n'
        '2026/01/03 19:00:00 - mmengine - INFO - Iter(test) [1/1]\n    seed: 99\n'
    )
    (run / 'cells.py').write_text('made_by = "mim test"\n')
    (run / '20260101_100000' / 'vis_data' / 'config.py').write_text(CONFIG)
    log = read_training_log(run)
    assert (log.starts, log.environment['seed']) == (1, '42')
    assert series(log.val, 'coco/segm_mAP')[1] == [0.4, 0.5]
    assert log.wall_time.total_seconds() == 30 * 60 + 5
    assert main([str(run)]) == 0
    assert (run / 'report' / 'config.py').read_text() == CONFIG


def test_a_run_whose_last_steps_were_not_logged_is_finished(run: Path, capsys) -> None:
    (run / 'cells.py').write_text(CONFIG.replace('200', '208'))
    (run / 'iter_208.pth').write_bytes(b'')
    assert main([str(run)]) == 0
    assert 'the rest of training' not in capsys.readouterr().out


def test_half_finished_run(tmp_path: Path, capsys) -> None:
    """Killed before its first validation, in the middle of a line."""
    run = tmp_path / 'half'
    write_log(run, '20260101_100000', [train_entry(10), train_entry(20)], '{"loss": 0.3, "st')
    (run / 'cells.py').write_text(CONFIG)
    assert main([str(run)]) == 0
    said = capsys.readouterr().out
    for words in (
        'training, which is at iteration 20 of 200',
        f'make train CONFIG={run}/cells.py WORK_DIR={run} RESUME=1',
        'the first validation (every 100 iterations)',
        'a checkpoint',
        f'make evaluate RUN={run}, once there is a checkpoint',
    ):
        assert words in said, words
        assert words in Page(run / 'report' / 'report.html').words, words
    assert 'cut off and were left out: 1.' in Page(run / 'report' / 'report.html').words
    names = {file.name for file in (run / 'report').iterdir()}
    assert names == {'report.html', 'figure_loss.png', 'config.py'}


def test_parts_that_are_no_longer_made_go_away(run: Path) -> None:
    assert main([str(run)]) == 0
    (run / 'report' / 'my notes.txt').write_text('mine')
    (run / 'evaluation.json').unlink()
    assert main([str(run)]) == 0
    names = {file.name for file in (run / 'report').iterdir()}
    assert names == {
        "report.html", "figure_loss.png", "figure_metrics.png", "config.py", "my notes.txt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda run: (run / 'evaluation.json').write_text('{'), "evaluation.json can't be read"),
        (
            lambda run: (run / 'predictions/best/test.json').unlink(),
            "the predictions aren't there or can't be read; run make evaluate",
        ),
        (
            lambda run: (run.parents[1] / 'data/annotations/test.json').write_text('{}'),
            'the annotations have changed since the evaluation',
        ),
        (
            lambda run: (run.parents[1] / 'data/annotations/test.json').unlink(),
            'there is no such annotation file',
        ),
        (
            lambda run: [f.unlink() for f in (run.parents[1] / 'data/images').rglob('*.png')],
            'can be read',
        ),
        (lambda run: (run / 'cells.py').write_text('train_cfg = '), "cells.py can't be read"),
    ],
)
def test_what_is_damaged_is_named_and_the_rest_is_shown(damage, words, run, capsys) -> None:
    damage(run)
    assert main([str(run)]) == 0
    assert words in capsys.readouterr().out
    page = Page(run / 'report' / 'report.html')
    assert words in page.words
    assert len(page.loaded) >= 2


def test_nothing_was_predicted(run: Path) -> None:
    (run / 'predictions/best/test.json').write_text('[]')
    evaluation = json.loads((run / 'evaluation.json').read_text())
    evaluation['figures'] = dict.fromkeys(evaluation['figures'])
    evaluation['intervals'] = {}
    evaluation["images"] = [
        dict.fromkeys(row) | {key: row[key] for key in ("image_id", "file_name", "true")}
        | {"predicted": 0}
        for row in evaluation["images"]
    ]  # fmt: skip
    (run / 'evaluation.json').write_text(json.dumps(evaluation))
    assert main([str(run)]) == 0
    table = {row['outcome']: row for row in rows(run / 'report' / 'table_errors.csv')}
    assert table['missed / spurious']['true cells'] == '15 (100.0%)'
    assert table['missed / spurious']['predicted cells'] == '0 (0.0%)'


def test_evaluation_of_a_checkpoint_that_training_has_replaced(run: Path, capsys) -> None:
    old = run / 'best_coco_segm_mAP_iter_100.pth'
    old.rename(run / 'best_coco_segm_mAP_iter_200.pth')
    assert main([str(run)]) == 0
    said = capsys.readouterr().out
    assert 'the evaluation of best_coco_segm_mAP_iter_200.pth, as the one shown is of' in said


@pytest.mark.parametrize('kind', ['missing', 'empty', 'no run'])
def test_nothing_there(kind: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'work_dirs' / 'empty').mkdir(parents=True)
    arguments = {'missing': ['work_dirs/x'], 'empty': ['work_dirs/empty'], 'no run': []}[kind]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    assert re.match(r'report: work_dirs\S*: .*; .*\.$', said)
    assert list(tmp_path.rglob('*.html')) == []


def test_newest_run_needs_no_checkpoint(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(Path('work_dirs/young'), '20260101_100000', [train_entry(10)])
    assert main([]) == 0
    assert 'run: work_dirs/young (the newest)' in capsys.readouterr().out
    assert Path('work_dirs/young/report/report.html').is_file()


def test_resumed_run_is_one_curve(tmp_path: Path) -> None:
    entries = [train_entry(50), train_entry(100), val_entry(0.4), train_entry(150)]
    write_log(tmp_path, '20260101_100000', entries)
    again = [train_entry(125, memory=2048), train_entry(150, memory=1024), val_entry(0.6)]
    write_log(tmp_path, '20260102_100000', again)
    log = read_training_log(tmp_path)
    assert series(log.train, 'loss')[0] == [50, 100, 125, 150]
    assert series(log.val, 'coco/segm_mAP') == ([100, 150], [0.4, 0.6])
    assert (log.starts, log.memory_mb, log.step_seconds) == (2, 2048, 75)


def test_a_validation_stands_at_the_step_that_was_logged(tmp_path: Path) -> None:
    entries = [train_entry(25), train_entry(50), val_entry(0.4, 60), train_entry(75)]
    write_log(tmp_path, '20260101_100000', entries)
    assert series(read_training_log(tmp_path).val, 'coco/segm_mAP')[0] == [60]


def test_training_data_and_memory_are_in_the_log(run: Path) -> None:
    digest = 'ab' * 32
    log = run / '20260101_100000' / '20260101_100000.log'
    log.write_text(
        f'{LOG}2026/01/01 10:30:05 - mmengine - INFO - Training data: my data/train.json, SHA-256 '
        f'{digest}\n2026/01/01 10:30:05 - mmengine - INFO - Peak memory of the process: 3.25 GiB\n'
    )
    assert main([str(run)]) == 0
    words = Page(run / 'report' / 'report.html').words
    assert all(text in words for text in ('my data/train.json', digest, '3.25 GiB'))


def test_epochs_are_the_axis_of_a_run_by_epochs(tmp_path: Path) -> None:
    entries = [train_entry(20, epoch=1), val_entry(0.4, 1), train_entry(45, epoch=2)]
    write_log(tmp_path, '20260101_100000', [*entries, val_entry(-1, 2)])
    (tmp_path / '20260101_100000' / 'x.log').write_text(
        '2026/01/01 10:00:00 - mmengine - INFO - Epoch(train)  [2][20/25]  lr: 1\n'
    )
    log = read_training_log(tmp_path)
    assert log.unit == 'epoch'
    assert series(log.train, 'loss')[0] == [0.8, 1.8]
    assert series(log.val, 'coco/segm_mAP') == ([1], [0.4])  # COCO's -1 is no figure


def test_pictures_tint_what_is_wrong(run: Path) -> None:
    assert main([str(run)]) == 0
    # The 1st image: as good as the 3rd, after the 2nd, which has no error.
    picture = cv2.imread(str(run / 'report' / 'image_best_2.jpg')).astype(int)
    ground = np.full(3, 200)  # JPEG bleeds the colour of the outlines into it
    assert np.abs(picture[15, 15] - ground).max() < 30  # found
    assert np.abs(picture[40, 40] - ground).max() < 30  # background
    for name, (x, y) in {
        "merged": (45, 15), "split": (90, 15), "missed": (15, 60), "spurious": (70, 60),
    }.items():  # fmt: skip
        colour = OUTCOME_COLOURS[name]
        tint = (ground + [int(colour[k : k + 2], 16) for k in (5, 3, 1)]) / 2
        assert np.abs(picture[y, x] - tint).max() < 30, name


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=9))
def test_best_and_worst_are_different_images_in_order(values: list[float | None]) -> None:
    images = [{'file_name': f'{k:02d}', 'pq': value} for k, value in enumerate(values)]
    chosen = best_and_worst(images)
    assert len({row['file_name'] for row, _ in chosen}) == len(chosen) == min(len(images), 6)
    best = [row['pq'] or 0 for row, is_best in chosen if is_best]
    worst = [row['pq'] or 0 for row, is_best in chosen if not is_best]
    assert best == sorted(best, reverse=True)
    assert worst == sorted(worst)
    assert max(row['pq'] or 0 for row in images) == best[0]
    assert not worst or min(row['pq'] or 0 for row in images) == worst[0]
