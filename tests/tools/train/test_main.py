"""Training as a function and as a command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cellkit.errors import UserError
from tools import train as training
from tools.train import train
from tools.train.__main__ import main

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py'
SMALL = (160, 120)
TINY = {
    'train_dataloader.dataset.pipeline.2.scale': SMALL,
    'val_dataloader.dataset.pipeline.1.scale': SMALL,
    'train_dataloader.batch_size': 1,
    **{f'{part}_dataloader.num_workers': 0 for part in ('train', 'val', 'test')},
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.logger.interval': 1,
}


def failure(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    """The one sentence that a failing command says."""
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('train: ')
    assert error.endswith('.')
    return error


def test_a_misspelt_config_names_those_that_are_there(capsys: pytest.CaptureFixture) -> None:
    sentence = failure([str(ROOT / 'configs' / 'bccd_vitb.py')], capsys)
    assert 'there is no such config' in sentence
    assert CONFIG.name in sentence


def test_a_misspelt_override_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = tmp_path / 'run'
    command = [str(CONFIG), '--work-dir', str(run), '--opts', 'optim_wraper.optimizer.lr=1']
    assert 'the nearest is `optim_wrapper.optimizer.lr`' in failure(command, capsys)
    assert not run.exists()


def test_missing_data_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'none'))
    assert 'make prepare' in failure([str(CONFIG), '--work-dir', str(tmp_path / 'run')], capsys)


def test_several_gpus_are_mims(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = []

    def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
        commands.append(command)
        assert 'SIGUSR1' in env['TORCHELASTIC_SIGNALS_TO_HANDLE']
        return subprocess.CompletedProcess(command, len(commands) - 1)

    monkeypatch.setattr(training.subprocess, 'run', run)
    assert train(CONFIG, ['a.b=1'], work_dir=tmp_path, resume=True, gpus=2) == tmp_path
    assert commands[0][3:] == [
        'train', 'mmdet', str(CONFIG), '--launcher', 'pytorch', '--gpus', '2',
        '--work-dir', str(tmp_path), '--resume', '--cfg-options', 'a.b=1',
    ]  # fmt: skip
    with pytest.raises(UserError, match='ended with status 1'):
        train(CONFIG, gpus=2)
    with pytest.raises(UserError, match='KEY=VALUE'):
        train(CONFIG, {'a.b': 1}, gpus=2)
    monkeypatch.setattr(training, 'hand_on_signals', lambda: [signal.SIGTERM])
    with pytest.raises(SystemExit) as ended:  # whatever torch's launcher makes of it
        train(CONFIG, gpus=2)
    assert ended.value.code == 128 + signal.SIGTERM


def test_a_run_without_a_folder_takes_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    first = Path('work_dirs/x')
    assert training._own_folder(first, False) == first
    for folder in (first, Path('work_dirs/x_2')):
        folder.mkdir(parents=True)
        (folder / 'iter_1.pth').touch()
    assert training._own_folder(first, False) == Path('work_dirs/x_3')
    assert 'work_dirs/x holds another run (RESUME=1 goes on with it)' in capsys.readouterr().out
    os.utime(first / 'iter_1.pth', (1, 1))
    assert training._own_folder(first, True) == Path('work_dirs/x_2')
    assert training._own_folder(first, first / 'iter_1.pth') == first
    assert training._own_folder(first, 'downloads/iter_1.pth') == Path('work_dirs/x_3')


@pytest.mark.slow
def test_a_run_from_a_notebook(tiny_data: Path, tmp_path: Path) -> None:
    """In a process of its own: a run sets up logging and random numbers for the whole process."""
    folder = tmp_path / 'my runs' / 'x'
    code = (
        f'from tools.train import train; print("folder:", train({str(CONFIG)!r}, {TINY!r}, '
        f'work_dir={str(folder)!r}))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env={
            **os.environ,
            'DATA_ROOT': str(tiny_data),
            'OMP_NUM_THREADS': '1',
            'MPLBACKEND': 'module://matplotlib_inline.backend_inline',  # as a notebook sets it
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f'folder: {folder}'
    assert (folder / 'iter_2.pth').is_file()
    screen = done.stdout + done.stderr
    (log,) = folder.glob('*/*.log')
    for noise in ('System environment', 'Hooks will be executed', 'Config:'):
        assert noise in log.read_text()  # kept, but not in the way
        assert noise not in screen
    for noise in ('OneDL', 'faster_coco_eval', 'pkg_resources', 'FileClient', 'creating index'):
        assert noise not in screen
    first = next(k for k, line in enumerate(screen.splitlines()) if 'Iter(train)' in line)
    assert first < 30, 'the first step is not on the first screen'
