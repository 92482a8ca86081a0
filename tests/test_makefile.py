"""What make hands on, seen by a stand-in for Python that writes down its arguments."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAND_IN = f"""#!{sys.executable} -I
import json, os, sys
told = os.environ.get("DATA_ROOT"), sys.argv[1:]
with open(os.environ["CALLS"], "a") as file:
    print(json.dumps(told), file=file)
if "tools.pick_config" in sys.argv:
    if "NO_DATA" in os.environ:
        sys.exit(1)
    print("configs/picked.py")
if "tools.setup" in sys.argv and "NO_SETUP" in os.environ:
    sys.exit(1)
"""


class Make:
    """Runs targets with the stand-in."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / 'python'
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)
        self.log = folder / 'calls'
        self.data_root: str | None = None
        self.status = 0

    def __call__(self, *args: str, **env: str) -> list[list[str]]:
        """The calls of Python that make does, less the set-up that comes first."""
        self.log.unlink(missing_ok=True)
        clean = {k: v for k, v in os.environ.items() if k not in ('DATA_ROOT', 'MAKEFLAGS')}
        command = ['make', '-C', ROOT, f'PY={self.python}', f'PYTHON={self.python}', *args]
        self.status = subprocess.run(
            command, env={**clean, 'CALLS': str(self.log), **env}, capture_output=True
        ).returncode
        calls = [json.loads(line) for line in self.log.read_text().splitlines()]
        assert calls[0][1] == ['-m', 'tools.setup']
        self.data_root = calls[-1][0]
        return [call[1] for call in calls[1:]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


def targets() -> set[str]:
    phony = re.search(r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    assert phony
    return set(phony[1].split())


def test_bare_make_explains_every_target() -> None:
    page = subprocess.run(['make'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    shown = set(re.findall(r'^  ([a-z-]+) +\S', page, re.MULTILINE))
    assert shown == targets()
    assert {'setup', 'prepare', 'train', 'evaluate', 'test', 'lint', 'clean'} <= shown


def test_prepare_without_data(make: Make) -> None:
    assert make('prepare') == [['-m', 'data_prep.prepare', '--out', 'data/bccd']]
    assert make.data_root == 'data/bccd'


def test_prepare_takes_paths_with_spaces(make: Make) -> None:
    data, out = "/some where/BCCD Dataset with mask (1)'s", 'my data/out'
    (call,) = make('prepare', f'DATA={data}', f'OUT={out}', 'ARGS=--skip-bad --seed 3')
    assert call[2:] == ['--data', data, '--out', out, '--skip-bad', '--seed', '3']
    assert make.data_root == out


def test_data_root_of_the_environment_counts(make: Make) -> None:
    assert make('prepare', DATA_ROOT='/prepared')[0][-1] == '/prepared'
    make('train', DATA_ROOT='/prepared')
    assert make.data_root == '/prepared'


def test_train_picks_a_config(make: Make) -> None:
    picked, train = make('train')
    assert picked == ['-m', 'tools.pick_config']
    assert train == ['-m', 'tools.run_mim', 'train', 'mmdet', 'configs/picked.py']


def test_train_stops_where_nothing_can_be_picked(make: Make) -> None:
    assert make('train', NO_DATA='1') == [['-m', 'tools.pick_config']]
    assert make.status != 0


def test_train_hands_on_its_settings(make: Make) -> None:
    options = 'a.b=c scale="(3,4)" x=[1,2] lr=5e-4 y=*'
    (call,) = make('train', 'CONFIG=configs/my own.py', f'OPTS={options}', 'WORK_DIR=a b',
                   'RESUME=1', 'GPUS=2')  # fmt: skip
    assert call[2:] == [
        'train', 'mmdet', 'configs/my own.py', '--launcher', 'pytorch', '--gpus', '2',
        '--work-dir', 'a b', '--resume', '--cfg-options',
        'a.b=c', 'scale="(3,4)"', 'x=[1,2]', 'lr=5e-4', 'y=*',
    ]  # fmt: skip


def test_train_resumes_from_a_named_checkpoint(make: Make) -> None:
    (call,) = make('train', 'CONFIG=c.py', 'RESUME=run/epoch_3.pth')
    assert call[-2:] == ['--resume', 'run/epoch_3.pth']


def test_evaluate_and_predict_take_a_run(make: Make) -> None:
    (call,) = make('evaluate', 'RUN=work_dirs/a b', 'PART=val')
    assert call == ['-m', 'tools.evaluate', 'work_dirs/a b', '--part', 'val']
    (call,) = make('predict', 'IMAGES=/my slides', 'RUN=work_dirs/a b', 'ARGS=--scale 2')
    assert call[2:] == ['/my slides', '--run', 'work_dirs/a b', '--scale', '2']
    assert make('evaluate') == [['-m', 'tools.evaluate']]
    (call,) = make('evaluate', 'CHECKPOINTS=run/a.pth run/b.pth')
    assert call[2:] == ['run/a.pth', 'run/b.pth']
    (call,) = make('report', 'RUN=work_dirs/a b', 'ARGS=--part val')
    assert call == ['-m', 'tools.report', 'work_dirs/a b', '--part', 'val']


def test_test_runs_pytest_on_some_cores(make: Make) -> None:
    (call,) = make('test', 'ARGS=tests/cellkit')
    assert call == ['-m', 'pytest', '-n', '2', '--dist', 'loadfile', 'tests/cellkit']


@pytest.mark.parametrize('target', sorted(targets() - {'help', 'clean', 'setup'}))
def test_every_target_sets_up_first_and_stops_where_that_fails(make: Make, target: str) -> None:
    assert make(target, NO_SETUP='1') == []
    assert make.status != 0


def test_continuous_integration_calls_make_test() -> None:
    script = ROOT / '.ci' / 'run'
    assert os.access(script, os.X_OK)
    assert 'make test' in script.read_text().splitlines()


@pytest.mark.parametrize('path', ['data/bccd/x.json', 'work_dirs/run/a.pth', '.venv/x', 'build/x'])
def test_git_leaves_out_what_is_made(path: str) -> None:
    assert subprocess.run(['git', 'check-ignore', '-q', path], cwd=ROOT).returncode == 0
