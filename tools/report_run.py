"""What the report is made from: a run's log, config, checkpoints and evaluation."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools.errors import UserError
from tools.fingerprint import sha256_of
from tools.report_tables import length
from tools.training_log import TrainingLog, read_training_log

NEEDED = (
    'part', 'figures', 'images', 'score_thr', 'predictions', 'annotations', 'annotations_sha256',
    'checkpoint', 'checkpoint_sha256',
)  # fmt: skip
STEP = re.compile(r'(?:^|_)(epoch|iter)_(\d+)\.pth$')


class Run(NamedTuple):
    """What is read of a run.

    Attributes:
        folder: The run folder.
        log: What training logged.
        config_text: The config as run; None if there is none.
        config: Its content; empty if it can't be read.
        checkpoints: Names of the checkpoints.
        evaluation: What ``tools.evaluate`` wrote; empty without it.
        missing: What isn't there and which command makes it, a sentence each.
    """

    folder: Path
    log: TrainingLog
    config_text: str | None
    config: Mapping[str, Any]
    checkpoints: list[str]
    evaluation: Mapping[str, Any]
    missing: list[str]


def newest_run(work_dirs: Path) -> Path:
    """The folder in ``work_dirs`` where training wrote last.

    Raises:
        UserError: There is none.
    """
    written = [
        file
        for pattern in ('*/*/vis_data/scalars.json', '*/*/*.log', '*/*.pth')
        for file in work_dirs.glob(pattern)
    ]
    if not written:
        raise UserError(f'{work_dirs}: holds no training run; train first (make train)')
    newest = max(written, key=lambda file: file.stat().st_mtime_ns)
    return work_dirs / newest.relative_to(work_dirs).parts[0]


def read_run(folder: Path, part: str | None = None) -> Run:
    """Read what there is of a run.

    Args:
        folder: The run folder.
        part: Which part's evaluation; by default the first there is of test, val and train.

    Raises:
        UserError: There is no such folder, or it is no run's.
    """
    if not folder.is_dir():
        near = sorted(file.parent.name for file in folder.parent.glob('*/*.py'))
        hint = f' ({folder.parent} has {", ".join(near)})' if near else ''
        raise UserError(f'{folder}: there is no such run folder{hint}; name one in work_dirs')
    log = read_training_log(folder)
    # `mim test` writes its config into the run folder too; training's own lies beside its scalars.
    configs = sorted(log.configs or folder.glob('*.py'), key=lambda file: file.stat().st_mtime_ns)
    checkpoints = sorted(file.name for file in folder.glob('*.pth'))
    if not (log.train or log.environment or configs or checkpoints):
        raise UserError(
            f'{folder}: holds nothing of a training run (no log, config or checkpoint); name a '
            'folder that training wrote in work_dirs'
        )
    text = configs[-1].read_text(encoding='utf-8') if configs else None
    missing: list[str] = []
    config = _config(configs[-1], missing) if configs else {}
    evaluation = _evaluation(folder, part, missing)
    run = Run(folder, log, text, config, checkpoints, evaluation, missing)
    missing[:0] = _training_missing(run, configs[-1] if configs else None)
    return run


def best_place(run: Run) -> float | None:
    """Where on the axis of training the best checkpoint lies."""
    best = [name for name in run.checkpoints if name.startswith('best_')]
    name = run.evaluation.get('checkpoint') or max(best, key=_step, default='')
    match = STEP.search(str(name))
    if not match or (match[1] == 'epoch') != (run.log.unit == 'epoch'):
        return None
    return float(match[2])


def _step(name: str) -> int:
    """The epoch or iteration in a checkpoint's name; 0 without one."""
    return int(match[2]) if (match := STEP.search(name)) else 0


def _config(file: Path, missing: list[str]) -> Mapping[str, Any]:
    from mmengine.config import Config

    try:
        return Config.fromfile(file, import_custom_modules=False).to_dict()
    except Exception as error:  # a config is a program
        missing.append(f"{file.name} can't be read as a config ({type(error).__name__})")
        return {}


def _evaluation(folder: Path, part: str | None, missing: list[str]) -> Mapping[str, Any]:
    """The evaluation of a part; what is wrong with it goes to ``missing``."""
    wanted = f' PART={part}' if part not in (None, 'test') else ''
    command = f'`make evaluate RUN={shlex.quote(str(folder))}{wanted}`'
    for name in (part,) if part else ('test', 'val', 'train'):
        file = folder / ('evaluation.json' if name == 'test' else f'evaluation_{name}.json')
        if not file.is_file():
            continue
        try:
            content = json.loads(file.read_bytes())
            for key in NEEDED:
                content[key]
        except (ValueError, KeyError, TypeError):
            missing.append(f"{file.name} can't be read: {command} writes it again")
            return {}
        checkpoint = folder / content['checkpoint']
        if checkpoint.is_file() and sha256_of(checkpoint) != content['checkpoint_sha256']:
            missing.append(
                f'the evaluation: {file.name} is of an earlier {checkpoint.name}, which training '
                f'has replaced: {command}'
            )
            return {}
        return content
    what = f'the evaluation on {part}' if part else 'the evaluation'
    if any(folder.glob('*.pth')):
        missing.append(
            f'{what}, with figures, precision-recall curves, errors and pictures: {command}'
        )
    else:
        missing.append(f'{what}: {command}, once there is a checkpoint')
    return {}


def _reached(run: Run) -> float:
    """How far training came: the last steps of a run may be logged by their checkpoint alone."""
    places = [run.log.last, *(entry['at'] for entry in run.log.val[-1:])]
    unit = 'epoch' if run.log.unit == 'epoch' else 'iter'
    matches = [match for name in run.checkpoints if (match := STEP.search(name))]
    return max(places + [float(match[2]) for match in matches if match[1] == unit])


def _training_missing(run: Run, config: Path | None) -> list[str]:
    found = []
    named = f'CONFIG={shlex.quote(str(config))} ' if config else ''
    resume = f'`make train {named}WORK_DIR={shlex.quote(str(run.folder))} RESUME=1`'
    total = length(run.config)
    if not run.log.train:
        found.append('losses: training has logged none so far')
    elif total and _reached(run) < total:
        found.append(
            f'the rest of training, which is at {run.log.unit} {run.log.last:.4g} of {total}: wait '
            f'for it, or if it was stopped, {resume}'
        )
    if not run.log.val:
        interval = (run.config.get('train_cfg') or {}).get('val_interval')
        when = f' (every {interval} {run.log.unit}s)' if interval else ''
        found.append(f'validation metrics: the first validation{when} logs them')
    evaluated = run.evaluation.get('checkpoint')
    best = [name for name in run.checkpoints if name.startswith('best_')]
    if evaluated and best and evaluated not in run.checkpoints:
        found.append(
            f'the evaluation of {max(best, key=_step)}, as the one shown is of {evaluated}, which '
            f'training has replaced: `make evaluate RUN={shlex.quote(str(run.folder))}`'
        )
    if run.evaluation and not (run.folder / 'every_epoch_on_test.csv').is_file():
        command = f'make evaluate RUN={shlex.quote(str(run.folder))} ARGS=--every-epoch-on-test'
        found.append(f'the test figures of every checkpoint that is still there: `{command}`')
    if not run.checkpoints:
        found.append('a checkpoint: training saves the first one with its first validation')
    return found
