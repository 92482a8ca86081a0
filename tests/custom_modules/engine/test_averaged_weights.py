"""With EMAHook the mean of the weights is validated, kept as the best, resumed, predicted with."""

from pathlib import Path

import pytest
import torch

from custom_modules.engine.strict_runner import StrictRunner
from tests.custom_modules.engine.small_run import Killed, Line, start
from tools.runs.run import Run

EMA = dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.25, update_buffers=True)
SETTINGS = dict(custom_hooks=[EMA], randomness=dict(seed=3))
WEIGHT = 'line.weight'


class Followed(list):
    """Weights after every step, and those that validations saw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.validated: list[float] = []
        forward = Line.forward

        def watched(model: Line, *args: object, mode: str = 'tensor', **kwargs: object):
            if mode == 'predict':
                self.validated.append(model.line.weight.item())
            return forward(model, *args, mode=mode, **kwargs)

        monkeypatch.setattr(Line, 'forward', watched)


def average(weights: list[float]) -> float:
    """By hand: the first step's weights as they are, then a quarter of each."""
    mean = weights[0]
    for weight in weights[1:]:
        mean += 0.25 * (weight - mean)
    return mean


def train(runner: StrictRunner, kill_at: int | None = None) -> list[float]:
    """Weights after each step."""
    seen: list[float] = []
    step = runner.call_hook

    def watched(name: str, **kwargs: object) -> None:
        if name == 'after_train_iter':
            seen.append(runner.model.line.weight.item())
        step(name, **kwargs)
        if name == 'after_train_epoch' and kill_at == len(seen):
            raise Killed

    runner.call_hook = watched
    runner.train()
    return seen


def test_the_mean_is_validated_kept_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = Followed(monkeypatch)
    seen = train(start(tmp_path, 'averaged', **SETTINGS))
    assert len(seen) == 9
    means = [average(seen[:k]) for k in (3, 6, 9)]
    assert followed.validated[::3] == pytest.approx(means, abs=1e-6)  # three images each time
    run = Run(tmp_path / 'run')
    (best,) = run.marked_best
    for file in (best, run.steps[-1]):
        content = torch.load(file, weights_only=False)
        assert content['state_dict'][WEIGHT].item() == pytest.approx(means[-1], abs=1e-6)
        assert content['ema_state_dict']['module.' + WEIGHT].item() == pytest.approx(seen[-1])
    # What tools.evaluate and tools.predict open.
    assert run.open_checkpoint().weights[WEIGHT].item() == pytest.approx(means[-1], abs=1e-6)


def test_a_resumed_run_goes_on_with_both(tmp_path: Path) -> None:
    seen = train(start(tmp_path, 'averaged_whole', 'whole', **SETTINGS))
    with pytest.raises(Killed):
        train(start(tmp_path, 'averaged_cut', 'cut', **SETTINGS), kill_at=6)
    again = train(start(tmp_path, 'averaged_again', 'cut', **SETTINGS, resume=True))
    assert again == pytest.approx(seen[-len(again) :])
    one, other = (Run(tmp_path / name).open_checkpoint().weights for name in ('whole', 'cut'))
    assert one[WEIGHT].item() == pytest.approx(other[WEIGHT].item())
