"""Runs that are killed at random moments and resumed, against one that is left alone."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from cellkit.errors import UserError
from tools.runs import child

ROOT = Path(__file__).parents[1]
STEPS, INTERVAL = 24, 4
KINDS = ('kill', 'kill while a checkpoint is written', 'SIGTERM', 'SIGUSR1')
SIGNALS = {'SIGTERM': signal.SIGTERM, 'SIGUSR1': signal.SIGUSR1}
STEP = re.compile(r'Iter\(train\) \[ *(\d+)/')
CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_scratch.py')!r}
train_cfg = dict(max_iters={STEPS}, val_interval={2 * INTERVAL})
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=8),
                   dict(type='CosineAnnealingLR', by_epoch=False, T_max={STEPS}, eta_min=1e-5)]
size = (96, 72)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelMap'),
    dict(type='RandomResize', scale=size, ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion', hue_delta=9, contrast_range=(0.7, 1.3)),
    dict(type='PackDetInputs')]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader['dataset'] = dict(pipeline=[
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='LoadLabelMap'),
    dict(type='PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])
default_hooks = dict(checkpoint=dict(interval={INTERVAL}, save_best='val_loss', rule='less'),
                     logger=dict(interval=1))
custom_hooks = [dict(type='ValidationLossHook', max_images=2)]
randomness = dict(seed=7)
"""


class Outcome(NamedTuple):
    """What became of one run.

    Attributes:
        kinds: How it was ended, each time.
        lost: Steps done again after each end; those since the last checkpoint at most.
        same: Whether all it wrote is that of the undisturbed run, to the bit.
    """

    kinds: tuple[str, ...]
    lost: tuple[int, ...]
    same: bool


def run(
    runs: int = 25, kills: int = 1, seed: int = 0, folder: Path | None = None, processes: int = 1
) -> str:
    """Kill runs at random moments, resume them, and compare what is left with an undisturbed run.

    Args:
        runs: How many.
        kills: Of each, before it is left alone.
        seed: Of the moments.
        folder: Where to; a temporary one when None.
        processes: Of each run; all of them are killed, and their launcher.

    Raises:
        UserError: A run did not end, lost more than it may, or left a file that can't be read.
    """
    rows = ['| run | ended by | steps done again | same to the bit |', '|---|---|---|---|']
    with tempfile.TemporaryDirectory() as made:
        every = outcomes(folder or Path(made), runs, kills, seed, processes=processes)
        for k, outcome in enumerate(every, start=1):
            lost = ', '.join(map(str, outcome.lost))
            rows.append(f'| {k} | {"; ".join(outcome.kinds)} | {lost} | {outcome.same} |')
            print(rows[-1], flush=True)
    return '\n'.join(rows)


def outcomes(
    folder: Path,
    runs: int,
    kills: int = 1,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    processes: int = 1,
) -> Iterator[Outcome]:
    """The outcome of each run, and an undisturbed one before them."""
    data = folder / 'data'
    if not data.is_dir():
        from data_prep.demo import write_demo_set
        from data_prep.prepare import prepare

        write_demo_set(folder / 'smears', train=6, test=2, size=(240, 320), workers=1)
        prepare(folder / 'smears', data)
    config = folder / 'survival.py'
    text = CONFIG.replace('batch_size=1', f'batch_size={processes}')
    config.write_text(text, encoding='utf-8')
    alone = folder / 'alone'
    started = time.monotonic()
    _finish(config, alone, data, resume=False, processes=processes)
    seconds = time.monotonic() - started
    wanted = fingerprints(alone)
    draw = random.Random(seed)
    for k in range(runs):
        killed = folder / f'killed_{k}'
        ends = [draw.choice(kinds) for _ in range(kills)]
        lost = [
            _disturb(config, killed, data, kind, draw, seconds / kills, processes) for kind in ends
        ]
        _finish(config, killed, data, resume=True, processes=processes)
        yield Outcome(tuple(ends), tuple(lost), fingerprints(killed) == wanted)


