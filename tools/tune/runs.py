"""A trial as an ordinary run: started, watched, pruned, and what came of it."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial, TrialState

from cellkit.errors import UserError
from tools.runs.child import start, stop
from tools.runs.log import read_training_log
from tools.runs.run import Run
from tools.tune.changed import write_changed
from tools.tune.check import SECONDS, save_best, validations
from tools.tune.space import Space, short

POLL = 1.0  # seconds between two looks at the log
BEAT = 15.0  # seconds between two signs of life


class Outcome(NamedTuple):
    """How a trial ended, and why where it failed.

    Attributes:
        state: COMPLETE, PRUNED or FAIL; WAITING if the worker has lost the trial to another.
        values: By objective, of a complete one.
        reason: In words.
    """

    state: TrialState
    values: list[float] | None = None
    reason: str = ''


def suggest(trial: Trial, name: str, drawn: BaseDistribution) -> Any:
    """A trial's value of a parameter; one that was put back keeps what it had."""
    if isinstance(drawn, CategoricalDistribution):
        return trial.suggest_categorical(name, drawn.choices)
    draw = trial.suggest_int if isinstance(drawn, IntDistribution) else trial.suggest_float
    return draw(name, drawn.low, drawn.high, step=drawn.step, log=drawn.log)


def draw_parameters(trial: Trial, space: Space) -> dict[str, Any]:
    """A trial's parameters by name."""
    return {p.name: suggest(trial, p.name, p.distribution) for p in space.parameters}


class TrialRun:
    """The run of one trial, in ``FOLDER/trial_NNNN``.

    Beside it lie its config (``.py``) and what it said (``.txt``). A run that was begun goes on
    from its last checkpoint; without one it starts afresh.

    Args:
        trial: A trial that this worker has.
        space: What is searched.
        folder: The study's.
        gpus: Processes of a run, one for each GPU.
    """

    def __init__(self, trial: Trial, space: Space, folder: Path, gpus: int = 1) -> None:
        self.trial, self.space, self.gpus = trial, space, gpus
        self.run = folder / f'trial_{trial.number:04d}'
        self.config, self.said = self.run.with_suffix('.py'), self.run.with_suffix('.txt')
        self.parameters = draw_parameters(trial, space)
        self._curve: dict[int, dict[str, Any]] = {}

    def carry_out(self, beat: Callable[[], bool]) -> Outcome:
        """Run the trial to its end; ``beat`` gives a sign of life, and tells whether it is still
        this worker's."""
        settings = self.space.overrides(self.parameters) | save_best(self.space)
        head = f'Trial {self.trial.number} of {self.trial.study.study_name}: {self._in_words()}\n'
        head += f'\n  make train CONFIG={self.config}'
        write_changed(self.space.config, settings, self.config, head)
        config = Config.fromfile(self.config, import_custom_modules=False)
        self._rungs, self._interval = validations(config), config.train_cfg.get('val_interval', 1)
        process = self._start()
        try:
            outcome = self._watch(process, beat)
        finally:
            stop(process)
        if outcome.state in (TrialState.COMPLETE, TrialState.PRUNED):
            self._keep_the_best()
        return outcome

    def _in_words(self) -> str:
        return ', '.join(f'{name} = {short(value)}' for name, value in self.parameters.items())

    def _command(self, begun: bool) -> list[Any]:
        command = [sys.executable, '-m', 'tools.tune.child', self.config, '--work-dir', self.run]
        command += ['--resume'] if begun else []
        command += ['--gpus', self.gpus] if self.gpus > 1 else []
        return command + (['--time'] if SECONDS in self.space.objectives else [])

    def _start(self) -> subprocess.Popen:
        begun = any(self.run.glob('*.pth')) and (self.run / 'last_checkpoint').is_file()
        if not begun and self.run.exists():
            shutil.rmtree(self.run)  # nothing to go on from, and a later log would stand beside it
        with self.said.open('ab') as said:
            return start(self._command(begun), said)

    def _watch(self, process: subprocess.Popen, beat: Callable[[], bool]) -> Outcome:
        last, known = time.monotonic(), -1
        while True:
            status = process.poll()  # before the log is read: then nothing comes after
            size = sum(file.stat().st_size for file in self.run.glob('*/vis_data/scalars.json'))
            if size != known or status is not None:
                known = size
                if (pruned := self._read_log()) is not None and status is None:
                    return pruned
            if status is not None:
                return self._result(status)
            if time.monotonic() - last > BEAT:
                last = time.monotonic()
                if not beat():
                    return Outcome(TrialState.WAITING, reason='another worker has it')
            time.sleep(POLL)

    def _read_log(self) -> Outcome | None:
        """Take what validation said since; an outcome if that ends the trial."""
        key, one = self.space.objective, len(self.space.objectives) == 1
        for entry in read_training_log(self.run).val:
            rung = math.ceil(entry['at'] / self._interval - 1e-6)
            value = entry.get(key)
            if rung in self._curve or not isinstance(value, (int, float)):
                continue
            self._curve[rung] = entry
            if one and str(rung) not in self.trial.user_attrs.get('curve', {}):
                self.trial.report(float(value), rung)  # optuna warns if it is told twice
            curve = {str(k): [e['at'], e[key]] for k, e in sorted(self._curve.items())}
            self.trial.set_user_attr('curve', curve)
            if one and rung < self._rungs and self.trial.should_prune():
                at = f'rung {rung} of {self._rungs}'
                self.trial.set_user_attr('pruned_at', rung)
                return Outcome(TrialState.PRUNED, reason=f'pruned at {at}, {key} {value:.3f}')
        return None

    def _result(self, status: int) -> Outcome:
        if status:
            return Outcome(TrialState.FAIL, reason=reason_of(status, self.said))
        if not self._curve:
            logged = sorted({k for e in read_training_log(self.run).val for k in e if '/' in k})
            raise UserError(
                f'{self.space.file}: no run logs the objective {self.space.objective}; name one of '
                f'{", ".join(logged) or "those that its evaluators log"}'
            )
        finite = [e for e in self._curve.values() if math.isfinite(e[self.space.objective])]
        if not finite:
            return Outcome(TrialState.FAIL, reason=f'{self.space.objective} is not a number')
        pick = max if self.space.maximize else min
        best = pick(finite, key=lambda entry: entry[self.space.objective])
        values = []
        for key in self.space.objectives:
            value = self._seconds() if key == SECONDS else best.get(key)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                return Outcome(TrialState.FAIL, reason=f'it has no value {key}')
            values.append(float(value))
        self.trial.set_user_attr('best_at', best['at'])
        return Outcome(TrialState.COMPLETE, values)

    def _seconds(self) -> float | None:
        for file in self.run.glob('predictions/*/val.about.json'):
            return json.loads(file.read_bytes()).get(SECONDS)
        return None

    def _keep_the_best(self) -> None:
        """Drop the checkpoints that were there to go on from, where a best one stands."""
        opened = Run(self.run)
        for file in opened.steps if opened.marked_best else []:
            file.unlink()


def reason_of(status: int, said: Path) -> str:
    """Why a run failed: the signal that ended it, or the last thing that it said."""
    if status < 0:
        name = signal.Signals(-status).name
        memory = ', as when memory runs out' if -status == signal.SIGKILL else ''
        return f'killed by {name}{memory}'
    text = said.read_text(encoding='utf-8', errors='replace') if said.is_file() else ''
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else f'it ended with status {status} and said nothing'
    return last.removeprefix('trial: ').rstrip('.')[:300]
