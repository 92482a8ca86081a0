"""What a long command shows, and what is said when it fails."""

import os
import sys
from pathlib import Path

import pytest

from tools.setup import process
from tools.setup.process import SetupError, cause


def test_failure_names_the_log_and_the_cause(tmp_path: Path) -> None:
    log = tmp_path / 'logs' / 'x.log'
    code = "print('ERROR: no such thing'); print('and more'); raise SystemExit(1)"
    with pytest.raises(SetupError) as error:
        process.run([sys.executable, '-c', code], 'Installing', log, os.environ)
    assert str(error.value) == (
        f'Installing failed (ERROR: no such thing): the whole log is {log}.'
    )


def test_progress_is_the_last_step_of_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(process, 'SECONDS_BETWEEN_LINES', 0.3)
    code = (
        'import time; print("Collecting torch==2.12.1\\n  Downloading torch-2.12.1.whl (555 MB)'
        '\\n   ━━━", flush=True); time.sleep(1)'
    )
    env = {**os.environ, 'PYTHONIOENCODING': 'utf-8'}
    process.run([sys.executable, '-c', code], 'Installing', tmp_path / 'x.log', env)
    told = capsys.readouterr().out
    assert 's Downloading torch-2.12.1.whl\n' in told
    assert told.splitlines()[-1].startswith('Installing: done in ')


@pytest.mark.parametrize(
    'text',
    [
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'\n"
        'ERROR: Could not find a version that satisfies the requirement hatchling (from versions: '
        'none)\nERROR: No matching distribution found for hatchling',
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'ProxyError(...)'\n"
        'ERROR: No matching distribution found for torch==2.12.1',
        'pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool: Read timed out.',
    ],
)
def test_a_silent_index_is_called_so(text: str) -> None:
    assert cause(text).startswith('the package index does not answer: check the network')


@pytest.mark.parametrize(
    'text',
    [
        'ERROR: No matching distribution found for hatchling==1.33.0',
        'ERROR: Cannot install hatchling==1.33.0 because these package versions have conflicting '
        'dependencies.\nThe conflict is caused by:\n    The user requested hatchling==1.33.0\n'
        '    The user requested (constraint) hatchling==1.33.0\n'
        'ERROR: ResolutionImpossible: for help visit a page',
    ],
)
def test_a_missing_package_may_be_the_network(text: str) -> None:
    """pip is silent on a connection that it does not try again."""
    assert cause(text).startswith('the package index does not answer or has no hatchling==1.33.0:')


def test_a_conflict_and_a_full_disk_keep_their_line() -> None:
    conflict = (
        'ERROR: Cannot install torch==2.4.1 and torchvision==0.27.1 because these package versions '
        'have conflicting dependencies.\n    torchvision 0.27.1 depends on torch==2.12.1\n'
        'ERROR: ResolutionImpossible: for help visit a page'
    )
    assert cause(conflict) == conflict.splitlines()[0]
    full = (
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError'\n"
        'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device'
    )
    assert cause(full).endswith('No space left on device')
    assert cause('') == 'no output'