def fingerprints(run_folder: Path) -> dict[str, str]:
    """What a run has come to: SHA-256 of weights and optimiser of each checkpoint, and its curves.

    Raises:
        UserError: A file can't be read, or a half one is left.
    """
    from tools.runs.log import read_training_log
    from tools.runs.run import load_checkpoint

    if left := list(run_folder.glob('*.part')):
        raise UserError(f'{left[0]}: is left over')
    found = {}
    for file in sorted(run_folder.glob('*.pth')):
        content = load_checkpoint(file)
        found[file.name] = _sha256([content['state_dict'], content.get('optimizer')])
    log = read_training_log(run_folder)
    drop = {'time', 'data_time', 'memory'}
    curves = [{k: v for k, v in e.items() if k not in drop} for e in (*log.train, *log.val)]
    found['curves'] = repr([sorted(entry.items()) for entry in curves])
    return found


def _sha256(state: object) -> str:
    import hashlib

    import torch

    digest = hashlib.sha256()

    def take(value: object) -> None:
        if isinstance(value, torch.Tensor):
            digest.update(value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for key in value:
                digest.update(str(key).encode())
                take(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                take(item)
        else:
            digest.update(repr(value).encode())

    take(state)
    return digest.hexdigest()


def _start(
    config: Path, run_folder: Path, data: Path, resume: bool, processes: int
) -> subprocess.Popen:
    command = [sys.executable, '-m', 'tools.train', config, '--work-dir', run_folder]
    command += ['--with-starter', *(['--resume'] if resume else [])]
    command += ['--gpus', processes] if processes > 1 else []
    env = {**os.environ, 'DATA_ROOT': str(data), 'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1'}
    with run_folder.with_suffix('.txt').open('ab') as said:
        return child.start(command, said, ROOT, env)


def _finish(config: Path, run_folder: Path, data: Path, resume: bool, processes: int) -> None:
    if (status := _start(config, run_folder, data, resume, processes).wait(900)) != 0:
        text = run_folder.with_suffix('.txt').read_text()[-3000:]
        raise UserError(f'{run_folder}: ended with status {status}: {text}')


def _disturb(
    config: Path,
    run_folder: Path,
    data: Path,
    kind: str,
    draw: random.Random,
    seconds: float,
    processes: int,
) -> int:
    """End a run; returns the number of steps that are lost."""
    process = _start(config, run_folder, data, run_folder.is_dir(), processes)
    begun = _reached(run_folder)
    after = begun + draw.randrange(1, max(STEPS - begun, 2))
    wait = draw.uniform(0, 0.02 * seconds)
    deadline = time.monotonic() + 900
    while process.poll() is None and time.monotonic() < deadline:
        if kind == 'kill while a checkpoint is written':
            if any(run_folder.glob('*.part')):
                break
        elif _reached(run_folder) >= after:
            time.sleep(wait)
            break
        time.sleep(0.0005 if 'checkpoint' in kind else 0.02)
    if process.poll() is None:
        _signal_all(process, SIGNALS.get(kind, signal.SIGKILL))
    status = process.wait(300)
    if kind in SIGNALS and status not in (0, 128 + SIGNALS[kind], -SIGNALS[kind]):
        raise UserError(f'{run_folder}: {kind} ended it with status {status}')
    return _check_last(run_folder)


def _signal_all(process: subprocess.Popen, number: int) -> None:
    """Signal a run's processes, those of torch's launcher too, which have sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        main = psutil.Process(process.pid)
        for one in (main, *main.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)


def _reached(run_folder: Path) -> int:
    """The last step that was logged."""
    steps = [
        int(step)
        for file in run_folder.glob('*/*.log')
        for step in STEP.findall(file.read_text(errors='replace'))
    ]
    return max(steps, default=0)


def _check_last(run_folder: Path) -> int:
    """Steps that were done and not kept.

    Raises:
        UserError: They are more than there are between checkpoints.
    """
    from tools.runs.run import load_checkpoint

    files = [file for file in run_folder.glob('*.pth') if not file.name.startswith('best_')]
    kept = max((load_checkpoint(file)['meta']['iter'] for file in files), default=0)
    lost = max(_reached(run_folder) - kept, 0)
    if lost > INTERVAL:
        raise UserError(f'{run_folder}: {lost} steps are lost, a checkpoint comes every {INTERVAL}')
    return lost
