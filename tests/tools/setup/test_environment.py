"""What of the surroundings counts, and what the closing line says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.setup import environment
from tools.setup.environment import Environment, closing_line, supports
from tools.setup.process import SetupError

HERE = Path(sys.executable)
ARCHS = ['sm_75', 'sm_80', 'sm_86', 'sm_90', 'sm_100', 'sm_120']
CPU = {'mmcv': '2.3.6', 'torch': '2.12.1+cu130', 'cuda': '13.0'}
LEAKS = {
    'user': '1', 'constraint': 'other.txt', 'target': 'elsewhere', 'prefix': 'elsewhere',
    'require-virtualenv': '1', 'no-deps': '1', 'no-build-isolation': '0', 'no-binary': ':all:',
    'pre': '1', 'dry-run': '1', 'require-hashes': '1', 'quiet': '2',
}  # fmt: skip


def pip_variable(key: str) -> str:
    return 'PIP_' + key.upper().replace('-', '_')


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No settings of pip but the test's own."""
    for name in [name for name in os.environ if name.startswith('PIP_')]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def configured(bare: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The test's own settings come from a file, as a user's pip.conf does."""
    lines = [f'{key} = {value}' for key, value in LEAKS.items()]
    lines += ['index-url = https://mirror.example/simple', 'proxy = http://proxy.example:3128']
    file = tmp_path / 'pip.conf'
    file.write_text('[global]\n' + '\n'.join(lines) + '\n[install]\nuser = true\ntimeout = 77\n')
    bare.setenv('PIP_CONFIG_FILE', str(file))
    return bare


def test_variables_that_change_what_is_installed_do_not_count(bare: pytest.MonkeyPatch) -> None:
    for key, value in LEAKS.items():
        bare.setenv(pip_variable(key), value)
    bare.setenv('PIP_FIND_LINKS', 'wheels')
    env = Environment(HERE, own=True).env
    assert not {pip_variable(key) for key in LEAKS} & set(env)
    assert env['PIP_FIND_LINKS'] == 'wheels'


def test_a_configuration_file_says_only_where_from(configured: pytest.MonkeyPatch) -> None:
    env = Environment(HERE, own=True).env
    assert env['PIP_INDEX_URL'] == 'https://mirror.example/simple'
    assert env['PIP_PROXY'] == 'http://proxy.example:3128'
    assert env['PIP_TIMEOUT'] == '77'
    assert not {pip_variable(key) for key in LEAKS} & set(env)
    # What pip itself sees under it.
    command = [sys.executable, '-m', 'pip', 'config', 'list']
    listed = subprocess.run(command, env=env, capture_output=True, text=True).stdout
    assert 'mirror.example' in listed
    assert 'global.' not in listed
    assert 'constraint' not in listed


def test_a_variable_is_stronger_than_the_file(configured: pytest.MonkeyPatch) -> None:
    configured.setenv('PIP_INDEX_URL', 'https://other.example/simple')
    configured.setenv('PIP_TIMEOUT', '5')
    env = Environment(HERE, own=True).env
    assert env['PIP_INDEX_URL'] == 'https://other.example/simple'
    assert env['PIP_TIMEOUT'] == '5'


def test_a_broken_configuration_file_is_named(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / 'pip.conf'
    file.write_text('no section\n')
    bare.setenv('PIP_CONFIG_FILE', str(file))
    with pytest.raises(SetupError, match=r'^pip.s settings .*pip\.conf.* mend them'):
        Environment(HERE, own=True)


def test_python_s_own_paths_count_only_in_the_running_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ('PYTHONPATH', 'PYTHONHOME'):
        monkeypatch.setenv(name, sys.prefix)
    assert not {'PYTHONPATH', 'PYTHONHOME'} & set(Environment(HERE, own=True).env)
    monkeypatch.delenv('PYTHONHOME')
    assert Environment(HERE, own=False).env['PYTHONPATH'] == sys.prefix


def test_a_cache_that_cannot_be_written_is_done_without(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'file').touch()
    bare.setenv('PIP_CACHE_DIR', str(tmp_path / 'file' / 'cache'))
    assert Environment(HERE, own=True).env['PIP_NO_CACHE_DIR'] == '1'
    bare.setenv('PIP_CACHE_DIR', str(tmp_path / 'cache'))
    assert 'PIP_NO_CACHE_DIR' not in Environment(HERE, own=True).env


def test_the_constraint_reaches_pip_and_what_it_builds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = {}
    monkeypatch.setattr(environment, 'run', lambda command, label, log, env: seen.update(env))
    ours = Environment(HERE, own=True)
    ours.pip_install('Installing', 'x', constraint=tmp_path / 'kept.txt')
    assert seen['PIP_CONSTRAINT'] == seen['PIP_BUILD_CONSTRAINT'] == str(tmp_path / 'kept.txt')
    assert 'PIP_CONSTRAINT' not in ours.env


def test_failing_check_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, 'CHECK', 'import no_such_module')
    with pytest.raises(SetupError) as error:
        Environment(HERE, own=True).check()
    assert 'No module named' in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('archs', 'capability', 'wanted'),
    [
        (ARCHS, (6, 0), False),  # P100
        (ARCHS, (7, 0), False),  # V100
        (ARCHS, (7, 5), True),  # T4
        (ARCHS, (8, 9), True),  # L4: code for 8.6 runs
        (ARCHS, (9, 0), True),
        (ARCHS, (11, 0), False),
        ([*ARCHS, 'compute_120'], (13, 0), True),  # compiled on the spot from PTX
        (['sm_90a'], (9, 0), True),
        (['sm_50', 'sm_60', 'sm_70'], (6, 1), True),
        ([], (9, 0), False),
    ],
)
def test_which_gpus_a_build_of_torch_supports(
    archs: list[str], capability: tuple[int, int], wanted: bool
) -> None:
    assert supports(archs, capability) == wanted


def gpu(name: str, capability: tuple[int, int], error: str | None) -> dict:
    return {**CPU, 'gpu': name, 'capability': capability, 'archs': ARCHS, 'error': error}


@pytest.mark.parametrize(
    ('facts', 'smi', 'parts'),
    [
        (CPU, False, ['nms runs on CPU (torch sees no GPU)']),
        (CPU, True, ['CPU only', 'driver is too old for CUDA 13.0', 'torch==2.7.1', '--here']),
        ({**CPU, 'cuda': None}, True, ['CPU only', 'built without CUDA']),
        (gpu('NVIDIA H100', (9, 0), None), True, ['nms runs on CPU and on NVIDIA H100']),
        (
            gpu('Tesla P100', (6, 0), 'no kernel image is available'),
            True,
            ['CPU only', 'Tesla P100 is sm_60', 'sm_75', 'torchvision==0.22.1', '--here'],
        ),
        (
            gpu('NVIDIA H100', (9, 0), 'out of memory'),
            True,
            ['CPU only', 'on NVIDIA H100 it fails (out of memory)'],
        ),
    ],
)
def test_closing_line(facts: dict, smi: bool, parts: list[str]) -> None:
    line = closing_line(facts, smi)
    assert line.startswith('Ready: mmcv 2.3.6, torch 2.12.1+cu130; nms runs on CPU')
    assert all(part in line for part in parts)
    assert '\n' not in line


def test_this_environment_passes_the_closing_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under a notebook's variables, and with a stranger's torch on PYTHONPATH."""
    (tmp_path / 'torch.py').write_text('raise ImportError("a stranger")')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    monkeypatch.setenv('MPLBACKEND', 'module://no_such_module.backend_inline')
    assert 'nms runs on CPU' in closing_line(Environment(HERE, own=True).check(), False)
