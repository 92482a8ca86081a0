"""The evaluated part: which annotations and predictions, and the cause of every error."""

import json
from pathlib import Path

import numpy as np
import pytest

from cellkit.errors import UserError
from cellkit.metrics.error_analysis import PREDICTED_OUTCOMES, TRUE_OUTCOMES
from tools.report import analysis
from tools.report.analysis import Part, analyse, evaluated_annotations


@pytest.fixture
def evaluation(run: Path) -> dict:
    return json.loads((run / 'evaluation.json').read_text())


def test_errors_are_the_ones_that_were_made(run: Path, evaluation: dict) -> None:
    made = analyse(Part(run, evaluation))
    found = []
    for cells, names in ((made.true, TRUE_OUTCOMES), (made.predicted, PREDICTED_OUTCOMES)):
        first = cells.image == 1
        outcomes = [names[k] for k in cells.outcome[first]]
        found += zip(outcomes, *cells.centre[first].T.tolist(), strict=True)
    assert sorted(entry for entry in found if entry[0] != 'found') == [
        ('merged', 45.0, 15.0),
        ('merged', 65.0, 15.0),
        ('merging', 55.0, 15.5),
        ('missed', 15.0, 60.0),
        ('piece of a split cell', 90.0, 14.5),
        ('piece of a split cell', 100.0, 14.5),
        ('split', 95.0, 15.0),
        ('spurious', 70.0, 60.0),
    ]


def test_areas_crowding_and_border(run: Path, evaluation: dict) -> None:
    made = analyse(Part(run, evaluation))
    true, predicted = made.true, made.predicted
    assert made.diameter == pytest.approx(2 * np.sqrt(400 / np.pi))  # 34 px away are neighbours
    assert true.neighbours[true.image == 1].tolist() == [1, 2, 2, 1, 0]
    # The first is found: the true cell that it finds is no neighbour. The merging one has three.
    assert predicted.neighbours[predicted.image == 1].tolist() == [1, 2, 2, 1, 0]
    assert predicted.area[predicted.image == 1].tolist() == [400, 840, 190, 190, 400]


@pytest.mark.parametrize(('border', 'near'), [(5, False), (6, True)])
def test_the_border_is_so_many_pixels_wide(border, near, run, evaluation, monkeypatch) -> None:
    monkeypatch.setattr(analysis, 'BORDER', border)
    true = analyse(Part(run, evaluation)).true
    assert true.at_border[true.image == 1].tolist() == [near] * 5  # all lie 5 pixels away


def test_curves_take_all_detections(run: Path, evaluation: dict) -> None:
    curves = analyse(Part(run, evaluation)).curves
    assert curves.precision[0].mean() == pytest.approx(evaluation['figures']['coco/segm_mAP'])


def test_predictions_of_another_checkpoint_are_not_taken(run: Path, evaluation: dict) -> None:
    side = run / 'predictions/best/test.about.json'
    side.write_text(json.dumps(json.loads(side.read_text()) | {'checkpoint_sha256': 'other'}))
    with pytest.raises(UserError, match='of another checkpoint than the figures'):
        Part(run, evaluation)


def test_annotations_are_looked_for_where_the_data_lie_now(
    run: Path, evaluation: dict, tmp_path: Path, monkeypatch
) -> None:
    named = Path(evaluation['annotations'])
    assert evaluated_annotations(evaluation) == named
    moved, other = tmp_path / 'moved', tmp_path / 'other'
    named.parents[1].rename(moved)
    with pytest.raises(UserError, match=r'no such annotation file; prepare .* --data'):
        evaluated_annotations(evaluation)
    assert evaluated_annotations(evaluation, moved) == moved / 'annotations' / 'test.json'
    monkeypatch.setenv('DATA_ROOT', str(moved))
    assert evaluated_annotations(evaluation) == moved / 'annotations' / 'test.json'
    with pytest.raises(UserError, match=str(other)):  # what is named goes before DATA_ROOT
        evaluated_annotations(evaluation, other)
