"""The report of a run: whole, half-finished, damaged, and of nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from cellkit.errors import UserError
from tools.report import report
from tools.report.__main__ import main


def test_whole_run(run: Path, read_page) -> None:
    made = report(run)
    assert made.missing == []
    out = run / 'report'
    page = read_page(made.page)
    assert len(page.loaded) == 7 + 3  # figures and pictures
    assert all(source.startswith('data:image/') for source in page.loaded)
    assert 'url(' not in made.page.read_text()
    for link in page.links:
        assert link[1:] in page.ids if link.startswith('#') else (out / link).is_file(), link
    assert {file.name for file in out.iterdir()} == {
        "report.html", "config.py", "errors.csv",
        "figure_calibration.png", "figure_errors.png", "figure_images.png", "figure_loss.png",
        "figure_metrics.png", "figure_precision_recall.png", "figure_threshold.png",
        "image_best_1.jpg", "image_best_2.jpg", "image_worst_1.jpg",
        "table_errors.csv", "table_errors.md", "table_figures.csv", "table_figures.md",
        "table_images.csv", "table_images.md", "table_every_epoch.csv", "table_every_epoch.md",
    }  # fmt: skip
    assert {made.page, *made.parts} == set(out.iterdir())
    for words in (
        "a note with <angles> & all", "synthetic demo smears", "sha256:abc", "30 min 05 s",
        "42 (drawn, in the log)", "2.12.1", "200 of 200 iterations", "max_iters=200",
        "after one temperature, 1.500", "All images together: 15 cells counted, 95 % interval",
    ):  # fmt: skip
        assert words in page.words, words
    for file in out.glob('*.png'):
        assert cv2.imread(str(file)).shape[1] > 1000


def test_half_finished_run(tmp_path: Path, log, config_text, read_page, capsys) -> None:
    """Killed before its first validation, in the middle of a line."""
    run = tmp_path / 'half'
    entries = [log.train(10), log.train(20)]
    log.write(run, '20260101_100000', entries, '{"loss": 0.3, "st')
    (run / 'cells.py').write_text(config_text)
    assert main([str(run)]) == 0
    said = capsys.readouterr().out
    page = read_page(run / 'report' / 'report.html')
    for words in (
        'training, which is at iteration 20 of 200',
        f'make train CONFIG={run}/cells.py WORK_DIR={run} RESUME=1',
        'the first validation (every 100 iterations)',
        'a checkpoint',
        f'make evaluate RUN={run}, once there is a checkpoint',
    ):
        assert words in said, words
        assert words in page.words, words
    assert 'cut off and were left out: 1.' in page.words
    names = {file.name for file in (run / 'report').iterdir()}
    assert names == {'report.html', 'figure_loss.png', 'config.py'}


def test_parts_that_are_no_longer_made_go_away(run: Path) -> None:
    report(run)
    (run / 'report' / 'my notes.txt').write_text('mine')
    (run / 'evaluation.json').unlink()
    report(run)
    names = {file.name for file in (run / 'report').iterdir()}
    assert names == {
        "report.html", "figure_loss.png", "figure_metrics.png", "config.py", "my notes.txt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda run: (run / 'evaluation.json').write_text('{'), "evaluation.json can't be read"),
        (
            lambda run: (run / 'predictions/best/test.json').unlink(),
            "the predictions aren't there or can't be read; run make evaluate",
        ),
        (
            lambda run: (run.parents[1] / 'data/annotations/test.json').write_text('{}'),
            'the annotations have changed since the evaluation',
        ),
        (
            lambda run: (run.parents[1] / 'data/annotations/test.json').unlink(),
            'there is no such annotation file',
        ),
        (
            lambda run: [f.unlink() for f in (run.parents[1] / 'data/images').rglob('*.png')],
            'can be read',
        ),
        (
            lambda run: (run.parents[1] / 'data/images/test/original/2.png').write_bytes(b'x'),
            '1 pictures: their images in',
        ),
        (lambda run: (run / 'cells.py').write_text('train_cfg = '), "cells.py can't be read"),
    ],
)
def test_what_is_damaged_is_named_and_the_rest_is_shown(
    damage, words, run, read_page, capsys
) -> None:
    damage(run)
    assert main([str(run)]) == 0
    assert words in capsys.readouterr().out
    page = read_page(run / 'report' / 'report.html')
    assert words in page.words
    assert len(page.loaded) >= 2


def test_nothing_was_predicted(run: Path, read_rows) -> None:
    (run / 'predictions/best/test.json').write_text('[]')
    evaluation = json.loads((run / 'evaluation.json').read_text())
    evaluation['figures'] = dict.fromkeys(evaluation['figures'])
    evaluation['intervals'] = {}
    evaluation["images"] = [
        dict.fromkeys(row) | {key: row[key] for key in ("image_id", "file_name", "true")}
        | {"predicted": 0}
        for row in evaluation["images"]
    ]  # fmt: skip
    (run / 'evaluation.json').write_text(json.dumps(evaluation))
    report(run)
    table = {row['outcome']: row for row in read_rows(run / 'report' / 'table_errors.csv')}
    assert table['missed / spurious']['true cells'] == '15 (100.0%)'
    assert table['missed / spurious']['predicted cells'] == '0 (0.0%)'


@pytest.mark.parametrize('kind', ['missing', 'empty', 'no run'])
def test_nothing_there(kind: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'work_dirs' / 'empty').mkdir(parents=True)
    arguments = {'missing': ['work_dirs/x'], 'empty': ['work_dirs/empty'], 'no run': []}[kind]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    assert re.match(r'report: work_dirs\S*: .*; .*\.$', said)
    with pytest.raises(UserError, match='work_dirs'):
        report(*arguments)
    assert list(tmp_path.rglob('*.html')) == []


def test_newest_run_needs_no_checkpoint(tmp_path: Path, log, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    log.write(Path('work_dirs/young'), '20260101_100000', [log.train(10)])
    assert report().page == Path('work_dirs/young/report/report.html')
    assert 'run: work_dirs/young (the newest)' in capsys.readouterr().out


def test_part_and_folder_can_be_named(run: Path, tmp_path: Path) -> None:
    made = report(str(run), part='val', out=tmp_path / 'there')
    assert made.page == tmp_path / 'there' / 'report.html'
    assert any('the evaluation on val' in item for item in made.missing)
    assert any(f'make evaluate RUN={run} PART=val' in item for item in made.missing)
    assert not (run / 'report').exists()


def test_a_notebooks_matplotlib_backend_is_no_hindrance(tmp_path: Path, log) -> None:
    """It names its own, without which `import matplotlib` fails; this environment may lack it."""
    log.write(tmp_path, '20260101_100000', [log.train(10)])
    environment = os.environ | {'MPLBACKEND': 'module://matplotlib_inline.backend_inline'}
    command = [sys.executable, '-m', 'tools.report', str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'report' / 'figure_loss.png').is_file()


def test_help_is_quick() -> None:
    """Nothing heavy is imported before the work begins."""
    code = 'import sys, tools.report.__main__; print(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    heavy = {'torch', 'mmengine', 'matplotlib', 'cv2', 'numpy', 'jinja2'}
    assert not heavy & set(done.stdout.split())
