"""MMEngine's training loops, which go on exactly where a checkpoint was written.

Within an epoch, with the same images in the same order, and with the validation that was due.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from custom_modules.engine.repeatable import STEP, PlacedBatches, placed, seed_all, seed_images
from custom_modules.engine.whole_checkpoint import VALIDATED


def repeatable(loop: dict[str, Any]) -> dict[str, Any]:
    """A training loop's config with the loop of this module for MMEngine's own."""
    loop = dict(loop)
    kind = loop.get('type')
    if 'by_epoch' in loop and kind is None:
        kind = EpochBasedTrainLoop if loop.pop('by_epoch') else IterBasedTrainLoop
    if isinstance(kind, str):
        kind = LOOPS.get(kind)
    own = {EpochBasedTrainLoop: RepeatableEpochLoop, IterBasedTrainLoop: RepeatableIterLoop}
    return {**loop, 'type': own.get(kind, kind)}


class _Repeatable:
    """What both loops share."""

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args: Any, **kw: Any):
        if isinstance(dataloader, dict):
            dataloader = placed(dataloader)
        super().__init__(runner, dataloader, *args, **kw)
        if isinstance(self.dataloader.batch_sampler, PlacedBatches):
            seed_images(self.dataloader, runner.seed)

    def run_iter(self, *args: Any) -> None:
        """One step, with random numbers of its own."""
        seed_all(self.runner.seed, get_rank(), STEP, self._iter)
        super().run_iter(*args)

    def _start_at(self, number: int, skip: int) -> None:
        """Have the next pass through the data be the one of this number, without its first batches.

        Raises:
            SystemExit: The loader was built by hand and has no places.
        """
        batches = self.dataloader.batch_sampler
        if isinstance(batches, PlacedBatches):
            batches.number, batches.skip = number, skip
        elif skip:
            raise SystemExit(
                'train_dataloader is no config, and a run can only be resumed in the middle of an '
                'epoch with one: give it as a dict.'
            )

    def _validate_if_due(self, count: int, end: int) -> None:
        """Validate where the schedule says so.

        Args:
            count: Of steps or epochs done.
            end: Their number in all.
        """
        self._decide_current_val_interval()
        due = count >= self.val_begin and (count % self.val_interval == 0 or count == end)
        if self.runner.val_loop is not None and due:
            self.runner.val_loop.run()

    def _go_on(self, count: int, end: int, of: str) -> None:
        """After a resume: the validation that a kill has come before; tells that a run is over."""
        if not self._iter:
            return
        if count and self.runner.message_hub.runtime_info.get(VALIDATED) != self._iter:
            self._validate_if_due(count, end)
        if count >= end:
            name = 'max_epochs' if of == 'epochs' else 'max_iters'
            self.runner.logger.info(
                f'The run is finished: {count} of {end} {of}; to train longer set a greater '
                f'train_cfg.{name}.'
            )


@LOOPS.register_module()
class RepeatableEpochLoop(_Repeatable, EpochBasedTrainLoop):
    """``EpochBasedTrainLoop`` that goes on within an epoch."""

    def run(self) -> nn.Module:
        """Train, from wherever a checkpoint left off."""
        self.runner.call_hook('before_train')
        if self._epoch * len(self.dataloader) >= self._iter:
            self._go_on(self._epoch, self._max_epochs, 'epochs')
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due(self._epoch, self._max_epochs)
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """One epoch, or what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = max(self._iter - self._epoch * len(self.dataloader), 0)
        self._start_at(self._epoch, done)
        if done < len(self.dataloader):
            for idx, batch in enumerate(self.dataloader, start=done):
                self.run_iter(idx, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class RepeatableIterLoop(_Repeatable, IterBasedTrainLoop):
    """``IterBasedTrainLoop`` that leaves out what was trained on without loading it."""

    def run(self) -> nn.Module:
        """Train, from wherever a checkpoint left off."""
        self.runner.call_hook('before_train')
        # The whole of it counts as one epoch for hooks.
        self.runner.call_hook('before_train_epoch')
        self._go_on(self._iter, self._max_iters, 'steps')
        batches = self._batches()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self._validate_if_due(self._iter, self._max_iters)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _batches(self) -> Iterator[Any]:
        """Batches without end, from the first that was not trained on."""
        loader, number, skip = self.dataloader, 0, self._iter
        sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
        if not isinstance(sampler, InfiniteSampler):
            number, skip = divmod(skip, len(loader))
        while True:
            if number and hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(number)
            self._start_at(number, skip)
            yield from loader
            number, skip = number + 1, 0
