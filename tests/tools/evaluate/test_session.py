"""Evaluation of a run: what is chosen, what is written, what is said of bad input."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cellkit.files.writing import sha256_of
from cellkit.rle import encode_crops
from tools.evaluate import evaluate
from tools.evaluate.__main__ import main
from tools.evaluate.session import Session
from tools.report.__main__ import main as report
from tools.runs import predictions
from tools.runs.run import Run

CONFIG = Path(__file__).parents[3] / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py'


@pytest.fixture
def run(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with a config and two checkpoints of no weights."""
    monkeypatch.setenv('DATA_ROOT', str(tiny_data))
    folder = tmp_path / 'work_dirs' / 'run'
    folder.mkdir(parents=True)
    config = Config.fromfile(CONFIG)
    small = {'dataset.pipeline.1.scale': (160, 120), 'num_workers': 0}
    config.merge_from_dict({f'test_dataloader.{key}': value for key, value in small.items()})
    config.dump(folder / 'config.py')
    for step in (2, 10):
        content = {'state_dict': {'step': torch.tensor(step)}, 'meta': {}}
        torch.save(content, folder / f'iter_{step}.pth')
    return folder


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """In place of a model: finds this share of each image's cells, by training step.

    Cells are found exactly, with score 0.8; each image has one more detection, of score 0.3.
    """
    share = {2: 0.5, 10: 1.0}

    def predict(model, config, dataset, title):
        truth = json.loads(predictions.annotations_of(dataset).read_bytes())
        results = {image['id']: [] for image in truth['images']}
        for image_id, found in results.items():
            true = [item for item in truth['annotations'] if item['image_id'] == image_id]
            keys = ('image_id', 'category_id', 'bbox', 'segmentation')
            kept = true[: round(share[int(model['step'])] * len(true))]
            found += [{key: item[key] for key in keys} | {'score': 0.8} for item in kept]
            if found:
                found.append(found[0] | {'segmentation': corner(found[0]), 'score': 0.3})
        return results, 0.1

    monkeypatch.setattr(predictions, 'build_model', lambda config, weights, device: weights)
    monkeypatch.setattr(predictions, '_predict', predict)
    return share


def corner(item: dict) -> dict:
    """The top left pixel as a mask."""
    height, width = item['segmentation']['size']
    return encode_crops([np.ones((1, 1))], [0], [0], height, width)[0]


def read(run: Path, part: str = '') -> dict:
    return json.loads((run / f'evaluation{part}.json').read_text())


def test_the_best_checkpoint_and_threshold_are_chosen_on_validation(run, detector, capsys):
    assert main([str(run), '--samples', '20']) == 0
    result = read(run)
    assert result['checkpoint'] == 'iter_10.pth'
    assert result['checkpoint_candidates']['iter_2.pth'] < 0.6
    # The extra detection of score 0.3 is left out, so the count is right from 0.31 to 0.8: the
    # middle is taken.
    assert result['score_thr'] == 0.56
    assert [result['threshold_choice'][end] for end in ('low', 'high')] == [0.31, 0.8]
    assert result['score_thr_source'] == 'from count errors on validation'  # of too few for more
    figures = result['figures']
    assert figures['count/relative_error'] == 0
    for key in ('pixel/dice', 'pixel/iou_pooled', 'instance/pq', 'instance/f1_90', 'coco/segm_mAP'):
        assert figures[key] == pytest.approx(1)
    assert result['intervals'] == {}
    assert 'no intervals, as 2 images are too few' in result['notes'][-1]
    assert all(row['true'] == row['predicted'] == row['detections'] - 1 for row in result['images'])
    assert sum(row['true'] for row in result['images']) == result['number_of_cells']
    out = capsys.readouterr().out
    assert 'the best of 2 by coco/segm_mAP on validation' in out
    assert (run / 'evaluation.md').read_text() in out
    rows = list(csv.DictReader((run / 'evaluation.csv').open(encoding='utf-8-sig')))
    assert {row['key']: float(row['value']) for row in rows}['pixel/dice'] == pytest.approx(1)
    assert result['validation']['instance/pq'] == pytest.approx(1)
    # The one or two validation images are too few to calibrate on, and that is said.
    assert result['calibration']['fitted'] is None
    assert 'are too few, or hold too few detections' in out
    assert {row['cells_low'] for row in result['images']} == {None}
    assert report([str(run)]) == 0  # reads what was written
    assert (run / 'report' / 'figure_precision_recall.png').is_file()


