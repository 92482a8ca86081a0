"""Recipes beside a baseline: means over seeds, paired intervals, and what is not measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.metrics.records import Detections, measure_image, values
from cellkit.rle import encode_label_map
from tools.results.__main__ import main
from tools.results.ablation import _verdict, ablation
from tools.results.trained import read_trained

IMAGES, SIDE = 10, 40


def squares(shift: int) -> list[dict]:
    """Run lengths of two cells."""
    label_map = np.zeros((SIDE, SIDE), np.int32)
    label_map[2 : 14 - shift, 2:14] = 1
    label_map[20:34, 20 : 34 - shift] = 2
    return encode_label_map(label_map, 2)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    file = tmp_path / 'annotations' / 'val.json'
    file.parent.mkdir()
    images = [
        {'id': k, 'file_name': f'{k}.png', 'height': SIDE, 'width': SIDE} for k in range(IMAGES)
    ]
    cells = [
        {'id': 2 * k + j, 'image_id': k, 'category_id': 1, 'iscrowd': 0, 'segmentation': rle,
         'area': 144, 'bbox': [0, 0, 12, 12]}
        for k in range(IMAGES) for j, rle in enumerate(squares(0))
    ]  # fmt: skip
    file.write_text(
        json.dumps(
            {'images': images, 'annotations': cells, 'categories': [{'id': 1, 'name': 'cell'}]}
        )
    )
    return file


def store(folder: Path, truth: Path, seed: int, shift: int, sha: str = 'a') -> Path:
    """A run whose outlines miss some pixels, more in some images than in others."""
    predictions = folder / 'predictions' / 'iter_40' / 'val.json'
    predictions.parent.mkdir(parents=True)
    found, records = [], []
    for k in range(IMAGES):
        rles, scores = squares(shift * (k % 3)), np.array([0.9, 0.8])
        boxes = np.array([[2, 2, 12, 12], [20, 20, 14, 14]], float)
        found += [
            {'image_id': k, 'category_id': 1, 'bbox': box.tolist(), 'score': score,
             'segmentation': rle}
            for rle, score, box in zip(rles, scores.tolist(), boxes, strict=True)
        ]  # fmt: skip
        records.append(measure_image(k, GroundTruth(truth)[k], Detections(rles, scores, boxes)))
    predictions.write_text(json.dumps(found))
    about = {'image_ids': list(range(IMAGES)), 'annotations': str(truth), 'part': 'val'}
    predictions.with_suffix('.about.json').write_text(json.dumps(about))
    (folder / 'iter_40.pth').touch()
    result = {
        'run': str(folder), 'checkpoint': 'iter_40.pth',
        'predictions': 'predictions/iter_40/val.json',
        'score_thr': 0.5, 'number_of_images': IMAGES, 'annotations_sha256': sha,
        'figures': values(records, 0.5),
    }  # fmt: skip
    (folder / 'evaluation_val.json').write_text(json.dumps(result))
    start = {'data': {'images': 34}}
    (folder / 'run.json').write_text(json.dumps({'seed': seed, 'starts': [start]}))
    (folder / 'config.py').write_text(
        "model = dict(backbone=dict(type='HybridViT'))\nload_from = 'box/model.safetensors'\n"
    )
    return folder


def rows(text: str, name: str) -> list[list[str]]:
    return [
        line.strip('| ').split(' | ')[1:]
        for line in text.splitlines()
        if line.startswith(f'| {name} |')
    ]


def test_tables_of_what_is_measured_and_what_is_not(truth: Path, tmp_path: Path) -> None:
    base = [store(tmp_path / f'base{k}', truth, k, 2) for k in range(2)]
    better = [store(tmp_path / f'better{k}', truth, k, 1) for k in range(2)]
    text = ablation({'base': base, 'better': better, 'wish': []}, 'base')
    trained, figures = rows(text, 'base')
    assert trained[:5] == ['34 images', 'HybridViT', 'box', '0, 1', '40']
    value = json.loads((base[0] / 'evaluation_val.json').read_text())['figures']['coco/segm_mAP']
    assert figures[0].startswith(f'{value:.3f} ± 0.000 (')
    assert figures[1:3] == ['', '']
    _, (_, difference, sure, *_) = rows(text, 'better')
    assert difference.startswith('+0.')
    assert sure == 'better'
    assert text.endswith('\n\nNot measured: wish.')
    assert not rows(text, 'wish')


def test_equal_runs_do_not_differ(truth: Path, tmp_path: Path) -> None:
    runs = {name: [store(tmp_path / name, truth, 0, 1)] for name in ('base', 'same')}
    _, (_, difference, sure, *_) = rows(ablation(runs, 'base'), 'same')
    assert difference == '+0.000 (+0.000 to +0.000)'
    assert sure == 'one seed'


def test_without_a_baseline_there_are_no_differences(truth: Path, tmp_path: Path) -> None:
    text = ablation({'base': [], 'one': [store(tmp_path / 'one', truth, 0, 1)]}, 'base')
    assert 'less base' not in text
    assert len(rows(text, 'one')) == 2
    assert text.endswith('Not measured: base.')


def test_from_the_command_line_runs_of_one_name_are_seeds(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    runs = [f'{name}={store(tmp_path / name, truth, 0, 1)}' for name in ('base', 'one')]
    runs.append(f'one={store(tmp_path / "two", truth, 7, 1)}')
    page = tmp_path / 'page.md'
    page.write_text('<!-- recipes:begin -->\n<!-- recipes:end -->\n')
    assert main(['--against', 'base', *runs, '--into', str(page)]) == 0
    assert rows(page.read_text(), 'one')[0][3] == '0, 7'
    assert main(['--against', 'none', *runs]) == 2
    assert '--against none: is none of base, one' in capsys.readouterr().err


def test_other_images_are_told(truth: Path, tmp_path: Path) -> None:
    runs = {name: [store(tmp_path / name, truth, 0, 1, sha=name)] for name in ('a', 'b')}
    with pytest.raises(UserError, match='were scored on other images'):
        ablation(runs, 'a')


def test_a_run_that_was_moved_is_read_where_it_lies(truth: Path, tmp_path: Path) -> None:
    run = store(tmp_path / 'run', truth, 5, 1)
    (run / 'iter_40.pth').unlink()  # checkpoints stay on the machine that trained
    moved = run.rename(tmp_path / 'moved')
    found = read_trained(moved, 'val')
    assert (found.seed, found.encoder, found.device) == (5, 'HybridViT', 'not known')


def test_a_run_without_evaluation_or_predictions_is_told(truth: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'evaluation_val\.json is not there'):
        read_trained(tmp_path, 'val')
    run = store(tmp_path / 'run', truth, 0, 1)
    (run / 'predictions' / 'iter_40' / 'val.json').unlink()
    with pytest.raises(UserError, match='again with --fresh'):
        ablation({'a': [run]}, 'a')


def test_a_difference_must_hold_over_images_and_over_seeds() -> None:
    from cellkit.metrics.bootstrap import Difference

    sure, unsure = Difference(0.01, 0.03, 1.0), Difference(-0.01, 0.03, 0.8)
    assert _verdict([0.82, 0.83], [0.80, 0.81], sure) == 'better'
    assert _verdict([0.80, 0.81], [0.82, 0.83], sure) == 'worse'
    assert _verdict([0.82, 0.83], [0.80, 0.81], unsure) == 'not sure'
    assert _verdict([0.75, 0.90], [0.70, 0.91], sure) == 'not sure'
    assert _verdict([0.82], [0.80, 0.81], sure) == 'one seed'
    assert _verdict([0.82, 0.83], [0.80, 0.81], None) == 'too few images'
