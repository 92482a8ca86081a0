"""Set-up as a whole, without installing anything."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools.setup import __main__ as setup
from tools.setup.environment import ROOT
from tools.setup.process import SetupError


def requirements(path: Path) -> dict[str, SpecifierSet]:
    lines = [line.split('#')[0].strip() for line in path.read_text('utf-8').splitlines()]
    parsed = [Requirement(line) for line in lines if line]
    return {requirement.name.lower(): requirement.specifier for requirement in parsed}


def test_tested_versions_lie_in_the_ranges() -> None:
    tested = requirements(setup.TESTED)
    for name, specifier in requirements(setup.RANGES).items():
        (pin,) = tested[name]
        assert pin.operator == '=='
        assert pin.version in specifier, name


def test_what_builds_the_project_is_pinned() -> None:
    """The project is built without isolation, so tested.txt must bring the build tools."""
    tested = requirements(setup.TESTED)
    for file in [ROOT / 'pyproject.toml', *ROOT.glob('packaging/*/pyproject.toml')]:
        (needs,) = re.findall(r'^requires = \[(.+)\]$', file.read_text('utf-8'), re.MULTILINE)
        for name in re.findall(r'"([^"]+)"', needs):
            need = Requirement(name)
            (pin,) = tested[need.name]
            assert pin.version in need.specifier


@pytest.mark.parametrize(
    ('name', 'fork'), [('mmdet', 'onedl-mmdetection'), ('mmpretrain', 'onedl-mmpretrain')]
)
def test_metadata_follow_the_fork(name: str, fork: str) -> None:
    text = (ROOT / 'packaging' / name / 'pyproject.toml').read_text('utf-8')
    (pin,) = requirements(setup.TESTED)[fork]
    assert f'version = "{pin.version}"' in text


def test_every_distribution_is_installed() -> None:
    folders = {file.parent for file in ROOT.glob('packaging/*/pyproject.toml')}
    assert folders == set(setup.PROJECT[2:])


@pytest.mark.parametrize('version', [(3, 8), (3, 9), (3, 14)])
def test_unfit_python_is_named(version: tuple[int, int]) -> None:
    with pytest.raises(SetupError, match=rf'^Python {version[0]}\.{version[1]} .*PYTHON='):
        setup.check_python(version)


def test_fit_python_passes() -> None:
    for minor in range(10, 14):
        setup.check_python((3, minor))


def test_only_the_standard_library_is_used() -> None:
    code = 'import tools.setup.__main__'
    subprocess.run([sys.executable, '-S', '-c', code], check=True, cwd=ROOT)


def test_it_imports_where_there_are_no_file_locks() -> None:
    code = (
        'import sys; sys.modules["fcntl"] = None\n'
        'from tools.setup import __main__ as setup\n'
        'assert setup.fcntl is None\nsetup.BUILD.mkdir(exist_ok=True)\n'
        'with setup.alone(): print("in")'
    )
    answer = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert answer.stdout == 'in\n', answer.stderr


def test_where_the_interpreter_lies() -> None:
    assert setup.python_of(Path('v'), windows=False) == Path('v/bin/python')
    assert setup.python_of(Path('v'), windows=True) == Path('v/Scripts/python.exe')


class Pretended:
    """Writes down what would be installed."""

    calls: list[tuple] = []
    fails: str | None = None

    def __init__(self, python: Path, own: bool) -> None:
        self.python = python
        self.own = own

    def pip_install(self, label: str, *args: object, constraint: Path | None = None) -> None:
        Pretended.calls.append((label, self.python, args, constraint))
        if Pretended.fails:
            raise SetupError(Pretended.fails)

    def check(self) -> dict:
        return {'mmcv': '2.3.6', 'torch': '2.12.1', 'cuda': None}


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Pretended]:
    monkeypatch.setattr(Pretended, 'calls', [])
    monkeypatch.setattr(Pretended, 'fails', None)
    monkeypatch.setattr(setup, 'Environment', Pretended)
    monkeypatch.setattr(setup, 'BUILD', tmp_path / 'build')
    monkeypatch.setattr(setup, 'has_gpu', lambda: False)
    return Pretended


def made(command: list, label: str, log: Path, env: dict) -> None:
    """An environment as `python -m venv` leaves it, with the running interpreter."""
    python = setup.python_of(Path(command[-1]))
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)


@pytest.fixture
def quick_venv(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Environments are stand-ins; their folders are listed."""
    folders: list[Path] = []

    def run(command: list, label: str, log: Path, env: dict) -> None:
        folders.append(Path(command[-1]))
        made(command, label, log, env)

    monkeypatch.setattr(setup, 'run', run)
    return folders


