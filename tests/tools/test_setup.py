"""Set-up without installing anything: which way it takes, and what it says."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools.setup import __main__ as setup
from tools.setup import mmcv, process
from tools.setup.environment import ROOT, Environment, last_package
from tools.setup.process import SetupError

TORCH = {'torch': '2.12.1+cu130', 'cuda': '13.0', 'gpu': False, 'arch': '', 'python': 'cp311'}


def requirements(path: Path) -> dict[str, SpecifierSet]:
    lines = [line.split('#')[0].strip() for line in path.read_text().splitlines()]
    parsed = [Requirement(line) for line in lines if line]
    return {requirement.name.lower(): requirement.specifier for requirement in parsed}


@pytest.mark.parametrize('ranges', [setup.RANGES, setup.FOR_BUILD], ids=lambda path: path.name)
def test_tested_versions_lie_in_the_ranges(ranges: Path) -> None:
    tested = requirements(setup.TESTED)
    for name, specifier in requirements(ranges).items():
        (pin,) = tested[name]
        assert pin.operator == '=='
        assert pin.version in specifier, name


def test_mmdet_s_metadata_follow_the_fork() -> None:
    text = (ROOT / 'packaging' / 'mmdet' / 'pyproject.toml').read_text()
    assert f'version = "{setup.pinned("onedl-mmdetection")}"' in text


@pytest.mark.parametrize('version', [(3, 8), (3, 9), (3, 14)])
def test_unfit_python_is_named(version: tuple[int, int]) -> None:
    with pytest.raises(SetupError, match=rf'^Python {version[0]}\.{version[1]} .*PYTHON='):
        setup.check_python(version)


def test_fit_python_passes() -> None:
    for minor in range(10, 14):
        setup.check_python((3, minor))


def test_second_call_returns_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(setup, 'make_venv', lambda venv: venv / 'bin' / 'python')
    monkeypatch.setattr(setup, 'install', lambda env, keep_torch: calls.append(env) or 'Ready')
    monkeypatch.setattr(setup, 'has_gpu', lambda: False)
    assert setup.set_up(tmp_path) == 'Ready'
    assert setup.set_up(tmp_path) is None
    assert len(calls) == 1
    monkeypatch.setattr(setup, 'fingerprint', lambda gpu: 'other requirements')
    assert setup.set_up(tmp_path) == 'Ready'


def test_failed_set_up_is_not_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(env: Environment, keep_torch: bool) -> str:
        raise SetupError('No room.')

    monkeypatch.setattr(setup, 'make_venv', lambda venv: venv / 'bin' / 'python')
    monkeypatch.setattr(setup, 'install', fail)
    monkeypatch.setattr(setup, 'has_gpu', lambda: False)
    for _ in range(2):
        assert setup.main(['--venv', str(tmp_path)]) == 1
        assert capsys.readouterr().err == 'No room.\n'


def test_a_gpu_asks_for_another_build() -> None:
    assert setup.fingerprint(True) != setup.fingerprint(False)
    with_gpu = {**TORCH, 'gpu': True, 'arch': '90'}
    assert mmcv.build_key('2.3.6', TORCH) != mmcv.build_key('2.3.6', with_gpu)


def test_failure_names_the_log_and_the_cause(tmp_path: Path) -> None:
    log = tmp_path / 'logs' / 'x.log'
    code = "print('file.cpp:3: error: no such thing'); print('and more'); raise SystemExit(1)"
    with pytest.raises(SetupError) as error:
        process.run([sys.executable, '-c', code], 'Compiling', log)
    assert str(error.value) == (
        f'Compiling failed (file.cpp:3: error: no such thing): the whole log is {log}.'
    )


def test_progress_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(process, 'SECONDS_BETWEEN_LINES', 0.3)
    command = [sys.executable, '-c', 'import time; time.sleep(1)']
    process.run(command, 'Compiling', tmp_path / 'x.log', lambda: '(3 of 78 files)')
    told = capsys.readouterr().out
    assert '(3 of 78 files)' in told
    assert told.splitlines()[-1].startswith('Compiling: done in ')


def test_progress_of_pip_is_its_last_package(tmp_path: Path) -> None:
    log = tmp_path / 'pip.log'
    log.write_text('Collecting torch==2.12.1\n  Downloading torch-2.12.1.whl (555 MB)\n    ━━━\n')
    assert last_package(log)() == 'Downloading torch-2.12.1.whl'


def test_progress_of_the_compiler_counts_files(tmp_path: Path) -> None:
    operators = tmp_path / mmcv.OPERATORS
    for name in ('a.cpp', 'cpu/b.cpp', 'cuda/c.cu', 'cuda/d.cpp'):
        (operators / name).parent.mkdir(parents=True, exist_ok=True)
        (operators / name).touch()
    done = tmp_path / 'build' / 'temp.linux-x86_64' / 'mmcv' / 'a.o'
    done.parent.mkdir(parents=True)
    done.touch()
    assert mmcv.compiled(tmp_path, gpu=False)() == '(1 of 2 files)'
    assert mmcv.compiled(tmp_path, gpu=True)() == '(1 of 4 files)'


def test_index_page_follows_the_forks_rule() -> None:
    assert mmcv.index_page(TORCH).endswith('/cu130-torch2120/simple/onedl-mmcv/index.html')
    assert '/cpu-torch2110/' in mmcv.index_page({**TORCH, 'torch': '2.11.0', 'cuda': None})


def test_unreachable_index_costs_seconds() -> None:
    assert not mmcv.reachable('http://localhost:9/index.html', seconds=1)


def test_cuda_wheels_get_the_layout_of_a_toolkit(tmp_path: Path) -> None:
    wheels = tmp_path / 'cu13'
    for folder in ('bin', 'include', 'nvvm', 'lib'):
        (wheels / folder).mkdir(parents=True)
    (wheels / 'bin' / 'nvcc').touch()
    (wheels / 'lib' / 'libcudart.so.13').touch()
    for _ in range(2):  # a second time as well
        home = mmcv.as_toolkit(wheels, tmp_path / 'cuda')
        assert (home / 'bin' / 'nvcc').is_file()
        assert (home / 'lib64' / 'libcudart.so').resolve() == wheels / 'lib' / 'libcudart.so.13'


class Pretended(Environment):
    """Writes down what would be installed; works after the steps that it is told."""

    def __init__(self, folder: Path, works_after: str) -> None:
        super().__init__(folder / 'bin' / 'python', folder / 'mark')
        self.steps: list[str] = []
        self.works_after = works_after

    def pip(self, label: str, *args: str | Path) -> None:
        self.steps.append(label)

    def torch(self) -> Mapping:
        return TORCH

    def works(self) -> tuple[bool, str]:
        return bool(self.steps) and self.steps[-1] == self.works_after, 'checked'


@pytest.fixture
def no_wheel_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    wheel = tmp_path / 'onedl_mmcv-2.3.6-cp311.whl'
    wheel.write_bytes(b'wheel')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(mmcv, 'reachable', lambda url: False)
    monkeypatch.setattr(mmcv, 'build_wheel', lambda env, version, torch: wheel)
    return tmp_path


def test_mmcv_is_compiled_once_for_all_clones(no_wheel_yet: Path) -> None:
    first = Pretended(no_wheel_yet, 'Installing mmcv')
    assert mmcv.install_mmcv(first, '2.3.6') == 'checked'
    assert first.steps == ['Installing mmcv']
    second = Pretended(no_wheel_yet, 'Installing mmcv, compiled earlier')
    second.mark.unlink()
    assert mmcv.install_mmcv(second, '2.3.6') == 'checked'
    assert second.steps == ['Installing mmcv, compiled earlier']


def test_wheel_that_does_not_work_is_compiled_anew(no_wheel_yet: Path) -> None:
    kept = mmcv.wheel_cache() / mmcv.build_key('2.3.6', TORCH) / 'onedl_mmcv-2.3.6-cp311.whl'
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b'broken')
    env = Pretended(no_wheel_yet, 'Installing mmcv')
    mmcv.install_mmcv(env, '2.3.6')
    assert env.steps == ['Installing mmcv, compiled earlier', 'Installing mmcv']
    assert kept.read_bytes() == b'wheel'


def test_a_ready_wheel_is_tried_where_the_index_answers(
    no_wheel_yet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmcv, 'reachable', lambda url: True)
    env = Pretended(no_wheel_yet, 'Trying a ready mmcv wheel')
    mmcv.install_mmcv(env, '2.3.6')
    assert env.steps == ['Trying a ready mmcv wheel']


def test_failing_check_after_compiling_is_an_error(no_wheel_yet: Path) -> None:
    with pytest.raises(SetupError, match='its check fails'):
        mmcv.install_mmcv(Pretended(no_wheel_yet, 'never'), '2.3.6')
    assert not list(mmcv.wheel_cache().glob('*/*.whl'))


def test_this_environment_passes_the_closing_check(tmp_path: Path) -> None:
    works, line = Environment(Path(sys.executable), tmp_path / 'mark').works()
    assert works, line
    assert 'nms runs on CPU' in line
