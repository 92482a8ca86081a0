"""The table says what the evaluations say, and nothing is lost around it."""

import json
from pathlib import Path

import pytest

from tools.results import row
from tools.results.__main__ import main

BEGIN, END = '<!-- results:begin -->', '<!-- results:end -->'

FIGURES = {
    'coco/segm_mAP': 0.8123,
    'coco/segm_mAP_50': 0.95,
    'pixel/dice_pooled': 0.9449,
    'count/relative_error': 0.0512,
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / 'some_run'
    (folder / '20250101' / 'vis_data').mkdir(parents=True)
    steps = [(1.5, 20), (3.0, 40)]
    entries = [{'loss': 1.0, 'time': time, 'step': step} for time, step in steps]
    entries.insert(1, {'coco/segm_mAP': 0.5, 'time': 99.0, 'step': 0})  # a validation
    lines = '\n'.join(map(json.dumps, entries))
    (folder / '20250101' / 'vis_data' / 'scalars.json').write_text(lines)
    (folder / 'evaluation.json').write_text(json.dumps({'figures': FIGURES}))
    return folder


def test_minutes_are_those_of_training_steps(run: Path) -> None:
    assert row('x', run)[-1] == '2 min'  # (20 * 1.5 + 20 * 3.0) s


def test_an_evaluation_on_other_data_has_its_run_s_time(run: Path, tmp_path: Path) -> None:
    other = tmp_path / 'on_other'
    other.mkdir()
    content = json.dumps({'figures': FIGURES, 'run': str(run)})
    (other / 'evaluation.json').write_text(content)
    assert row('x', other)[0] == '`on_other`'
    assert row('x', other)[-1] == '2 min'


@pytest.mark.parametrize('inside', ['', 'tta'])
def test_a_run_that_was_moved_has_its_own_time(run: Path, tmp_path: Path, inside: str) -> None:
    (run / 'run.json').write_text('{}')
    (run / inside).mkdir(exist_ok=True)
    content = json.dumps({'figures': FIGURES, 'run': str(run), 'test_time_augmentation': inside})
    (run / inside / 'evaluation.json').write_text(content)
    moved = run.rename(tmp_path / 'moved') / inside
    run.mkdir()  # what lies there now is another one
    cells = row('x', moved)
    assert cells[0] == ('`moved --tta`' if inside else '`moved`')
    assert cells[-1] == '2 min'


def test_table_goes_between_the_markers(run: Path, tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n')
    for _ in range(2):  # again: replaced, not added
        assert main([f'12 images, a=b={run}', '--into', str(page)]) == 0
    text = page.read_text()
    assert text.startswith(f'before\n{BEGIN}\n| run ')
    assert text.endswith(f'{END}\nafter\n')
    assert 'old' not in text
    assert text.count('some_run') == 1
    cells = '| 12 images, a=b | 0.812 | 0.950 | 0.945 | not measured | not measured | 5.1% |'
    assert cells in text


@pytest.mark.parametrize('argument', ['no-name', 'x=no/such/run'])
def test_wrong_input_leaves_the_page_alone(argument: str, tmp_path: Path, capsys) -> None:
    page = tmp_path / 'page.md'
    page.write_text(f'{BEGIN}\nold\n{END}')
    assert main([argument, '--into', str(page)]) == 2
    assert page.read_text() == f'{BEGIN}\nold\n{END}'
    assert capsys.readouterr().err.count('\n') == 1


def test_page_without_markers(run: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / 'page.md'
    page.write_text('text')
    assert main([f'x={run}', '--into', str(page)]) == 2
    assert 'page.md lacks the lines' in capsys.readouterr().err