def test_a_marked_best_checkpoint_is_taken_and_half_the_cells_are_half_the_recall(run, detector):
    shutil.copy(run / 'iter_2.pth', run / 'best_coco_segm_mAP_iter_2.pth')
    assert main([str(run), '--samples', '0', '--score-thr', '0.5']) == 0
    result = read(run)
    assert result['checkpoint_chosen'] == 'which training marked as best on validation'
    assert result['score_thr_source'] == 'given with --score-thr'
    assert result['figures']['instance/precision_50'] == 1
    found = sum(row['predicted'] for row in result['images'])
    assert result['figures']['instance/recall_50'] == found / result['number_of_cells']
    assert result['figures']['count/relative_error'] == pytest.approx(
        1 - found / result['number_of_cells']
    )
    assert not (run / 'predictions' / 'best_coco_segm_mAP_iter_2' / 'val.json').exists()


def test_predictions_are_kept_until_something_changes(run, detector, tiny_data, tmp_path, capsys):
    data = tmp_path / 'data'
    shutil.copytree(tiny_data, data)
    command = [str(run / 'iter_10.pth'), '--samples', '0', '--data', str(data)]
    assert main(command) == 0
    assert 'as they are in' not in capsys.readouterr().out
    first = read(run)
    assert main(command) == 0
    assert capsys.readouterr().out.count('as they are in') == 2
    assert read(run)['figures'] == first['figures']
    stored = json.loads((run / first['predictions']).read_text())
    assert {item['score'] for item in stored} == {0.8, 0.3}
    path = data / 'annotations' / 'test.json'
    path.write_text(path.read_text() + ' ')
    assert main(command) == 0
    assert capsys.readouterr().out.count('as they are in') == 1
    (image, *_) = json.loads(path.read_text())['images']
    picture = data / 'images' / image['file_name']
    picture.write_bytes(picture.read_bytes() + b' ')
    assert main(command) == 0
    assert capsys.readouterr().out.count('as they are in') == 1


def test_other_parts_and_every_epoch_on_test(run, detector, capsys):
    assert main([str(run), '--samples', '0', '--part', 'val', '--every-epoch-on-test']) == 0
    assert not (run / 'evaluation.json').exists()
    assert 'chosen on these very images' in read(run, '_val')['notes'][0]
    rows = list(csv.DictReader((run / 'every_epoch_on_test.csv').open(encoding='utf-8-sig')))
    assert [row['checkpoint'] for row in rows] == ['iter_2', 'iter_10']
    assert float(rows[0]['coco/segm_mAP']) < float(rows[1]['coco/segm_mAP'])
    assert 'nothing may be chosen by this table' in capsys.readouterr().out


def test_checkpoints_are_found_by_name_in_the_run_folder(run, detector, monkeypatch):
    """As the help page of make has it: CHECKPOINTS="epoch_10.pth epoch_20.pth"."""
    monkeypatch.chdir(run.parents[1])
    assert main(['--checkpoints', 'iter_2.pth iter_10.pth', '--samples', '0']) == 0
    assert read(run)['checkpoint_candidates'].keys() == {'iter_2.pth', 'iter_10.pth'}
    assert main([str(run), 'iter_2.pth', '--samples', '0']) == 0
    assert read(run)['checkpoint'] == 'iter_2.pth'


