"""With EMAHook the mean of the weights is validated, kept as the best, resumed, predicted with."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from cellkit.errors import BadSetting
from custom_modules.engine.mean_with_start import MeanWithStart
from custom_modules.engine.strict_runner import StrictRunner
from tests.custom_modules.engine.small_run import Killed, Line, start
from tools.runs.run import Run

EMA = dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.25, update_buffers=True)
WITH_START = dict(type='EMAHook', ema_type='MeanWithStart', share=0.25)
WEIGHT = 'line.weight'
START = 3.0


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


def moving(weights: list[float]) -> float:
    """By hand: the first step's weights as they are, then a quarter of each."""
    mean = weights[0]
    for weight in weights[1:]:
        mean += 0.25 * (weight - mean)
    return mean


def with_start(weights: list[float]) -> float:
    """By hand: a quarter of the way from what was loaded."""
    return 0.75 * START + 0.25 * weights[-1]


@pytest.fixture(params=[(EMA, moving), (WITH_START, with_start)], ids=['moving', 'with start'])
def kind(request: pytest.FixtureRequest) -> tuple[dict, Callable]:
    """The hook, and its mean of the weights after each step."""
    return request.param


def begin(tmp_path: Path, hook: dict, run: str, **settings: object) -> StrictRunner:
    """Training that starts from a file, as from the box."""
    file = tmp_path / 'start.pth'
    weights = {WEIGHT: torch.tensor([[START]]), 'line.bias': torch.zeros(1)}
    torch.save({'state_dict': weights}, file)
    name = f'averaged_{hook["ema_type"]}_{run}_{len(settings)}'
    more = f'load_from = {str(file)!r}'
    settings |= dict(custom_hooks=[hook], randomness=dict(seed=3))
    return start(tmp_path, name, run, more=more, **settings)


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: tuple[dict, Callable]
) -> None:
    hook, average = kind
    followed = Followed(monkeypatch)
    seen = train(begin(tmp_path, hook, 'run'))
    assert len(seen) == 9
    assert abs(seen[0] - START) > 1e-3
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


def test_a_resumed_run_goes_on_with_both(tmp_path: Path, kind: tuple[dict, Callable]) -> None:
    hook, _ = kind
    seen = train(begin(tmp_path, hook, 'whole'))
    with pytest.raises(Killed):
        train(begin(tmp_path, hook, 'cut'), kill_at=6)
    again = train(begin(tmp_path, hook, 'cut', resume=True, load_from=None))
    assert again == pytest.approx(seen[-len(again) :])
    one, other = (Run(tmp_path / name).open_checkpoint().weights for name in ('whole', 'cut'))
    assert one[WEIGHT].item() == pytest.approx(other[WEIGHT].item())


def test_counters_are_those_of_training_and_statistics_are_averaged() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2))
    mean = MeanWithStart(model, share=0.5)
    mean.module[0].weight += 1  # what was loaded
    model.train()
    model(torch.full((4, 2), 8.0) + torch.randn(4, 2))
    mean.update_parameters(model)
    now, averaged = model[0], mean.module[0]
    assert averaged.num_batches_tracked == now.num_batches_tracked == 1
    torch.testing.assert_close(averaged.running_mean, now.running_mean / 2)


def test_random_weights_are_no_start(tmp_path: Path) -> None:
    runner = start(tmp_path, 'averaged_nothing', custom_hooks=[WITH_START])
    with pytest.raises(SystemExit, match='name a checkpoint with load_from'):
        runner.train()


@pytest.mark.parametrize('share', [0, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(BadSetting, match=r'MeanWithStart\.share'):
        MeanWithStart(nn.Linear(1, 1), share=share)