def test_second_call_returns_at_once(
    tmp_path: Path, pretended: type[Pretended], quick_venv: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    venv = tmp_path / 'with space' / 'venv'
    assert setup.set_up(venv).startswith('Ready: ')
    assert [call[0] for call in pretended.calls] == [
        'Installing packages',
        'Installing the project',
    ]
    assert setup.set_up(venv) is None
    assert len(pretended.calls) == 2
    monkeypatch.setattr(setup, 'made_from', lambda: setup.place() + 'other requirements')
    assert setup.set_up(venv).startswith('Ready: ')
    assert len(quick_venv) == 1


def test_every_file_that_matters_is_in_the_mark() -> None:
    text = setup.made_from()
    for file in ('requirements.txt', 'requirements/tested.txt', 'pyproject.toml',
                 'packaging/mmdet/pyproject.toml', 'packaging/mmpretrain/pyproject.toml',
                 'packaging/mmcv-ops/pyproject.toml',
                 'packaging/mmcv-ops/src/mmcv/_ext.py'):  # fmt: skip
        assert (ROOT / file).read_text('utf-8') in text
    assert text.startswith(f'{ROOT}\n')


def test_failed_set_up_is_not_taken_for_done(
    tmp_path: Path, pretended: type[Pretended], quick_venv: list[Path],
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    pretended.fails = 'No room.'
    for _ in range(2):
        assert setup.main(['--venv', str(tmp_path / 'venv')]) == 2
        assert capsys.readouterr().err == 'No room.\n'
    pretended.fails = None
    assert setup.main(['--venv', str(tmp_path / 'venv')]) == 0
    assert len(quick_venv) == 1


def test_ctrl_c_is_130(pretended: type[Pretended], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(venv: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, 'make_venv', stop)
    assert setup.main(['--venv', 'nowhere']) == 130


def test_misspelt_option_is_2() -> None:
    with pytest.raises(SystemExit) as error:
        setup.main(['--nonsense'])
    assert error.value.code == 2


def test_a_failed_change_is_made_up_for_when_it_is_taken_back(
    tmp_path: Path, pretended: type[Pretended], quick_venv: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    setup.set_up(tmp_path / 'venv')
    with monkeypatch.context() as patch:
        patch.setattr(setup, 'made_from', lambda: setup.place() + 'other requirements')
        patch.setattr(pretended, 'fails', 'No room.')
        with pytest.raises(SetupError):
            setup.set_up(tmp_path / 'venv')
    assert setup.set_up(tmp_path / 'venv') is not None


@pytest.mark.parametrize('kind', ['venv without pip', 'folder', 'file'])
def test_what_we_did_not_make_stays(
    kind: str, tmp_path: Path, pretended: type[Pretended], quick_venv: list[Path],
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    place = tmp_path / 'theirs'
    kept = place / 'thesis.txt'
    if kind == 'file':
        kept = place
    elif kind == 'folder':
        place.mkdir()
    else:
        subprocess.run([sys.executable, '-m', 'venv', '--without-pip', place], check=True)
    kept.write_text('ten years of work')
    assert setup.main(['--venv', str(place)]) == 2
    assert re.match(rf'{place} was not made by `make setup` .*\.\n$', capsys.readouterr().err)
    assert kept.read_text() == 'ten years of work'
    assert not pretended.calls


def test_an_environment_behind_a_link_stays(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """It is another folder's: emptied, it could not be made anew through the link."""
    theirs, link = tmp_path / 'theirs', tmp_path / '.venv'
    theirs.mkdir()
    (theirs / setup.MARK).write_text('of another place')
    (theirs / 'lib').mkdir()
    link.symlink_to(theirs)
    assert setup.main(['--venv', str(link)]) == 2
    assert f'{link} is a link to {theirs}, which belongs to another' in capsys.readouterr().err
    assert (theirs / 'lib').is_dir()


def test_an_empty_folder_is_used(
    tmp_path: Path, pretended: type[Pretended], quick_venv: list[Path]
) -> None:
    (tmp_path / 'venv').mkdir()
    assert setup.main(['--venv', str(tmp_path / 'venv')]) == 0
    assert quick_venv == [tmp_path / 'venv']


@pytest.mark.parametrize('harm', ['no python', 'no pip', 'other python', 'moved'])
def test_one_of_ours_that_does_not_work_is_made_anew(
    harm: str, tmp_path: Path, pretended: type[Pretended], quick_venv: list[Path]
) -> None:
    venv = tmp_path / 'venv'
    setup.set_up(venv)
    (venv / 'lib').mkdir()
    (venv / 'lib64').symlink_to('lib')
    (venv / 'lib' / 'old').touch()
    python, mark = setup.python_of(venv), venv / setup.MARK
    if harm == 'no python':
        python.unlink()
    elif harm == 'no pip':
        python.write_text('#!/bin/sh\nexit 1\n')
    else:
        old, new = ('\nPython 3.', '\nPython 2.') if harm == 'other python' else (str(ROOT), '/old')
        mark.write_text(mark.read_text('utf-8').replace(old, new, 1), 'utf-8')
    if harm.startswith('no'):
        mark.write_text(setup.place(), 'utf-8')  # an install that did not finish
    assert setup.set_up(venv).startswith('Ready: ')
    assert len(quick_venv) == 2
    assert not (venv / 'lib').exists()
    assert mark.read_text('utf-8') == setup.made_from()


def test_a_full_disk_is_told_before_anything_is_fetched(
    tmp_path: Path, pretended: type[Pretended], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))(10**11, 10**11 - 10**9, 10**9)
    monkeypatch.setattr(setup.shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(SetupError, match=r'has 1\.0 GB free and needs 8: make room\.$'):
        setup.set_up(tmp_path / 'venv')


def test_a_venv_that_python_cannot_make_names_the_package(
    tmp_path: Path, pretended: type[Pretended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*args: object) -> None:
        raise SetupError('Making venv/ failed (ensurepip is not available).')

    monkeypatch.setattr(setup, 'run', run)
    with pytest.raises(SetupError, match=r'ensurepip.*python3-venv'):
        setup.set_up(tmp_path / 'venv')


def test_here_keeps_the_torch_that_is_there(pretended: type[Pretended]) -> None:
    assert setup.main(['--here']) == 0
    ((_, python, args, constraint),) = pretended.calls
    assert python == Path(sys.executable)
    assert args == ('-r', setup.RANGES, *setup.PROJECT)
    import torch
    import torchvision

    kept = constraint.read_text('utf-8').splitlines()
    assert [line.split('+')[0] for line in kept] == [
        f'torch=={torch.__version__.split("+")[0]}',
        f'torchvision=={torchvision.__version__.split("+")[0]}',
    ]


@pytest.mark.skipif(setup.fcntl is None, reason='no file locks here')
def test_a_second_one_waits_for_the_first(tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        import sys, time, pathlib
        from tools.setup import __main__ as setup
        setup.BUILD = pathlib.Path({str(tmp_path)!r})
        with setup.alone():
            print('in', time.time(), flush=True)
            time.sleep(1)
            print('out', time.time(), flush=True)
        """
    )
    both = [
        subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    spans = sorted([float(word) for word in re.findall(r'[\d.]{5,}', one.communicate()[0])]
                   for one in both)  # fmt: skip
    assert spans[0][1] <= spans[1][0] + 0.05


@pytest.mark.slow
def test_a_stranger_s_settings_reach_no_install(tmp_path: Path) -> None:
    """A real pip: `user` and a constraint that nothing can meet, in variables and in a file."""
    venv, package = tmp_path / 'venv', tmp_path / 'package'
    package.mkdir()
    (package / 'pyproject.toml').write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (package / 'backend.py').write_text(
        textwrap.dedent("""
        import zipfile
        def build_wheel(folder, settings=None, metadata=None):
            name = 'tiny-1-py3-none-any.whl'
            info = {
                'tiny.py': '',
                'tiny-1.dist-info/METADATA': 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n',
                'tiny-1.dist-info/WHEEL':
                    'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
                'tiny-1.dist-info/RECORD': '',
            }
            with zipfile.ZipFile(f'{folder}/{name}', 'w') as wheel:
                for path, text in info.items():
                    wheel.writestr(path, text)
            return name
        """)
    )
    subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
    (tmp_path / 'other.txt').write_text('tiny==2\n')
    file = tmp_path / 'pip.conf'
    file.write_text(f'[global]\nuser = true\nconstraint = {tmp_path / "other.txt"}\n')
    leaks = {'PIP_CONFIG_FILE': str(file), 'PIP_USER': '1', 'PIP_TARGET': str(tmp_path / 'away')}
    code = (
        'import sys; from pathlib import Path; from tools.setup.environment import Environment\n'
        f'env = Environment(Path({str(setup.python_of(venv))!r}), own=True)\n'
        f'env.pip_install("Installing a test", {str(package)!r})'
    )
    answer = subprocess.run([sys.executable, '-c', code], cwd=ROOT, env={**os.environ, **leaks},
                            capture_output=True, text=True)  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    subprocess.run([setup.python_of(venv), '-c', 'import tiny'], check=True)
