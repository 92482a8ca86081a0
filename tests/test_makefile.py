"""What make hands on, seen by a stand-in for Python that writes down its arguments."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GIVEN = re.search(r'^GIVEN := (.*)$', (ROOT / 'Makefile').read_text(), re.MULTILINE)[1].split()
STAND_IN = f"""#!{sys.executable} -I
import json, os, sys
told = os.environ.get("DATA_ROOT"), sys.argv[1:]
with open(os.environ["CALLS"], "a") as file:
    print(json.dumps(told), file=file)
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
        self.status, self.said = 0, ''

    def __call__(self, *args: str, **env: str) -> list[list[str]]:
        """The calls of Python that make does, less the set-up that comes first."""
        self.log.unlink(missing_ok=True)
        clean = {k: v for k, v in os.environ.items() if k not in (*GIVEN, 'MAKEFLAGS')}
        command = ['make', '-C', ROOT, f'PY={self.python}', f'PYTHON={self.python}', *args]
        done = subprocess.run(
            command, env={**clean, 'CALLS': str(self.log), **env}, capture_output=True, text=True
        )
        self.status, self.said = done.returncode, done.stderr
        calls = [json.loads(line) for line in self.log.read_text().splitlines()]
        assert calls[0][1] == ['-m', 'tools.setup']
        self.data_root = calls[-1][0]
        return [call[1] for call in calls[1:]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


def targets() -> set[str]:
    text = (ROOT / 'Makefile').read_text().replace('\\\n', '')
    return set(re.search(r'^\.PHONY: (.*)$', text, re.MULTILINE)[1].split())


def test_bare_make_explains_every_target() -> None:
    page = subprocess.run(['make'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    shown = set(re.findall(r'^  ([a-z-]+) +\S', page, re.MULTILINE))
    assert shown == targets()
    assert {'setup', 'prepare', 'train', 'evaluate', 'test', 'lint', 'clean'} <= shown


def test_prepare_without_data(make: Make) -> None:
    assert make('prepare') == [['-m', 'data_prep.prepare']]
    assert make.data_root is None


def test_prepare_takes_paths_with_spaces(make: Make) -> None:
    data, out = "/some where/BCCD Dataset with mask (1)'s", 'my data/out'
    (call,) = make('prepare', f'DATA={data}', f'OUT={out}', 'ARGS=--skip-bad --seed 3')
    assert call[2:] == ['--data', data, '--out', out, '--skip-bad', '--seed', '3']


def test_browse_hands_on_what_is_given_and_asks_for_a_config(make: Make) -> None:
    (call,) = make('browse', 'CONFIG=my own.py', 'PART=val', 'OPTS=a=1 b=2', 'ARGS=--number 2')
    assert call[2:] == ['my own.py', '--part', 'val', '--opts', 'a=1 b=2', '--number', '2']
    assert make('browse') == []
    assert 'CONFIG=' in make.said


@pytest.mark.parametrize('target', ['prepare', 'train', 'evaluate', 'report', 'predict'])
def test_data_root_reaches_every_program(make: Make, target: str) -> None:
    make(target, DATA_ROOT='/pre pared')
    assert make.data_root == '/pre pared'
    make(target, 'DATA_ROOT=/pre pared')
    assert make.data_root == '/pre pared'


def test_out_is_what_a_program_writes_and_never_the_data(make: Make) -> None:
    for target in ('prepare', 'evaluate', 'report', 'predict'):
        (call,) = make(target, 'OUT=re sults')
        assert call[-2:] == ['--out', 're sults']
        assert make.data_root is None
    assert make('train', 'OUT=x') == []
    assert make.status != 0
    assert 'DATA_ROOT' in make.said


DOLLAR = '/lab/price$100/x y'


@pytest.mark.parametrize(
    ('target', 'name', 'before'),
    [
        ('prepare', 'DATA', '--data'),
        ('prepare', 'OUT', '--out'),
        ('train', 'CONFIG', 'tools.train'),
        ('train', 'WORK_DIR', '--work-dir'),
        ('train', 'RESUME', '--resume'),
        ('train', 'OPTS', '--opts'),
        ('evaluate', 'RUN', 'tools.evaluate'),
        ('evaluate', 'CHECKPOINTS', '--checkpoints'),
        ('evaluate', 'PART', '--part'),
        ('report', 'RUN', 'tools.report'),
        ('report', 'PART', '--part'),
        ('predict', 'IMAGES', 'tools.predict'),
        ('predict', 'RUN', '--run'),
        ('predict', 'OUT', '--out'),
    ],
)
def test_what_is_given_arrives_as_it_was_typed(
    make: Make, target: str, name: str, before: str
) -> None:
    (call,) = make(target, f'{name}={DOLLAR}')
    assert call[call.index(before) + 1] == DOLLAR
    (call,) = make(target, **{name: DOLLAR})  # from the environment
    assert call[call.index(before) + 1] == DOLLAR


def test_a_dollar_in_the_data_root_stays(make: Make) -> None:
    make('train', f'DATA_ROOT={DOLLAR}')
    assert make.data_root == DOLLAR


def test_train_hands_on_its_settings(make: Make) -> None:
    assert make('train') == [['-m', 'tools.train']]
    options = 'a.b=c work_dir="my runs/x" x=[1,2] lr=5e-4 y=*'
    (call,) = make('train', 'CONFIG=configs/my own.py', f'OPTS={options}', 'WORK_DIR=a b',
                   'RESUME=1', 'GPUS=2')  # fmt: skip
    assert call[2:] == [
        'configs/my own.py', '--gpus', '2', '--work-dir', 'a b', '--resume', '--opts', options,
    ]  # fmt: skip


def test_evaluate_report_and_predict_take_a_run(make: Make) -> None:
    (call,) = make('evaluate', 'RUN=work_dirs/a b', 'PART=val')
    assert call == ['-m', 'tools.evaluate', 'work_dirs/a b', '--part', 'val']
    (call,) = make('report', 'RUN=work_dirs/a b', 'PART=val')
    assert call == ['-m', 'tools.report', 'work_dirs/a b', '--part', 'val']
    (call,) = make('predict', 'IMAGES=/my slides', 'RUN=work_dirs/a b', 'ARGS=--scale 2')
    assert call[2:] == ['/my slides', '--run', 'work_dirs/a b', '--scale', '2']


def test_tune_hands_on_its_settings(make: Make) -> None:
    storage = 'postgresql://me:p$1@host/tune'
    (call,) = make('tune', 'SPACE=my spaces/a.py', 'TRIALS=8', 'STUDY=a b', f'STORAGE={storage}',
                   'RUN=work_dirs/a b', 'OUT=out', 'GPUS=2', 'OPTS=a.b=c')  # fmt: skip
    assert call[1:] == [
        'tools.tune', 'my spaces/a.py', '--trials', '8', '--study', 'a b', '--storage', storage,
        '--run', 'work_dirs/a b', '--out', 'out', '--gpus', '2', '--opts', 'a.b=c',
    ]  # fmt: skip
    assert make('tune') == []
    assert 'docs/tune.md' in make.said


def test_the_examples_of_the_help_page_are_settings_that_exist() -> None:
    text = (ROOT / 'Makefile').read_text()
    names = {
        name
        for line in re.findall(r'^#: (.*)$', text, re.M)
        for name in re.findall(r'\b([A-Z_]+)=', line)
    }
    given = re.search(r'^GIVEN := (.*)$', text, re.M)[1].split()
    assert names <= {*given, 'ARGS', 'GPUS', 'PYTHON', 'TEST_JOBS'}


def test_test_runs_pytest_on_some_cores(make: Make) -> None:
    (call,) = make('test', 'ARGS=tests/cellkit')
    assert call[:6] == ['-m', 'pytest', '-n', '2', '--dist', 'loadfile']
    assert call[-1] == 'tests/cellkit'


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
