"""A trial's run is watched, pruned, and its end understood; the run is a stand-in."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from cellkit.errors import UserError
from tools.tune import runs
from tools.tune.runs import Outcome, TrialRun, reason_of
from tools.tune.space import read_space

ROOT = Path(__file__).parents[3]
RUN = """
import json, os, pathlib, sys, time
run = pathlib.Path(sys.argv[1])
folder = run / '2026' / 'vis_data'
folder.mkdir(parents=True, exist_ok=True)
(run / 'last_checkpoint').write_text('iter_1.pth')
(run / 'iter_1.pth').touch()
def validate(step, value):
    with (folder / 'scalars.json').open('a') as file:
        print(json.dumps({'loss': 1.0, 'step': step}), file=file)
        print(json.dumps({'coco/segm_mAP': value, 'step': step}), file=file)
"""


@pytest.fixture
def trial_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Carries out a trial whose run is some lines of Python."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(runs, 'POLL', 0.05)
    file = tmp_path / 'mine.py'
    file.write_text(
        "config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'\n"
        "space = {'optim_wrapper.optimizer.lr': [1e-3]}\n"
    )

    def carry_out(code: str, pruner: object = None, beat: Callable = lambda: True) -> Outcome:
        script = tmp_path / 'run.py'
        script.write_text(RUN + code)
        study = optuna.create_study(direction='maximize', pruner=pruner)
        trial = study.ask()
        run = TrialRun(trial, read_space(file), tmp_path / 'study')

        def command(begun: bool) -> list:
            carry_out.begun.append(begun)
            return [sys.executable, script, run.run]

        monkeypatch.setattr(run, '_command', command)
        carry_out.trial, carry_out.folder = trial, run.run
        return run.carry_out(beat)

    carry_out.begun = []
    return carry_out


def test_a_run_s_value_is_that_of_its_best_validation(trial_run: Callable) -> None:
    outcome = trial_run('for k, v in enumerate([0.1, 0.5, 0.4, 0.3]): validate(75 * (k + 1), v)')
    assert outcome == Outcome(TrialState.COMPLETE, [0.5])
    attrs = trial_run.trial.user_attrs
    assert attrs['curve'] == {'1': [75, 0.1], '2': [150, 0.5], '3': [225, 0.4], '4': [300, 0.3]}
    assert attrs['best_at'] == 150


def test_a_pruned_run_is_ended_and_says_at_which_rung(trial_run: Callable) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.2)
    start = time.monotonic()
    outcome = trial_run('validate(75, 0.3); validate(150, 0.1); time.sleep(100)', pruner)
    assert outcome.state == TrialState.PRUNED  # not complete, and not failed
    assert outcome.values is None
    assert outcome.reason == 'pruned at rung 2 of 4, coco/segm_mAP 0.100'
    assert trial_run.trial.user_attrs['pruned_at'] == 2
    assert time.monotonic() - start < 60


def test_the_last_rung_prunes_nothing(trial_run: Callable) -> None:
    outcome = trial_run('validate(300, 0.1)', optuna.pruners.ThresholdPruner(lower=0.2))
    assert outcome.state == TrialState.COMPLETE


@pytest.mark.parametrize(
    ('code', 'reason'),
    [
        ("raise SystemExit('trial: the weights x.pth are not there.')", 'weights x.pth are not'),
        ("raise MemoryError('no room')", 'MemoryError: no room'),
        ('os.kill(os.getpid(), 9)', 'killed by SIGKILL, as when memory runs out'),
        ("validate(75, float('nan'))", 'coco/segm_mAP is not a number'),
        ('sys.exit(3)', 'ended with status 3 and said nothing'),
    ],
)
def test_a_failed_run_keeps_its_reason(trial_run: Callable, code: str, reason: str) -> None:
    outcome = trial_run(code)
    assert outcome.state == TrialState.FAIL
    assert reason in outcome.reason


def test_a_value_that_no_run_logs_ends_the_search(trial_run: Callable) -> None:
    with pytest.raises(UserError, match=r'no run logs the objective coco/segm_mAP; name one of'):
        trial_run('')


def test_a_lost_trial_is_let_go(trial_run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, 'BEAT', 0.1)
    outcome = trial_run('time.sleep(100)', beat=lambda: False)
    assert outcome.state == TrialState.WAITING


def test_a_begun_run_goes_on_and_one_without_a_checkpoint_starts_afresh(
    trial_run: Callable,
) -> None:
    trial_run('sys.exit(1)')
    trial_run('validate(300, 0.5)')
    left = trial_run.folder
    (left / 'last_checkpoint').unlink()
    (left / 'half').touch()
    trial_run('validate(300, 0.4)')
    assert trial_run.begun == [False, True, False]
    assert not (left / 'half').exists()  # else its log would stand beside the new one


def test_an_ended_run_keeps_its_best_checkpoint_alone(trial_run: Callable) -> None:
    trial_run("validate(300, 0.5); (run / 'best_coco_segm_mAP_iter_1.pth').touch()")
    assert [f.name for f in trial_run.folder.glob('*.pth')] == ['best_coco_segm_mAP_iter_1.pth']


def test_the_trial_s_config_is_a_file_of_its_own(trial_run: Callable) -> None:
    trial_run('validate(300, 0.5)')
    text = trial_run.folder.with_suffix('.py').read_text()
    assert 'optim_wrapper.optimizer.lr = 0.001' in text
    assert f'make train CONFIG={trial_run.folder}.py' in text


def test_reasons_name_what_was_said_last(tmp_path: Path) -> None:
    said = tmp_path / 'x.txt'
    said.write_text('Traceback …\n  …\nRuntimeError: CUDA out of memory\n\n')
    assert reason_of(1, said) == 'RuntimeError: CUDA out of memory'
