"""One optimiser step from a batch that goes through the GPU in parts.

MMEngine's ``accumulative_counts`` counts iterations: with it the schedule, its warm-up and the
checkpoints of a run would mean something else on each GPU. Here an iteration stays a batch and an
optimiser step, so that runs are alike, and resume one another, whatever memory they had.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from custom_modules.engine.processes import mean_of_processes

TrainStep = Callable[..., dict[str, Tensor]]
"""``BaseModel.train_step``: takes a batch and an optimizer wrapper, returns losses to log."""


class StepInParts:
    """A ``train_step`` that calls another for each part of a batch.

    The gradient is the mean over the batch's images; where a loss divides by a number of samples,
    it is the part's.

    Args:
        step: A model's ``train_step``.
        at_once: Images in a part.
        smaller: Asked where memory runs out, once what was kept is free: gives the images in a
            part with which to do the step again, or None to give up.
        seed: Called before each part with the place of its first image in the batch.
    """

    def __init__(
        self,
        step: TrainStep,
        at_once: int,
        smaller: Callable[[], int | None] = lambda: None,
        seed: Callable[[int], None] = lambda first: None,
    ) -> None:
        self.step = step
        self.at_once = at_once
        self.smaller = smaller
        self.seed = seed

    def __call__(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One optimiser step; returns the losses of all processes' batch."""
        while True:
            parts = split(data, self.at_once)
            images = sum(map(length, parts))
            wrappers = [_Part(optim_wrapper, length(part) / images) for part in parts]
            wrappers[-1].last = True
            try:
                logged = self._run(parts, wrappers)
            except torch.cuda.OutOfMemoryError as error:
                failure = error.with_traceback(None)  # the traceback holds what was kept
            else:
                return mean_of_processes(logged)
            # Weights may have moved, or gradients of earlier iterations be mixed in: no way back.
            lost = wrappers[-1].stepped or optim_wrapper._accumulative_counts > 1
            optim_wrapper.zero_grad()
            gc.collect()
            torch.cuda.empty_cache()
            at_once = None if lost else self.smaller()
            if at_once is None:
                raise failure
            self.at_once = at_once

    def _run(self, parts: list[dict], wrappers: list[_Part]) -> dict[str, Tensor]:
        logged: dict[str, Tensor] = {}
        for k, (part, wrapper) in enumerate(zip(parts, wrappers, strict=True)):
            self.seed(k * self.at_once)
            for name, value in self.step(part, optim_wrapper=wrapper).items():
                logged[name] = logged.get(name, 0) + wrapper.share * value
        return logged


class _Part:
    """Stands for an optimizer wrapper in a part of a batch; only the last part takes the step."""

    def __init__(self, wrapper: OptimWrapper, share: float) -> None:
        self.wrapper = wrapper
        self.share = share
        self.last = False
        self.stepped = False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """As the wrapper's; GPUs exchange gradients in the last part only."""
        alone = not self.last and hasattr(model, 'no_sync')
        with model.no_sync() if alone else nullcontext(), self.wrapper.optim_context(model):
            yield

    def update_params(self, loss: Tensor) -> None:
        """As ``OptimWrapper.update_params``, which counts a batch once."""
        self.wrapper.backward(self.wrapper.scale_loss(self.share * loss))
        if not self.last:
            self.wrapper._inner_count -= 1
        elif self.wrapper.should_update():
            self.stepped = True
            self.wrapper.step()
            self.wrapper.zero_grad()


def length(data: dict[str, Any]) -> int:
    """Number of images in a batch."""
    return len(next(iter(data.values())))


def split(data: dict[str, Any], at_once: int) -> list[dict[str, Any]]:
    """Parts of at most ``at_once`` images; every value of a batch has one entry an image."""
    starts = range(0, length(data), at_once)
    return [{key: value[k : k + at_once] for key, value in data.items()} for k in starts]
