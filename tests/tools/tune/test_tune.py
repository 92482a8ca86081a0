"""The program: thresholds from stored predictions to a page, and what a user can mend."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from cellkit.files.annotations import GroundTruth
from cellkit.files.writing import sha256_of, write_json
from cellkit.metrics.records import measure_image, values
from tools.runs.predictions import read_predictions
from tools.tune import tune
from tools.tune.__main__ import main
from tools.tune.thresholds import READERS, Thresholds

ROOT = Path(__file__).parents[3]
SPACE = ROOT / 'configs' / 'tune' / 'thresholds.py'


@pytest.fixture
def run(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose predictions are the truth, cells cut off at random, and crumbs."""
    monkeypatch.chdir(ROOT)
    annotations = tiny_data / 'annotations' / 'train.json'
    coco, rng = json.loads(annotations.read_text()), np.random.default_rng(0)
    folder = tmp_path / 'some_run'
    results = []
    for item in coco['annotations']:
        for copy in range(2):  # the second outline of a cell is worth less
            results.append(
                dict(
                    image_id=item['image_id'],
                    category_id=item['category_id'],
                    bbox=item['bbox'],
                    score=float(rng.uniform(0.5, 1) if copy == 0 else rng.uniform(0, 0.6)),
                    segmentation=item['segmentation'],
                )
            )
    file = folder / 'predictions' / 'best' / 'val.json'
    write_json(file, results)
    about = dict(
        part='val', annotations=str(annotations), annotations_sha256=sha256_of(annotations),
        image_ids=[image['id'] for image in coco['images']],
    )  # fmt: skip
    write_json(file.with_suffix('.about.json'), about)
    Config.fromfile('configs/bccd_hybrid_mask_rcnn_cpu.py').dump(folder / 'config.py')
    return folder


def test_thresholds_give_the_values_that_evaluation_gives(run: Path) -> None:
    predictions = read_predictions(run / 'predictions' / 'best' / 'val.json')
    truth = GroundTruth(predictions.about['annotations'])
    wanted = values([measure_image(k, truth[k], predictions.detections(k))
                     for k in sorted(predictions.results)], 0.55)  # fmt: skip
    thresholds = Thresholds(predictions, truth)
    shared = [key for key in READERS if key in wanted]
    assert len(shared) > 20
    found = thresholds.values({'score_thr': 0.55, 'nms_iou': 1.0}, shared)
    assert found == pytest.approx({key: wanted[key] for key in shared})


def test_a_search_without_training(run: Path, tmp_path: Path) -> None:
    out = tmp_path / 'tune'
    start = time.perf_counter()
    tuned = tune(SPACE, 60, run=run, out=out)
    assert time.perf_counter() - start < 60
    assert tuned.folder == out / 'thresholds_some_run'
    assert tuned.states == {'complete': 60}
    assert tuned.values['instance/pq'] > 0.9
    best = Config.fromfile(tuned.config)
    assert best.model.test_cfg.rcnn.nms.iou_threshold == tuned.parameters['nms_iou']
    more = tune(SPACE, 80, run=run, out=out)  # goes on
    assert more.states == {'complete': 80}
    assert more.values['instance/pq'] >= tuned.values['instance/pq']
    assert tune(SPACE, run=run, out=out, report_only=True).states == {'complete': 80}


def test_a_proxy_stands_before_a_journal(run: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, '-m', 'tools.tune.proxy', tmp_path / 'x.journal', '--port', '13977'],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == 'proxy: grpc://localhost:13977\n'
        storage = 'grpc://localhost:13977'
        assert tune(SPACE, 5, run=run, out=tmp_path / 'tune', storage=storage).states == {
            'complete': 5
        }
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / 'x.journal').stat().st_size


def mine(folder: Path, text: str) -> str:
    file = folder / 'mine.py'
    file.write_text(text)
    return str(file)


CONFIG = "config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'\n"
LR = "space = {'optim_wrapper.optimizer.lr': [1e-3]}\n"


@pytest.mark.parametrize(
    ('text', 'more', 'wanted'),
    [
        (CONFIG + "space = {'optim_wraper.lr': [1]}", [], 'nothing reads `optim_wraper.lr`'),
        (CONFIG + LR, ['--sampler', 'annealing'], "no sampler 'annealing'"),
        (CONFIG + LR, ['--trials', '0'], 'TRIALS is 0'),
        (CONFIG + LR, ['--run', 'work_dirs/x'], 'RUN names none'),
        (CONFIG + LR, ['--storage', 'postgresql://me@127.0.0.1:1/x'], "database can't be used"),
        (CONFIG + LR, ['--report'], 'there is no study mine yet'),
        ("searches = 'predictions'\nspace = {'score': [1]}", [], 'nothing reads `score`'),
        (
            "searches = 'predictions'\nspace = {'score_thr': [0.5]}",
            [],
            'thresholds change no value coco/segm_mAP; name one of pixel/dice',
        ),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_before_the_first_trial(
    text: str, more: list[str], wanted: str, tiny_data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv('DATA_ROOT', str(tiny_data))
    assert main([mine(tmp_path, text), '--out', str(tmp_path / 'out'), *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith('tune: ')
    assert wanted in lines[-1]
    assert not list(tmp_path.glob('out/*/trial_*'))


def test_a_run_without_predictions_names_the_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (run / 'predictions' / 'best' / 'val.json').unlink()
    assert main([str(SPACE), '--run', str(run), '--out', str(tmp_path)]) == 2
    assert f'`make evaluate RUN={run} PART=val`' in capsys.readouterr().err
