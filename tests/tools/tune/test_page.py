"""The page says what the study found; so do the files beside it and the table of results."""

import json
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tools.tune.findings import Findings, gather
from tools.tune.page import ranges, write
from tools.tune.results import NOT_MEASURED, main, results_table, verdict
from tools.tune.runs import draw_parameters
from tools.tune.space import read_space

BODY = """
config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'
space = {'model.a.lr': dict(low=1e-4, high=1e-1, log=True), 'b': dict(low=1, high=9, step=4),
         'c': ['x', (1, 2), None]}
"""


def searched(folder: Path, number: int = 12, more: str = '') -> Findings:
    """A study with complete, pruned and failed trials."""
    folder.mkdir(exist_ok=True)
    file = folder / 'mine.py'
    file.write_text(BODY + more)
    space = read_space(file)
    directions = list(space.objectives.values())
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(directions=directions, sampler=sampler, study_name='mine')
    for k in range(number):
        trial = study.ask()
        draw_parameters(trial, space)
        if k == 3:
            trial.set_user_attr('reason', 'killed by SIGKILL, <as> when memory runs out')
            study.tell(trial, state=TrialState.FAIL)
        elif k == 5 and len(directions) == 1:
            trial.report(0.1, 1)
            trial.set_user_attr('curve', {'1': [75, 0.1]})
            trial.set_user_attr('reason', 'pruned at rung 1 of 4, coco/segm_mAP 0.100')
            study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr('curve', {'1': [75, k / 40], '2': [150, k / 20]})
            study.tell(trial, [k / 20, 1 + k / 10][: len(directions)])
    return gather(study, space)


class Page(HTMLParser):
    """What stands on a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.text = ''
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == 'img':
            self.pictures.append(dict(attrs)['src'])

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_and_its_files(tmp_path: Path) -> None:
    findings = searched(tmp_path)
    page = Page(write(findings, tmp_path, tmp_path / 'best.py'))
    assert findings.best.number == 11
    assert len(page.pictures) == 4  # history, importance, parallel coordinates, curves
    assert all(picture.startswith('data:image/png;base64,') for picture in page.pictures)
    for text in ('0.5500', 'pruned at rung 1 of 4', '<as> when memory', 'make train CONFIG='):
        assert text in page.text
    lines = (tmp_path / 'trials.csv').read_text(encoding='utf-8-sig').splitlines()
    assert len(lines) == 13
    assert lines[0] == 'trial,state,why,coco/segm_mAP,minutes,model.a.lr,b,c'
    assert lines[1].startswith('11,complete,')
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['states'] == {'complete': 10, 'failed': 1, 'pruned': 1}
    assert found['best']['values'] == {'coco/segm_mAP': 0.55}
    assert {f.name for f in tmp_path.glob('figure_*.png')} == {
        f'figure_{name}.png' for name in ('history', 'importance', 'parallel', 'curves')
    }


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    more = "objectives = {'coco/segm_mAP': 'maximize', 'seconds_per_image': 'minimize'}\n"
    findings = searched(tmp_path, more=more)
    page = Page(write(findings, tmp_path, None))
    assert 'figure_front.png' in {f.name for f in tmp_path.glob('*.png')}
    assert findings.front == [k for k in range(12) if k != 3]  # each is better in one of the two
    assert 'Beaten by no other trial' in page.text


def test_a_study_without_a_complete_trial_has_a_page(tmp_path: Path) -> None:
    page = Page(write(searched(tmp_path, number=0), tmp_path, None))
    assert 'No trial is complete.' in page.text
    assert not page.pictures


def test_ranges_in_words(tmp_path: Path) -> None:
    assert ranges(searched(tmp_path, number=0)) == [
        ('model.a.lr', '0.0001 to 0.1, logarithmic'),
        ('b', '1 to 9 in steps of 4'),
        ('c', 'x, (1, 2), None'),
    ]


def test_the_table_of_results(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write(searched(tmp_path / 'mine'), tmp_path / 'mine', None)
    repeat = [
        {'values': {'coco/segm_mAP': v}, 'parameters': {'settings': kind, 'randomness.seed': seed}}
        for kind, values in {'default': (0.50, 0.51, 0.52), 'best': (0.55, 0.56, 0.57)}.items()
        for seed, v in enumerate(values)
    ]
    (tmp_path / 'mine_repeat').mkdir()
    (tmp_path / 'mine_repeat' / 'found.json').write_text(json.dumps({'trials': repeat}))
    mine, other = results_table([Path('mine.py'), Path('other.py')], tmp_path).splitlines()[2:]
    assert '| 10, 1, 1 | `coco/segm_mAP` | 0.550 | 0.510 ± 0.010 | 0.560 ± 0.010 | yes' in mine
    assert other.count(NOT_MEASURED) == 6
    page = tmp_path / 'page.md'
    page.write_text('a\n<!-- tune:begin -->\nold\n<!-- tune:end -->\nb\n')
    assert main(['other.py', '--into', str(page), '--out', str(tmp_path)]) == 0
    assert 'old' not in page.read_text()
    assert other in page.read_text()
    assert 'Best of' not in page.read_text()
    assert main(['mine.py', '--into', str(page), '--out', str(tmp_path)]) == 0
    assert 'Best of `mine`: `' in page.read_text()
    assert main(['--into', str(tmp_path / 'none.md')]) == 2
    assert 'lacks the lines' in capsys.readouterr().err


def test_chance_is_two_standard_errors() -> None:
    assert verdict([0.5, 0.6, 0.4], [0.55, 0.65, 0.45]).startswith('no: +0.0500')
    assert verdict([0.5, 0.501], [0.55, 0.551]).startswith('yes: +0.0500')
    assert verdict([0.5], [0.6, 0.7]) == NOT_MEASURED
