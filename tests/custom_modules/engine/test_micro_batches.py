"""A step over parts of a batch against a step over the whole."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from custom_modules.engine.micro_batches import StepInParts, split


class Mean(BaseModel):
    """Its loss is a mean over images; runs out of memory when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 1)
        self.most = 100
        self.sizes: list[int] = []

    def forward(self, inputs: list[torch.Tensor], mode: str = 'loss') -> dict:
        self.sizes.append(len(inputs))
        if len(inputs) > self.most:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory.')
        return {'loss': self.line(torch.stack(inputs)).square().mean()}


def model_and_wrapper(**settings) -> tuple[Mean, OptimWrapper]:
    torch.manual_seed(0)
    model = Mean()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, OptimWrapper(optimizer, **settings)


def batch(images: int, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    return {'inputs': list(torch.randn(images, 3, generator=generator))}


@pytest.mark.parametrize('counts', [1, 2, 3])
@pytest.mark.parametrize('at_once', [1, 2, 4, 5, 7, 9])
def test_weights_and_logs_are_those_of_the_whole(at_once: int, counts: int) -> None:
    (whole, one), (parted, other) = (
        model_and_wrapper(accumulative_counts=counts, clip_grad=dict(max_norm=0.5))
        for _ in range(2)
    )
    for wrapper in (one, other):
        wrapper.initialize_count_status(whole, 0, 4)
    step = StepInParts(parted.train_step, at_once)
    for k, images in enumerate((7, 7, 7, 2)):
        expected = whole.train_step(batch(images, k), optim_wrapper=one)
        logged = step(batch(images, k), optim_wrapper=other)
        assert logged.keys() == expected.keys()
        assert float(logged['loss']) == pytest.approx(float(expected['loss']), rel=1e-5)
        assert other.inner_count == one.inner_count == k + 1
        for a, b in zip(whole.parameters(), parted.parameters(), strict=True):
            torch.testing.assert_close(a, b)
    assert max(parted.sizes) <= at_once


def test_gradients_are_exchanged_in_the_last_part_only() -> None:
    model, wrapper = model_and_wrapper()
    entered = []

    class NoSync:
        def __enter__(self) -> None:
            entered.append(len(model.sizes))

        def __exit__(self, *_: object) -> None:
            pass

    model.no_sync = NoSync
    StepInParts(model.train_step, 2)(batch(6), optim_wrapper=wrapper)
    assert entered == [0, 1]


DISTRIBUTED = """
import sys, torch
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import distributed, nn
from custom_modules.engine.micro_batches import StepInParts

class Mean(BaseModel):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 1)
    def forward(self, inputs, mode='loss'):
        return {'loss': self.line(torch.stack(inputs)).square().mean()}

distributed.init_process_group('gloo')
weights = []
for at_once in (6, 2):
    torch.manual_seed(0)
    model = MMDistributedDataParallel(Mean())
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    step = StepInParts(model.train_step, at_once)
    for k in range(2):
        torch.manual_seed(10 * k + distributed.get_rank())
        step({'inputs': list(torch.randn(6, 3))}, optim_wrapper=wrapper)
    weights.append(model.module.line.weight.detach())
torch.testing.assert_close(*weights)
both = [torch.empty(1, 3) for _ in range(2)]
distributed.all_gather(both, weights[1])
assert torch.equal(*both)
print('alike')
"""


@pytest.mark.slow
def test_two_processes_take_the_same_step_in_parts() -> None:
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = str(free.getsockname()[1])
    where = {'MASTER_ADDR': 'localhost', 'MASTER_PORT': port, 'WORLD_SIZE': '2'}
    started = [
        subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', DISTRIBUTED],
            env={**os.environ, **where, 'RANK': str(rank), 'OMP_NUM_THREADS': '1'},
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        assert output.splitlines()[-1] == 'alike'


def test_out_of_memory_takes_the_step_again_in_smaller_parts() -> None:
    (whole, one), (parted, other) = (model_and_wrapper() for _ in range(2))
    whole.train_step(batch(7), optim_wrapper=one)
    parted.most, sizes = 2, iter([4, 2])
    step = StepInParts(parted.train_step, 7, lambda: next(sizes))
    step(batch(7), optim_wrapper=other)
    assert parted.sizes == [7, 4, 2, 2, 2, 1]
    assert step.at_once == 2
    for a, b in zip(whole.parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_memory_that_runs_out_late_leaves_no_gradient_of_the_failed_parts() -> None:
    (whole, one), (parted, other) = (model_and_wrapper() for _ in range(2))
    whole.train_step(batch(7), optim_wrapper=one)
    forward, calls = parted.forward, []

    def once_late(*args, **kwargs) -> dict:
        calls.append(1)
        if len(calls) == 3:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory.')
        return forward(*args, **kwargs)

    parted.forward = once_late
    StepInParts(parted.train_step, 3, lambda: 2)(batch(7), optim_wrapper=other)
    for a, b in zip(whole.parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_given_up_where_none_is_smaller_or_gradients_are_mixed_in() -> None:
    model, wrapper = model_and_wrapper()
    model.most = 0
    with pytest.raises(torch.cuda.OutOfMemoryError):
        StepInParts(model.train_step, 7)(batch(7), optim_wrapper=wrapper)
    model, wrapper = model_and_wrapper(accumulative_counts=2)
    model.most = 0
    with pytest.raises(torch.cuda.OutOfMemoryError):
        StepInParts(model.train_step, 7, lambda: 1)(batch(7), optim_wrapper=wrapper)


def test_a_step_half_taken_is_not_taken_again() -> None:
    model, wrapper = model_and_wrapper()

    def step(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError('CUDA out of memory.')

    wrapper.optimizer.step = step
    with pytest.raises(torch.cuda.OutOfMemoryError):
        StepInParts(model.train_step, 7, lambda: 1)(batch(7), optim_wrapper=wrapper)


def test_split_keeps_what_belongs_together() -> None:
    data = {'inputs': [1, 2, 3], 'data_samples': ['a', 'b', 'c']}
    parts = split(data, 2)
    assert parts == [
        {'inputs': [1, 2], 'data_samples': ['a', 'b']},
        {'inputs': [3], 'data_samples': ['c']},
    ]
