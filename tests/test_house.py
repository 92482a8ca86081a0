"""The rules of the house: which room may import which, and one home for each fact."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cellkit.files.prepared import DEFAULT_ROOT

ROOT = Path(__file__).parents[1]
ROOMS = ('benchmarks', 'cellkit', 'custom_modules', 'data_prep', 'tools')
LINT = 'from importlinter.cli import lint_imports_command as run; run(["--no-cache"])'
OPENERS = {
    'fromfile', 'imread', 'imwrite', 'load', 'open', 'read_bytes', 'read_text', 'save', 'tofile',
    'write_bytes', 'write_text',
}  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the rooms, to do wrong in."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(ROOT / 'pyproject.toml', tmp_path)
    return tmp_path


def lint(house: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-c', LINT], cwd=house, capture_output=True, text=True)


def test_the_rooms_keep_to_their_layers(house: Path) -> None:
    done = lint(house)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ('file', 'wrong'),
    [
        ('cellkit/rle.py', 'import tools.runs.run'),
        ('cellkit/shapes.py', 'from pathlib import Path'),
        ('cellkit/metrics/pixel.py', 'import json'),
        ('cellkit/stain/guard.py', 'from cellkit.files import writing'),
        ('cellkit/overlaps.py', 'import torch'),
        ('data_prep/prepare.py', 'import mmengine'),
        ('data_prep/split.py', 'import custom_modules'),
        ('custom_modules/datasets/bccd_dataset.py', 'import data_prep.prepare'),
        ('custom_modules/engine/strict_runner.py', 'import tools.train'),
        ('tools/runs/run.py', 'import tools.evaluate.session'),
        ('tools/predict/slides.py', 'import tools.report.content'),
        ('tools/train/__init__.py', 'import benchmarks.harness'),
    ],
)
def test_a_wrong_import_fails(house: Path, file: str, wrong: str) -> None:
    path = house / file
    path.write_text(f'{path.read_text()}\n{wrong}\n')
    done = lint(house)
    assert done.returncode != 0
    assert wrong.split()[1] in done.stdout


def test_make_lint_checks_the_layers() -> None:
    assert 'importlinter' in (ROOT / 'Makefile').read_text()


def test_the_arithmetic_opens_no_file() -> None:
    """What an import can't tell: calls that open, read or write one."""
    found = []
    for file in (ROOT / 'cellkit').rglob('*.py'):
        if 'files' in file.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, 'attr', getattr(node.func, 'id', None))
                if name in OPENERS:
                    found.append(f'{file.relative_to(ROOT)}:{node.lineno} calls {name}')
    assert not found


def test_configs_and_programs_agree_on_the_default_data_root() -> None:
    texts = [file.read_text() for file in (ROOT / 'configs').rglob('*.py')]
    named = {root for text in texts for root in re.findall(r'\{\{\$DATA_ROOT:(.*?)\}\}', text)}
    assert named == {str(DEFAULT_ROOT)}
    for room in ROOMS:
        for file in (ROOT / room).rglob('*.py'):
            code = ast.parse(file.read_text())
            texts = [node.value for node in ast.walk(code) if isinstance(node, ast.Constant)]
            here = file == ROOT / 'cellkit' / 'files' / 'prepared.py'
            assert (str(DEFAULT_ROOT) in texts) == here, file