def test_as_a_function_it_gives_back_what_it_writes(run, detector):
    result = evaluate(run, 'val', samples=5, checkpoints=['iter_10.pth'])
    stored = read(run, '_val')
    assert stored['figures'] == result['figures']
    assert stored['run'] == str(run)


def test_other_data_can_be_measured_at_the_runs_own_threshold(run, detector, tiny_data, tmp_path):
    assert main([str(run), '--samples', '0']) == 0
    data, out = tmp_path / 'other', tmp_path / 'on_other'
    shutil.copytree(tiny_data, data, symlinks=True)
    command = ['--score-thr', 'run', '--data', str(data), '--out', str(out), '--samples', '0']
    assert main([str(run), 'iter_10.pth', *command]) == 0
    result = read(out)
    assert result['score_thr'] == read(run)['score_thr']
    assert 'evaluation.json' in result['score_thr_source']
    assert result['annotations'] == str(data / 'annotations' / 'test.json')
    assert result['threshold_choice'] is None


def test_a_model_that_predicts_nothing_gets_zeros_and_a_note(run, detector, capsys):
    detector.update({2: 0, 10: 0})
    assert main([str(run)]) == 0
    result = read(run)
    assert result['score_thr'] == 0.5
    for key in ('coco/segm_mAP', 'pixel/dice', 'instance/f1_50'):
        assert result['figures'][key] == 0
    assert 'predicted nothing on any of the 2 test images' in capsys.readouterr().out


