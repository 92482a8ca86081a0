"""What there is of a run for its report, and which command makes what isn't there yet."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cellkit.errors import UserError
from cellkit.files.writing import sha256_of
from tools.runs.run import Run, step_of

NEEDED = {
    'part', 'figures', 'images', 'score_thr', 'predictions', 'annotations', 'annotations_sha256',
    'checkpoint', 'checkpoint_sha256',
}  # fmt: skip


class Findings(NamedTuple):
    """What is read of a run.

    Attributes:
        run: The run.
        config: Content of the config as it was run; empty if it can't be read.
        evaluation: What ``tools.evaluate`` wrote of the part; empty without it.
        missing: What isn't there and which command makes it, a sentence each.
    """

    run: Run
    config: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    missing: list[str]

    @property
    def length(self) -> float | None:
        """Epochs or iterations that the config asks for."""
        train = self.config.get('train_cfg') or {}
        return train.get('max_epochs') or train.get('max_iters')

    @property
    def best_place(self) -> float | None:
        """Where on the axis of training the best checkpoint lies."""
        best = max(self.run.marked_best, key=_number, default=Path())
        step = step_of(self.evaluation.get('checkpoint') or best.name)
        if step is None or (step[0] == 'epoch') != (self.run.log.unit == 'epoch'):
            return None
        return float(step[1])


def find(run: Run, part: str | None = None) -> Findings:
    """Read what there is of a run.

    Args:
        run: The run.
        part: Which part's evaluation; the first there is of test, val and train when None.

    Raises:
        UserError: The folder is no run's.
    """
    if not (run.log.train or run.log.environment or run.config_file or run.checkpoints):
        raise UserError(
            f'{run.folder}: holds nothing of a training run (no log, config or checkpoint); name a '
            'folder that training wrote in work_dirs'
        )
    missing: list[str] = []
    config = _config(run.config_file, missing) if run.config_file else {}
    findings = Findings(run, config, _evaluation(run, part, missing), missing)
    missing[:0] = _missing_training(findings)
    return findings


def _number(checkpoint: Path) -> int:
    """The epoch or iteration in a checkpoint's name; 0 without one."""
    return (step_of(checkpoint.name) or ('', 0))[1]


def _config(file: Path, missing: list[str]) -> Mapping[str, Any]:
    from mmengine.config import Config

    try:
        return Config.fromfile(file, import_custom_modules=False).to_dict()
    except Exception as error:  # a config is a program
        missing.append(f"{file.name} can't be read as a config ({type(error).__name__})")
        return {}


def _evaluation(run: Run, part: str | None, missing: list[str]) -> Mapping[str, Any]:
    """The evaluation of a part; what is wrong with it goes to ``missing``."""
    wanted = f' PART={part}' if part not in (None, 'test') else ''
    command = f'`make evaluate RUN={shlex.quote(str(run.folder))}{wanted}`'
    for name in (part,) if part else ('test', 'val', 'train'):
        file = run.evaluation_file(name)
        if not file.is_file():
            continue
        evaluation = run.evaluation(name)
        if not evaluation.keys() >= NEEDED:
            missing.append(f"{file.name} can't be read: {command} writes it again")
            return {}
        checkpoint = run.folder / evaluation['checkpoint']
        if checkpoint.is_file() and sha256_of(checkpoint) != evaluation['checkpoint_sha256']:
            missing.append(
                f'the evaluation: {file.name} is of an earlier {checkpoint.name}, which training '
                f'has replaced: {command}'
            )
            return {}
        return evaluation
    what = f'the evaluation on {part}' if part else 'the evaluation'
    if run.checkpoints:
        what += ', with figures, precision-recall curves, errors and pictures'
    else:
        command += ', once there is a checkpoint'
    missing.append(f'{what}: {command}')
    return {}


def _missing_training(findings: Findings) -> list[str]:
    run, log, total = findings.run, findings.run.log, findings.length
    folder = shlex.quote(str(run.folder))
    found = []
    if not log.train:
        found.append('losses: training has logged none so far')
    elif total and _reached(run) < total:
        named = f'CONFIG={shlex.quote(str(run.config_file))} ' if run.config_file else ''
        found.append(
            f'the rest of training, which is at {log.unit} {log.last:.4g} of {total}: wait for it, '
            f'or if it was stopped, `make train {named}WORK_DIR={folder} RESUME=1`'
        )
    if not log.val:
        interval = (findings.config.get('train_cfg') or {}).get('val_interval')
        when = f' (every {interval} {log.unit}s)' if interval else ''
        found.append(f'validation metrics: the first validation{when} logs them')
    evaluated = findings.evaluation.get('checkpoint')
    if evaluated and run.marked_best and not (run.folder / evaluated).is_file():
        found.append(
            f'the evaluation of {max(run.marked_best, key=_number).name}, as the one shown is of '
            f'{evaluated}, which training has replaced: `make evaluate RUN={folder}`'
        )
    if evaluated and not (run.folder / 'every_epoch_on_test.csv').is_file():
        command = f'make evaluate RUN={folder} ARGS=--every-epoch-on-test'
        found.append(f'the test figures of every checkpoint that is still there: `{command}`')
    if not run.checkpoints:
        found.append('a checkpoint: training saves the first one with its first validation')
    return found


def _reached(run: Run) -> float:
    """How far training came: the last steps of a run may be logged by their checkpoint alone."""
    places = [run.log.last, *(entry['at'] for entry in run.log.val[-1:])]
    unit = 'epoch' if run.log.unit == 'epoch' else 'iter'
    steps = [step for file in run.checkpoints if (step := step_of(file.name))]
    return max(places + [float(number) for kind, number in steps if kind == unit])
