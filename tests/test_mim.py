"""What a user types with mim, on six small smears: train, kill, resume, override, test."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mmengine.config import Config

from cellkit.files.run_folder import LOCK

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
CONFIG = 'configs/bccd_hybrid_mask_rcnn_cpu.py'
MIM = Path(sys.executable).parent / 'mim'
SMALL = '(160,120)'
# Tiny pictures, no worker processes, a checkpoint every other step.
TINY = [
    f'train_dataloader.dataset.pipeline.2.scale={SMALL}',
    f'val_dataloader.dataset.pipeline.1.scale={SMALL}',
    f'test_dataloader.dataset.pipeline.1.scale={SMALL}',
    'train_dataloader.batch_size=1',
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
]

Mim = Callable[..., subprocess.Popen]


@pytest.fixture(scope='module')
def mim(tiny_data: Path) -> Iterator[Mim]:
    """Starts mim in a process group of its own; ends what is left at the end."""
    started = []

    def start(*args: str | Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [str(arg) for arg in (MIM, *args)],
            cwd=ROOT,
            env={**os.environ, 'DATA_ROOT': str(tiny_data), 'OMP_NUM_THREADS': '1'},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope='module')
def killed(mim: Mim, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run that was killed after its first checkpoint, then moved; the step it had reached."""
    run = tmp_path_factory.mktemp('runs') / 'run'
    # Without a schedule, as a run with one can't be resumed to another length.
    endless = [
        'train_cfg.max_iters=100000',
        'train_cfg.val_interval=100000',
        'param_scheduler=None',
    ]
    process = mim('train', 'mmdet', CONFIG, '--work-dir', run, '--cfg-options', *TINY, *endless)
    mark = run / 'last_checkpoint'
    deadline = time.monotonic() + 300
    while not (mark.is_file() and mark.read_text().strip()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, 'no checkpoint in 300 s'
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    moved = run.with_name('moved')
    run.rename(moved)
    return moved, int(re.search(r'iter_(\d+)\.pth', (moved / 'last_checkpoint').read_text())[1])


@pytest.fixture(scope='module')
def resumed(mim: Mim, killed: tuple[Path, int]) -> tuple[Path, int, str]:
    """The same run, gone on for three steps with another number of checkpoints; its output."""
    run, step = killed
    more = [f'train_cfg.max_iters={step + 3}', f'train_cfg.val_interval={step + 3}',
            'param_scheduler=None', 'default_hooks.checkpoint.max_keep_ckpts=3']  # fmt: skip
    process = mim(
        'train', 'mmdet', CONFIG, '--work-dir', run, '--resume', '--cfg-options', *TINY, *more
    )
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return run, step, output


def test_resume_goes_on_at_the_step_after_the_kill(resumed: tuple[Path, int, str]) -> None:
    run, step, output = resumed
    assert f'resumed epoch: 0, iter: {step}' in output
    (scalars,) = [p for p in run.glob('*/vis_data/scalars.json') if 'loss' in p.read_text()
                  and json.loads(p.read_text().splitlines()[0])['step'] > step]  # fmt: skip
    steps = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [line['step'] for line in steps if 'loss' in line] == [step + 1, step + 2, step + 3]
    assert (run / f'iter_{step + 3}.pth').is_file()


def test_override_stands_in_the_config_of_the_run(resumed: tuple[Path, int, str]) -> None:
    run, step, _ = resumed
    merged = Config.fromfile(run / Path(CONFIG).name)
    assert merged.default_hooks.checkpoint.max_keep_ckpts == 3
    assert merged.train_cfg.max_iters == step + 3


def test_no_half_written_checkpoint_is_left_in_use(resumed: tuple[Path, int, str]) -> None:
    import torch

    for path in resumed[0].glob('*.pth'):
        assert 'state_dict' in torch.load(path, map_location='cpu', weights_only=False)


@pytest.mark.parametrize('views', [[], ['--tta']])
def test_mim_test_writes_the_figures(
    mim: Mim, resumed: tuple[Path, int, str], views: list[str]
) -> None:
    run, step, _ = resumed
    out = run / 'test' / ''.join(views)
    process = mim('test', 'mmdet', CONFIG, '--checkpoint', run / f'iter_{step + 3}.pth',
                  *views, '--work-dir', out, '--cfg-options', *TINY)  # fmt: skip
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    (figures,) = out.glob('2*/*.json')
    assert 'coco/segm_mAP' in json.loads(figures.read_text())


def test_sigterm_to_mim_ends_the_training_with_a_checkpoint(mim: Mim, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    endless = ['train_cfg.max_iters=100000', 'train_cfg.val_interval=100000']
    process = mim('train', 'mmdet', CONFIG, '--work-dir', run, '--cfg-options', *TINY, *endless)
    deadline = time.monotonic() + 300
    while not (run / 'last_checkpoint').is_file():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, 'no checkpoint in 300 s'
        time.sleep(0.1)
    assert (run / LOCK).is_file()
    process.terminate()  # mim alone, as a batch system or `kill` does
    while (run / LOCK).is_file():
        assert time.monotonic() < deadline, 'the training goes on without mim'
        time.sleep(0.1)
    (log,) = run.glob('*/*.log')
    step = re.search(r'SIGTERM: step (\d+) is kept', log.read_text())[1]
    assert int(step) in {int(re.search(r'iter_(\d+)', file.name)[1]) for file in run.glob('*.pth')}


@pytest.mark.parametrize('command', [('train',), ('test', '--checkpoint', 'any.pth')])
def test_misspelt_override_is_named(mim: Mim, tmp_path: Path, command: tuple[str, ...]) -> None:
    verb, *rest = command
    process = mim(verb, 'mmdet', CONFIG, *rest, '--work-dir', tmp_path / 'run',
                  '--cfg-options', 'optim_wraper.optimizer.lr=1')  # fmt: skip
    output, _ = process.communicate(timeout=600)
    assert process.returncode != 0
    assert '`optim_wraper.optimizer.lr`, the nearest is `optim_wrapper.optimizer.lr`' in output
    assert not (tmp_path / 'run').exists()


def pretrain(mim: Mim, run: Path, *options: str) -> tuple[int, str]:
    process = mim(
        'train', 'mmpretrain', 'configs/pretrain/mae_vitti_smears.py', '--work-dir', run,
        '--cfg-options', 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
        'train_cfg.max_iters=2', 'param_scheduler=None', 'default_hooks.checkpoint.interval=2',
        *options,
    )  # fmt: skip
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def test_mim_pretrains_and_names_a_wrong_key(mim: Mim, tmp_path: Path) -> None:
    status, output = pretrain(mim, tmp_path / 'run', 'model.backbone.mask_ration=0.5')
    assert status
    assert 'nothing reads `model.backbone.mask_ration`, the nearest is `model.backbone.mask_ra' in (
        output
    )
    assert not (tmp_path / 'run').exists()
    status, output = pretrain(mim, tmp_path / 'run')
    assert not status, output
    assert (tmp_path / 'run' / 'iter_2.pth').is_file()