def failure(arguments, capsys) -> str:
    """The one sentence that a failing command says."""
    assert main([str(item) for item in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('evaluate: ')
    assert error.endswith('.')
    return error


def test_bad_input_is_told_in_a_sentence(run, detector, tiny_data, tmp_path, capsys, monkeypatch):
    assert 'there is no such run folder' in failure([tmp_path / 'none'], capsys)
    assert 'iter_2.pth' in failure([run, 'none.pth'], capsys)  # names those there are
    (tmp_path / 'empty').mkdir()
    assert 'empty: holds no checkpoint' in failure([tmp_path / 'empty'], capsys)
    monkeypatch.chdir(tmp_path / 'empty')
    monkeypatch.setattr('tools.runs.run.BOX', Path('no box'))
    assert 'holds no training run' in failure([], capsys)
    (run / 'broken.pth').write_bytes(b'no checkpoint')
    assert "broken.pth: can't be read" in failure([run / 'broken.pth'], capsys)
    shutil.copytree(run, tmp_path / 'second')
    assert 'a second run folder' in failure([run, tmp_path / 'second'], capsys)
    several = [run / 'iter_2.pth', tmp_path / 'second' / 'iter_2.pth']
    assert 'in several folders' in failure(several, capsys)
    wrong = [run, '--cfg-options', 'modell.test_cfg.rcnn.max_per_img=3']
    assert 'modell' in failure(wrong, capsys)
    assert 'no such annotation file' in failure([run, '--data', tmp_path], capsys)
    assert not (run / 'evaluation.json').exists()


def test_a_checkpoint_that_the_user_names_was_not_chosen_on_validation(run, detector):
    shutil.copy(run / 'iter_10.pth', run / 'iter_10_copy.pth')
    assert main([str(run / 'iter_2.pth'), '--samples', '0']) == 0
    assert read(run)['checkpoint_chosen'] == 'named by hand'


def test_a_threshold_is_not_taken_over_by_a_later_checkpoint_of_that_name(run, detector):
    assert main([str(run), '--samples', '0']) == 0
    file = run / 'iter_10.pth'
    opened = Run(run)
    assert opened.threshold(opened.open_checkpoint(file)).value == 0.56
    torch.save({'state_dict': {'step': torch.tensor(11)}, 'meta': {}}, file)
    assert opened.threshold(opened.open_checkpoint(file)).value == 0.5


def test_other_data_than_the_model_was_trained_on_are_noted(run, detector, tiny_data, capsys):
    digest = sha256_of(tiny_data / 'annotations' / 'train.json')
    words = 'is not the training part that the model was trained on'
    for trained_on, noted in ((digest, False), ('of another split', True)):
        meta = {'dataset_meta': {'annotations_sha256': trained_on}}
        torch.save({'state_dict': {'step': torch.tensor(10)}, 'meta': meta}, run / 'iter_10.pth')
        assert main([str(run / 'iter_10.pth'), '--samples', '0']) == 0
        assert (words in capsys.readouterr().out) == noted
        assert read(run)['trained_on_sha256'] == trained_on


def test_annotations_of_another_data_set_are_told(run, detector, tmp_path, capsys):
    assert main([str(run), '--samples', '0']) == 0
    before = (run / 'evaluation.json').read_bytes()
    side = run / 'predictions' / 'iter_10' / 'test.about.json'
    about = json.loads(side.read_text())
    other = tmp_path / 'other.json'
    other.write_text(json.dumps({'images': [], 'annotations': [], 'categories': []}))
    side.write_text(json.dumps(about | {'annotations': str(other)}))
    assert 'are of another data set than the predictions' in failure([run], capsys)
    assert (run / 'evaluation.json').read_bytes() == before


@pytest.fixture
def real_run(run: Path) -> Path:
    """The run with a checkpoint of the configuration's own model, not trained."""
    config = Config.fromfile(run / 'config.py')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    for file in run.glob('*.pth'):
        file.unlink()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, run / 'iter_1.pth')
    return run


@pytest.mark.slow
def test_a_real_model_gets_the_figures_of_pycocotools(real_run, tiny_data, capsys):
    assert main([str(real_run), '--samples', '10']) == 0
    result = read(real_run)
    coco = COCO(str(tiny_data / 'annotations' / 'test.json'))
    for kind in ('segm', 'bbox'):
        found = json.loads((real_run / result['predictions']).read_text())
        assert len(found) > 20
        if kind == 'segm':
            for item in found:
                item.pop('bbox')  # else pycocotools takes the box's area for the mask's
        peer = COCOeval(coco, coco.loadRes(found), kind)
        peer.params.maxDets = [1, 100, 1000]
        peer.evaluate()
        peer.accumulate()
        precision = peer.eval['precision'][:, :, 0, 0, 2]
        assert result['figures'][f'coco/{kind}_mAP'] == pytest.approx(precision.mean(), abs=1e-9)
        assert result['figures'][f'coco/{kind}_mAP_50'] == pytest.approx(precision[0].mean())
    assert np.isfinite(result['figures']['count/relative_error'])


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_told(real_run, capsys):
    options = ['--cfg-options', 'model.roi_head.bbox_head.fc_out_channels=64']
    sentence = failure([real_run, *options], capsys)
    assert "iter_1.pth: the checkpoint is not of this config's model" in sentence
    assert not (real_run / 'predictions').exists()


def test_each_checkpoint_goes_with_its_own_config(run, detector):
    """Two experiments in one folder: one's config was used for the other's weights."""
    text = Config.fromfile(run / 'config.py').pretty_text
    files = []
    for k in (1, 2):
        files.append(run / f'epoch_{k}.pth')
        torch.save({'state_dict': {}, 'meta': {'cfg': f'{text}\nexperiment = {k}\n'}}, files[-1])
    session = Session(run, checkpoints=files)
    assert [session.checkpoint(file).config.experiment for file in files] == [1, 2]


def test_validation_without_a_cell_chooses_nothing(run, detector, tiny_data, tmp_path, capsys):
    data = tmp_path / 'data'
    shutil.copytree(tiny_data, data, symlinks=True)
    path = data / 'annotations' / 'val.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'annotations': []}))
    assert main([str(run), '--samples', '0', '--data', str(data)]) == 2
    assert 'val.json has no cell, so no checkpoint can be chosen' in capsys.readouterr().err
