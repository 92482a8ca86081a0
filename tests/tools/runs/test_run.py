"""A run on disk: which one is the newest, which checkpoint is the best, which threshold counts."""

import json
import os
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer

from cellkit.cell_scale import CellScale
from cellkit.errors import UserError
from cellkit.files.writing import sha256_of, write_json
from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.count_interval import CountModel
from tools.evaluate.session import Session
from tools.report.__main__ import main as report
from tools.runs.run import BOX, Run, newest_run, step_of

CONFIG = 'model = dict()\n'


def write(file: Path, seconds: int, content: bytes = b'') -> Path:
    """A file written so many seconds after the epoch."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (seconds, seconds))
    return file


def checkpoint(file: Path, **content: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'state_dict': {}, 'meta': {'cfg': CONFIG}, **content}, file)
    return file


def test_the_newest_run_is_where_training_wrote_last(tmp_path: Path) -> None:
    write(tmp_path / 'old' / 'iter_1.pth', 100)
    write(tmp_path / 'new' / '20260101' / 'vis_data' / 'scalars.json', 200)
    assert newest_run(tmp_path) == tmp_path / 'new'
    write(tmp_path / 'old' / 'iter_2.pth', 300)
    assert newest_run(tmp_path) == tmp_path / 'old'
    write(tmp_path / 'new' / 'evaluation.json', 400)  # not training's
    assert newest_run(tmp_path) == tmp_path / 'old'


def test_report_and_evaluate_choose_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A run that logs but has no checkpoint yet was the newest for one and not for the other."""
    monkeypatch.chdir(tmp_path)
    checkpoint(Path('work_dirs/done/iter_1.pth'))
    os.utime('work_dirs/done/iter_1.pth', (100, 100))
    write(Path('work_dirs/going/20260101/20260101.log'), 200, b'Epoch(train)\n')
    write(Path('work_dirs/going/config.py'), 200, CONFIG.encode())
    assert report([]) == 0
    assert 'work_dirs/going (the newest)' in capsys.readouterr().out
    with pytest.raises(UserError, match='work_dirs/going: holds no checkpoint'):
        Session()


def test_a_run_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    write(tmp_path / 'one' / 'iter_1.pth', 1)
    with pytest.raises(UserError, match=rf'no such run folder \({tmp_path} has one\)'):
        Run(tmp_path / 'two')
    with pytest.raises(UserError, match='holds no training run'):
        newest_run(tmp_path / 'none')


def test_the_best_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / 'run'
    write(run / 'iter_2.pth', 20)
    write(run / 'iter_10.pth', 10)
    opened = Run(run)
    assert [file.name for file in opened.steps] == ['iter_2.pth', 'iter_10.pth']
    assert opened.best_checkpoint.name == 'iter_2.pth'  # the newest
    write(run / 'last_checkpoint', 30, b'/moved/from/iter_10.pth')
    assert opened.best_checkpoint.name == 'iter_10.pth'
    write(run / 'best_coco_segm_mAP_iter_2.pth', 1)
    write(run / 'best_pixel_dice_iter_10.pth', 2)
    assert opened.best_checkpoint.name == 'best_pixel_dice_iter_10.pth'
    write_json(run / 'evaluation.json', {'checkpoint': 'best_coco_segm_mAP_iter_2.pth'})
    assert opened.best_checkpoint.name == 'best_coco_segm_mAP_iter_2.pth'


@pytest.mark.parametrize(
    ('name', 'step'),
    [
        ('epoch_3.pth', ('epoch', 3)),
        ('best_coco_segm_mAP_iter_250.pth', ('iter', 250)),
        ('other.pth', None),
    ],
)
def test_step_in_a_name(name: str, step: tuple[str, int] | None) -> None:
    assert step_of(name) == step


def test_where_the_threshold_comes_from(tmp_path: Path) -> None:
    run = tmp_path / 'run'
    opened = Run(checkpoint(run / 'iter_1.pth').parent)
    assert opened.threshold(opened.open_checkpoint()) == (
        0.5,
        'the default: none was chosen on validation',
    )
    buffer = HistoryBuffer([0.4], [1])
    file = checkpoint(
        run / 'iter_1.pth', message_hub={'log_scalars': {'val/count/best_score_thr': buffer}}
    )
    assert opened.threshold(opened.open_checkpoint()).value == 0.4
    evaluation = {
        'checkpoint': file.name,
        'checkpoint_sha256': sha256_of(file),
        'threshold_choice': {'value': 0.7},
        'score_thr': 0.7,
        'score_thr_source': 'chosen',
    }
    write_json(opened.evaluation_file(), evaluation)
    assert opened.threshold(opened.open_checkpoint()).value == 0.7
    assert opened.threshold(opened.open_checkpoint(), 0.1) == (0.1, 'given with --score-thr')


def test_where_the_size_of_the_cells_comes_from(tmp_path: Path) -> None:
    run = tmp_path / 'run'
    opened = Run(checkpoint(run / 'iter_1.pth').parent)
    assert opened.open_checkpoint().cell_scale is None
    known = CellScale(24.0, 160, 120, 6.0)
    checkpoint(run / 'iter_1.pth', meta={'dataset_meta': {'cell_scale': known.as_dict()}})
    assert opened.open_checkpoint(config=_config(tmp_path)).cell_scale == known
    boxed = Run(BOX).open_checkpoint().cell_scale
    assert boxed.size == (1200, 1600)
    assert 90 < boxed.diameter < 110


def _config(folder: Path) -> Path:
    (folder / 'config.py').write_text('')
    return folder / 'config.py'


def test_where_the_calibration_comes_from(tmp_path: Path) -> None:
    fitted = Calibration(1.5, CountModel(1.02, 1.3, 1e-4, 14), 14, 900)
    file = checkpoint(tmp_path / 'run' / 'iter_1.pth')
    run = Run(file.parent)
    assert run.calibration(run.open_checkpoint()) is None
    evaluation = {
        'checkpoint': file.name,
        'checkpoint_sha256': sha256_of(file),
        'calibration': {'fitted': fitted.as_dict()},
    }
    write_json(run.evaluation_file(), evaluation)
    assert run.calibration(run.open_checkpoint()) == fitted
    own = fitted._replace(temperature=2.0)
    with_weights = run.open_checkpoint()
    with_weights = with_weights._replace(
        content={'about': {'calibration': json.dumps(own.as_dict())}}
    )
    assert run.calibration(with_weights) == fitted  # fitted on the user's own data
    write_json(run.evaluation_file(), evaluation | {'checkpoint_sha256': 'of an earlier file'})
    assert run.calibration(with_weights) == own


def test_the_config_is_the_named_one_then_the_checkpoints_then_the_folders(tmp_path: Path) -> None:
    run, other = tmp_path / 'run', tmp_path / 'other.py'
    checkpoint(run / 'iter_1.pth')
    (run / 'config.py').write_text('model = dict(type="folder")\n')
    other.write_text('model = dict(type="other")\n')
    opened = Run(run)
    assert opened.open_checkpoint().config_source == 'written in the checkpoint'
    assert opened.open_checkpoint(config=other).config.model.type == 'other'
    checkpoint(run / 'iter_1.pth', meta={})
    assert opened.open_checkpoint().config.model.type == 'folder'
    (run / 'config.py').write_text('model = \n')
    with pytest.raises(UserError, match=r"config\.py: can't be read as a config"):
        opened.open_checkpoint()
