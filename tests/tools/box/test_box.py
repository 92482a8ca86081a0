"""The model in the box: the shipped file, who uses it, what it is worth on the real sample."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from cellkit.errors import UserError
from cellkit.smears.smear import draw_smear
from data_prep.prepare import prepare
from tools.box import LARGEST, WEIGHTS, make_box, pack, write_mean
from tools.evaluate import evaluate
from tools.predict import predict
from tools.runs.model import build_model
from tools.runs.run import BOX, Run, load_checkpoint, written_by_training

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT.parent / 'shared' / 'data' / 'BCCD Dataset with mask'


def test_the_shipped_file_is_small_and_fits_its_config() -> None:
    assert WEIGHTS.stat().st_size <= LARGEST
    opened = Run(BOX).open_checkpoint()
    build_model(opened.config, opened.weights, 'cpu')  # strictly
    threshold = Run(BOX).threshold(opened)
    assert 0.05 < threshold.value < 0.95
    assert 'with the weights' in threshold.source
    calibration = Run(BOX).calibration(opened)
    assert 0.7 < calibration.temperature < 1.5  # scores that are nearly right as they come
    assert calibration.counts.images == calibration.images >= 20


def test_fine_tuning_starts_from_it_and_one_setting_turns_it_off() -> None:
    assert (
        ROOT / Config.fromfile(ROOT / 'configs/bccd_hybrid_mask_rcnn_cpu.py').load_from == WEIGHTS
    )
    for other in ('scratch', 'demo', 'demo_gpu'):
        config = Config.fromfile(ROOT / f'configs/bccd_hybrid_mask_rcnn_{other}.py')
        assert config.get('load_from') is None


def test_a_run_of_one_s_own_comes_before_the_box(tmp_path: Path) -> None:
    assert Run(None, tmp_path, or_box=True).is_box
    with pytest.raises(UserError, match='holds no training run'):
        Run(None, tmp_path)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'iter_1.pth').write_bytes(b'')
    own = Run(None, tmp_path, or_box=True)
    assert own.folder == tmp_path / 'mine'
    assert own.results == own.folder
    assert Run(BOX).results == Path('work_dirs/box')  # what came with the project stays as it is


@pytest.mark.slow
def test_predict_without_a_run_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    image, label_map = draw_smear(
        np.random.default_rng(3), (600, 800), cells=30, look='lilac', scale=0.64
    )
    cv2.imwrite('slide.png', image[..., ::-1])
    results = predict('slide.png', device='cpu')
    said = capsys.readouterr().out
    assert 'the model in the box: trained on synthetic smears alone' in said
    found, true = len(results.cells), int(label_map.max())
    assert abs(found - true) <= 0.15 * true


def test_too_large_a_model_is_not_packed(tmp_path: Path) -> None:
    file = tmp_path / 'large.pth'
    torch.save({'state_dict': {'w': torch.zeros(8_000_000)}}, file)
    with pytest.raises(UserError, match=r'large\.pth: is 16\.0 MB in half precision'):
        pack(file, {}, tmp_path / 'out.safetensors')
    assert not (tmp_path / 'out.safetensors').exists()


def test_packing_keeps_weights_and_texts(tmp_path: Path) -> None:
    file, out = tmp_path / 'iter_1.pth', tmp_path / 'out.safetensors'
    torch.save({'state_dict': {'w': torch.arange(4.0)}}, file)
    pack(file, {'score_threshold': '0.3'}, out)
    content = load_checkpoint(out)
    assert content['state_dict']['w'].tolist() == [0, 1, 2, 3]
    assert content['about']['score_threshold'] == '0.3'


def test_the_mean_of_checkpoints(tmp_path: Path) -> None:
    files = [tmp_path / f'{k}.pth' for k in range(3)]
    weights = torch.randn(3, 5, 4)
    for k, file in enumerate(files):
        torch.save({'state_dict': {'w': weights[k], 'steps': torch.tensor(7 + k)}}, file)
    mean = load_checkpoint(write_mean(files, tmp_path / 'new' / 'mean.pth'))['state_dict']
    torch.testing.assert_close(mean['w'], weights.mean(0))
    assert mean['w'].dtype == torch.float32
    assert mean['steps'] == 7  # a counter has no mean
    torch.save({'state_dict': {'w': torch.zeros(5, 4)}}, files[2])
    with pytest.raises(UserError, match=r'2\.pth is of another model than .*0\.pth'):
        write_mean(files, tmp_path / 'mean.pth')
    assert not (tmp_path / 'mean.pth').exists()


def test_a_mean_that_is_packed_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / f'{k}.pth' for k in range(2)]
    for k, file in enumerate(files):
        torch.save({'state_dict': {'w': torch.full((3,), 2.0 * k)}}, file)
    figures = {'score_thr': 0.4, 'calibration': {'fitted': {}}}
    monkeypatch.setattr('data_prep.demo.write_demo_set', lambda *_, **__: tmp_path)
    monkeypatch.setattr('data_prep.prepare.prepare', lambda *_, **__: SimpleNamespace(out=tmp_path))
    monkeypatch.setattr('tools.evaluate.evaluate', lambda **_: figures)
    monkeypatch.setattr('tools.box._cell_scale', lambda _: {})
    monkeypatch.chdir(tmp_path)
    packed = make_box(files, out='new.safetensors', work_dir='work_dirs/box')
    assert load_checkpoint(packed)['state_dict']['w'].tolist() == [1, 1, 1]
    assert written_by_training(Path('work_dirs')) == []


def test_a_damaged_box_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / 'model.safetensors'
    file.write_bytes(WEIGHTS.read_bytes()[:5000])
    with pytest.raises(UserError, match='is damaged'):
        load_checkpoint(file)


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLE.is_dir(), reason='the real sample is not here')
def test_the_shipped_file_finds_cells_in_real_smears(tmp_path: Path) -> None:
    data = prepare(SAMPLE, tmp_path / 'data', workers=1).out
    options = dict(score_thr='run', data=data, out=tmp_path / 'out', samples=0, device='cpu')
    result = evaluate(BOX, **options)
    figures, sure = result['figures'], result['calibration']['part']
    assert figures['coco/segm_mAP'] >= 0.80
    assert figures['coco/segm_mAP_50'] >= 0.955
    assert figures['pixel/dice_pooled'] >= 0.94
    assert figures['count/relative_error'] <= 0.06
    # Calibrated on synthetic smears alone.
    assert sure['ece'] < sure['ece_score'] <= 0.05
    assert sure['covered'] >= 11  # of 12
