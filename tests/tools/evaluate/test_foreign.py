"""Predictions of other programs on the same yardstick, and which of two is better."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from mmengine.config import Config

from cellkit.files.annotations import GroundTruth
from cellkit.files.prepared import annotation_file
from tools.evaluate.__main__ import main
from tools.runs import predictions

CONFIG = Path(__file__).parents[3] / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py'


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared data set of two test images, and an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DATA_ROOT', str(tiny_data))
    return tiny_data


def write_labels(data: Path, folder: Path, drop: int = 0, only: int | None = None) -> Path:
    """The true cells as 16-bit label images, without the first ``drop`` of each image."""
    folder.mkdir()
    truth = GroundTruth(annotation_file(data, 'test'))
    for image in list(truth.images.values())[:only]:
        label_map = image.label_map()
        label_map[label_map <= drop] = 0
        name = f'{Path(image.file_name).stem}_cp_masks.tif'
        tifffile.imwrite(folder / name, label_map.astype(np.uint16))
    return folder


def write_results(data: Path, file: Path, scores: tuple[float, float]) -> Path:
    """The true cells as COCO results, and as many wrong ones in a corner with the second score."""
    found = []
    for item in json.loads(annotation_file(data, 'test').read_bytes())['annotations']:
        own = {key: item[key] for key in ('image_id', 'category_id', 'segmentation')}
        height, width = item['segmentation']['size']
        corner = {'size': [height, width], 'counts': [0, 4, height * width - 4]}
        found += [own | {'score': scores[0]}, own | {'segmentation': corner, 'score': scores[1]}]
    file.write_text(json.dumps(found))
    return file


def read(folder: str, name: str = 'evaluation') -> dict:
    return json.loads(Path(folder, f'{name}.json').read_text())


def test_label_images_have_the_figures_of_their_cells(data, tmp_path, capsys):
    folder = write_labels(data, tmp_path / 'perfect')
    assert main(['--predictions', str(folder), '--samples', '20']) == 0
    result = read('work_dirs/scored/perfect')
    for key in ('instance/pq', 'pixel/dice', 'instance/f1_90', 'coco/segm_mAP'):
        assert result['figures'][key] == pytest.approx(1)
    assert result['intervals'] == {}
    assert result['figures']['count/relative_error'] == 0
    assert result['number_of_images'] == 2
    told = capsys.readouterr().out
    assert 'score threshold 0 (every cell that is given counts)' in told
    assert 'have no scores, all count as 1: average precision' in told
    assert 'no intervals, as 2 images are too few' in told
    assert Path('work_dirs/scored/perfect/evaluation.md').read_text() in told


def test_a_threshold_leaves_out_low_scores(data, tmp_path):
    file = write_results(data, tmp_path / 'found.json', (0.9, 0.2))
    out = ['--out', 'all', '--samples', '0']
    assert main(['--predictions', str(file), *out]) == 0
    assert read('all')['figures']['instance/precision_50'] < 1
    assert main(['--predictions', str(file), *out, '--score-thr', '0.5']) == 0
    assert read('all')['figures']['instance/precision_50'] == 1
    assert read('all')['notes'] == []


def test_missing_images_are_an_error_unless_asked_for(data, tmp_path, capsys):
    folder = write_labels(data, tmp_path / 'half', only=1)
    tifffile.imwrite(folder / 'elsewhere.tif', np.zeros((4, 4), np.uint8))
    command = ['--predictions', str(folder), '--samples', '0']
    assert main(command) == 2
    assert 'half: has nothing of 1 of 2 images (' in capsys.readouterr().err
    assert not Path('work_dirs').exists()
    assert main([*command, '--allow-missing']) == 0
    told = capsys.readouterr().out
    assert (
        'note: ' + str(folder) + ' has nothing of 1 images, where no cells count as found' in told
    )
    assert 'has 1 that are of no image of this part (elsewhere.tif)' in told
    rows = read('work_dirs/scored/half')['images']
    assert sorted(row['predicted'] for row in rows)[0] == 0
    assert read('work_dirs/scored/half')['figures']['instance/precision_50'] == 1


def test_of_few_images_none_is_called_better(data, tmp_path, capsys):
    good = write_labels(data, tmp_path / 'good')
    bad = write_labels(data, tmp_path / 'bad', drop=5)
    assert main(['--predictions', str(good), '--against', str(bad), '--samples', '50']) == 0
    result = read('work_dirs/scored/good_against_bad', 'comparison')
    recall = result['figures']['instance/recall_50']
    assert (recall['verdict'], recall['low'], recall['better']) == ('too few images', None, None)
    assert recall['difference'] > 0
    assert 'no intervals, as 2 images are too few' in capsys.readouterr().out


def test_two_folders_are_compared_on_the_same_images(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('tools.evaluate.foreign.LEAST_IMAGES', 2)
    good = write_labels(data, tmp_path / 'good')
    bad = write_labels(data, tmp_path / 'bad', drop=5)
    command = ['--predictions', str(good), '--against', str(bad), '--samples', '50']
    assert main(command) == 0
    result = read('work_dirs/scored/good_against_bad', 'comparison')
    recall = result['figures']['instance/recall_50']
    assert recall['verdict'] == 'good'
    assert recall['first'] == recall['better'] == 1
    assert 0 < recall['low'] <= recall['difference'] <= recall['high']
    assert result['figures']['count/mae']['verdict'] == 'good'  # the smaller one
    assert result['figures']['instance/precision_50']['verdict'] == 'not sure'
    assert result['figures']['coco/segm_mAP']['verdict'] == 'no scores'
    assert len(result['notes']) == 2
    told = capsys.readouterr().out
    assert '# good against bad, test part' in told
    assert (
        '| count error, cells an image | 0.0000 | 5.0000 | -5.0000 (-5.0000 to -5.0000) | good'
        in (told)
    )
    text = Path('work_dirs/scored/good_against_bad/comparison.csv').read_text(encoding='utf-8-sig')
    rows = {row['key']: row for row in csv.DictReader(text.splitlines())}
    assert rows['count/mae']['bad'] == '5.0'


def test_a_run_is_compared_at_its_own_threshold(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('tools.evaluate.foreign.LEAST_IMAGES', 2)
    run = tmp_path / 'work_dirs' / 'run'
    run.mkdir(parents=True)
    Config.fromfile(CONFIG).dump(run / 'config.py')
    torch.save({'state_dict': {}, 'meta': {}}, run / 'iter_2.pth')

    def predict(model, config, dataset, title):
        truth = json.loads(predictions.annotations_of(dataset).read_bytes())
        found = {image['id']: [] for image in truth['images']}
        keys = ('image_id', 'category_id', 'bbox', 'segmentation')
        for item in truth['annotations']:
            found[item['image_id']].append({key: item[key] for key in keys} | {'score': 0.7})
        return found, 0.1

    monkeypatch.setattr(predictions, 'build_model', lambda config, weights, device: weights)
    monkeypatch.setattr(predictions, '_predict', predict)
    labels = write_labels(data, tmp_path / 'labels', drop=3)
    for command in ([str(run)], []):  # named, and the newest one
        assert main([*command, '--against', str(labels), '--samples', '20', '--out', 'out']) == 0
        result = read('out', 'comparison')
        assert result['first']['name'] == 'run'
        assert result['first']['threshold'] == 0.5
        assert result['figures']['instance/f1_50']['verdict'] == 'run'
    assert 'the only one there was' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--predictions', 'empty'], 'empty: holds no predictions'),
        (['--predictions', 'gone'], 'gone: there is no such file or folder'),
        (['work_dirs/x', '--predictions', 'empty'], 'a run beside --predictions; compare the two'),
        (['--predictions', 'empty', '--fresh'], '--fresh has no use here'),
        (['--predictions', 'empty', '--score-thr', 'run'], '--score-thr run is what a run is'),
        (['--predictions', 'empty', '--data', 'nowhere'], 'nowhere/annotations/test.json is not'),
        (['--against', 'empty'], 'holds no predictions'),
        (['x.pth', '--against', 'empty'], '--against takes a run folder, not checkpoints'),
        (['--predictions', 'empty', '--against', 'empty', '--samples', '0'], '--samples must be 1'),
    ],
)
def test_what_cannot_be_done_is_one_sentence(data, options, said, capsys):
    Path('empty').mkdir()
    if options == ['--against', 'empty']:
        options = ['--predictions', 'empty', *options]
    assert main(options) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count('\n') == 1
