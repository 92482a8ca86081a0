"""Two workers share a study, one is killed and started again: no trial is lost."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from mmengine.config import Config
from optuna.trial import TrialState

from tools.runs.log import read_training_log
from tools.tune.study import open_storage

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(('kind', 'number'), [('journal', 16), ('postgres', 6)])
def test_no_trial_is_lost(
    kind: str,
    number: int,
    tiny_data: Path,
    tiny_space: Path,
    tmp_path: Path,
    start_worker: Callable,
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue('postgres') if kind == 'postgres' else None
    out = tmp_path / 'tune'
    command = [tiny_space, '--trials', number, '--out', out, '--study', kind]
    command += ['--storage', url] if url else []
    workers = [start_worker(tiny_data, tmp_path / f'{name}.log', *command) for name in 'ab']
    try:
        first = workers[0]
        begun = _kill_in_a_trial(first, out / kind)
        workers[0] = start_worker(tiny_data, tmp_path / 'c.log', *command)
        for worker in workers:
            assert worker.process.wait(900) == 0, worker.text()
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
    assert not any('Warning' in worker.text() for worker in workers)
    study = optuna.load_study(study_name=kind, storage=open_storage(url, out / kind))
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(number))
    states = Counter(trial.state for trial in trials)
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == number
    if kind == 'journal':  # the others are too few to be sure of one
        assert states[TrialState.PRUNED]
    for trial in trials:
        if trial.state == TrialState.PRUNED:
            assert (
                f'pruned at rung {trial.user_attrs["pruned_at"]} of 4'
                in (trial.user_attrs['reason'])
            )
            assert trial.last_step == trial.user_attrs['pruned_at'] < 4
        else:
            assert trial.last_step == 4
    assert trials[begun].user_attrs['starts'] == 2
    went_on = read_training_log(out / kind / f'trial_{begun:04d}')
    assert went_on.starts == 2  # from its checkpoint: the steps before it were not done again
    found = json.loads((out / kind / 'found.json').read_text())
    assert found['best']['values']['coco/segm_mAP'] == study.best_value
    best = Config.fromfile(out / kind / 'best.py')
    assert best.optim_wrapper.optimizer.lr == study.best_params['optim_wrapper.optimizer.lr']
    assert (out / kind / 'tune.html').is_file()


def _kill_in_a_trial(worker: Any, folder: Path) -> int:
    """Kill a worker while a trial of its own, which has a checkpoint, is at work; its number."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert worker.process.poll() is None, worker.text()
        begun = [line for line in worker.text().splitlines() if ': trial ' in line]
        if begun and 'optimizer.lr=' in begun[-1]:
            number = int(begun[-1].split(': trial ')[1].split(':')[0])
            if (folder / f'trial_{number:04d}' / 'last_checkpoint').is_file():
                os.kill(worker.process.pid, signal.SIGKILL)
                worker.process.wait()
                return number
        time.sleep(0.1)
    raise AssertionError('no checkpoint in 600 s')
