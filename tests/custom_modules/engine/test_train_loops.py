"""A resumed run does the steps of one that went through, to the bit."""

import os
import signal
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook

from custom_modules.engine.repeatable import PlacedBatches, seed_all
from custom_modules.engine.strict_runner import StrictRunner
from tests.custom_modules.engine.small_run import Killed, Rising, start

BY_ITER = {
    'loop': "type='IterBasedTrainLoop', max_iters=9, val_interval=4",
    'default_hooks.checkpoint.by_epoch': False,
    'default_hooks.checkpoint.interval': 2,
}
INFINITE = {'train_dataloader.sampler.type': 'InfiniteSampler'}
WORKERS = {'train_dataloader.num_workers': 2}


class Losses(Hook):
    """Keeps losses and images; does something after a step."""

    def __init__(self, at: int = -1, action: object = None) -> None:
        self.seen, self.at, self.action = {}, at, action

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.seen[runner.iter + 1] = (float(outputs['loss']), str(data_batch))
        if runner.iter + 1 == self.at:
            self.action()


def kill() -> None:
    raise Killed


def term() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def usr1() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def trained(runner: StrictRunner, hook: Losses) -> dict[int, tuple]:
    runner.register_hook(hook)
    runner.train()
    return hook.seen


@pytest.mark.parametrize(
    ('settings', 'end', 'status'),
    [
        ({}, kill, None),
        ({}, term, 143),
        (BY_ITER, kill, None),
        (BY_ITER, usr1, 138),
        (BY_ITER | INFINITE, kill, None),
        pytest.param(WORKERS, term, 143, marks=pytest.mark.slow),
        pytest.param(BY_ITER | INFINITE | WORKERS, kill, None, marks=pytest.mark.slow),
        pytest.param(BY_ITER | INFINITE | WORKERS, term, 143, marks=pytest.mark.slow),
    ],
)
def test_losses_and_weights_are_those_of_an_undisturbed_run(
    tmp_path: Path, settings: dict, end: object, status: int | None
) -> None:
    tag = f'{len(str(settings))}{status}'
    settings = settings | {'randomness.seed': 3}
    whole = start(tmp_path, f'whole{tag}', 'whole', **settings)
    Rising.rounds = 0
    wanted = trained(whole, Losses())
    Rising.rounds = 0
    first = Losses(5, end)
    with pytest.raises(Killed if status is None else SystemExit) as ended:
        trained(start(tmp_path, f'ended{tag}', **settings), first)
    assert status is None or ended.value.code == status
    if status:
        assert (tmp_path / 'run' / 'stopped_iter_5.pth').is_file()
    # Another seed in the config: the run keeps its own.
    again = start(tmp_path, f'again{tag}', resume=True, **(settings | {'randomness.seed': 4}))
    second = trained(again, Losses())
    if status:
        assert min(second) == 6
    assert {**first.seen, **second} == wanted
    for name, weight in again.model.state_dict().items():
        assert torch.equal(weight, whole.model.state_dict()[name])
    files = {path.name for path in (tmp_path / 'run').glob('*.pth')}
    assert files == {path.name for path in (tmp_path / 'whole').glob('*.pth')}


def test_a_kill_before_the_validation_that_was_due_does_not_skip_it(tmp_path: Path) -> None:
    class BeforeValidation(Hook):
        def before_val(self, runner) -> None:
            raise Killed

    runner = start(tmp_path, 'unvalidated')
    runner.register_hook(BeforeValidation())
    with pytest.raises(Killed):
        runner.train()
    Rising.rounds = 0
    start(tmp_path, 'validated', resume=True).train()
    assert Rising.rounds == 3


def test_a_finished_run_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start(tmp_path, 'finished').train()
    before = (tmp_path / 'run' / 'epoch_3.pth').read_bytes()
    told = []
    again = start(tmp_path, 'finished_again', resume=True)
    again.logger.info = told.append
    again.train()
    assert any('The run is finished: 3 of 3 epochs' in line for line in told)
    assert (tmp_path / 'run' / 'epoch_3.pth').read_bytes() == before


@pytest.mark.parametrize('processes', [2, 3])
def test_processes_share_the_images_of_a_single_one(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image has the step, the place and so the random numbers that it has in one process."""

    def steps(number: int, rank: int) -> list:
        for module in ('mmengine.dataset.sampler', 'custom_modules.engine.repeatable'):
            monkeypatch.setattr(f'{module}.get_dist_info', lambda: (rank, number))
        sampler = DefaultSampler(range(17), shuffle=True, seed=5, round_up=False)
        return list(PlacedBatches(sampler, 6 // number))

    alone = [sorted(batch) for batch in steps(1, 0)]
    shares = zip_longest(*(steps(processes, rank) for rank in range(processes)), fillvalue=[])
    assert [sorted(chain(*share)) for share in shares] == alone


def test_batches_know_their_place_and_can_be_left_out() -> None:
    batches = PlacedBatches(torch.utils.data.SequentialSampler(range(5)), 2)
    whole = list(batches)
    assert [[index for index, _ in batch] for batch in whole] == [[0, 1], [2, 3], [4]]
    assert whole[1][1] == (3, (0, 1, 1))
    batches.skip = 2
    assert list(batches) == whole[2:]
    assert list(batches) == whole  # left out once


def test_seeds_part_steps_and_images() -> None:
    drawn = set()
    for place in ((1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0)):
        seed_all(*place)
        drawn.add((float(torch.rand(())), float(np.random.rand())))  # noqa: NPY002
    assert len(drawn) == 4
    seed_all(1, 0, 0)
    assert (float(torch.rand(())), float(np.random.rand())) in drawn  # noqa: NPY002
