"""What there is of a run, and what is said to be missing."""

import json
from pathlib import Path

from tools.report.findings import find
from tools.runs.run import Run


def test_a_whole_run_lacks_nothing(run: Path) -> None:
    findings = find(Run(run))
    assert findings.missing == []
    assert (findings.length, findings.best_place) == (200, 100.0)
    assert findings.evaluation['part'] == 'test'


def test_an_evaluation_of_an_earlier_checkpoint_of_that_name_is_not_shown(run: Path) -> None:
    """As after a second `make train` into the same folder."""
    (run / 'best_coco_segm_mAP_iter_100.pth').write_bytes(b'trained again')
    findings = find(Run(run))
    assert findings.evaluation == {}
    (said,) = findings.missing
    assert 'is of an earlier best_coco_segm_mAP_iter_100.pth' in said


def test_evaluation_of_a_checkpoint_that_training_has_replaced(run: Path) -> None:
    old = run / 'best_coco_segm_mAP_iter_100.pth'
    old.rename(run / 'best_coco_segm_mAP_iter_200.pth')
    (said,) = find(Run(run)).missing
    assert 'the evaluation of best_coco_segm_mAP_iter_200.pth, as the one shown is of' in said


def test_the_first_evaluation_of_test_val_and_train_is_taken(run: Path) -> None:
    evaluation = json.loads((run / 'evaluation.json').read_text())
    for part in ('val', 'train'):
        (run / f'evaluation_{part}.json').write_text(json.dumps(evaluation | {'part': part}))
    assert find(Run(run)).evaluation['part'] == 'test'
    assert find(Run(run), 'train').evaluation['part'] == 'train'
    (run / 'evaluation.json').unlink()
    assert find(Run(run)).evaluation['part'] == 'val'


def test_a_run_whose_last_steps_were_not_logged_is_finished(run: Path, config_text: str) -> None:
    (run / 'cells.py').write_text(config_text.replace('200', '208'))
    assert any('the rest of training' in item for item in find(Run(run)).missing)
    (run / 'iter_208.pth').write_bytes(b'')
    assert find(Run(run)).missing == []


def test_the_config_is_trainings_own_not_that_of_mim_test(run: Path, config_text: str) -> None:
    (run / 'cells.py').write_text('made_by = "mim test"\n')
    (run / '20260101_100000' / 'vis_data' / 'config.py').write_text(config_text)
    assert find(Run(run)).length == 200
