"""Stops a run that has gone wrong, and tells where one learns nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

ROUNDS = 2  # validations without a single hit after which it is told
WHAT_HELPS = (
    'look at those images, or train with a lower rate (optim_wrapper.optimizer.lr), clipped '
    'gradients (optim_wrapper.clip_grad.max_norm=1) or in float32 (model.precision=float32)'
)


@HOOKS.register_module()
class HealthHook(Hook):
    """Ends training at the first loss or weight that is not a number, before it is kept.

    :class:`StrictRunner` registers it. Where the measure that chooses the best checkpoint stays at
    0, or at -1 for want of cells, at two validations in a row, a warning says so.
    """

    # Before LoggerHook, and before CheckpointHook, which is the last.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._images: Sequence[str] = ()
        self._rounds_at_zero = 0

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Looks at the losses of a step.

        Raises:
            SystemExit: One of them is not finite.
        """
        self._images = images_of(data_batch)
        losses = {
            name: float(torch.as_tensor(value).detach())
            for name, value in (outputs or {}).items()
            if 'loss' in name
        }
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:  # in all processes: they log the means
            value = losses[bad[0]]
            self._images = [name for names in all_gather_object(self._images) for name in names]
            raise SystemExit(
                f'The {", ".join(bad)} of step {runner.iter + 1} is {value} with the images '
                f'{in_words(self._images)}: {kept(runner)}; {WHAT_HELPS}.'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Looks at the weights.

        Raises:
            SystemExit: One is not finite.
        """
        for name, weight in checkpoint['state_dict'].items():
            if weight.is_floating_point() and not torch.isfinite(weight).all():
                raise SystemExit(
                    f'The weight {name} is not finite at step {runner.iter + 1}, the last images '
                    f'were {in_words(self._images)}: no checkpoint is written, {kept(runner)}; '
                    f'{WHAT_HELPS}.'
                )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Counts validations without a hit."""
        if not (key := measure(runner)) or key not in (metrics or {}) or 'loss' in key:
            return
        value = float(metrics[key])
        self._rounds_at_zero = 0 if value > 0 else self._rounds_at_zero + 1
        if self._rounds_at_zero == ROUNDS:
            cells = ' (the validation images have no cells)' if value < 0 else ''
            runner.logger.warning(
                f'{key} is {value:g}{cells} at {ROUNDS} validations in a row: the model finds '
                'nothing; check the annotations (contact sheet of `make prepare`), the learning '
                'rate and the weights that training starts from.'
            )


def measure(runner: Runner) -> str | None:
    """What chooses the best checkpoint."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    return next((hook.save_best[0] for hook in hooks if hook.save_best), None)


def images_of(batch: Any) -> list[str]:
    """Paths of a batch's images, as far as it has any."""
    samples = batch.get('data_samples', ()) if isinstance(batch, Mapping) else ()
    paths = [getattr(sample, 'img_path', None) for sample in samples]
    return [str(path) for path in paths if path]


def in_words(images: Sequence[str]) -> str:
    """Names of images, with the folder of the first."""
    if not images:
        return '(without names)'
    return ', '.join([images[0], *(os.path.basename(image) for image in images[1:])])


def kept(runner: Runner) -> str:
    """What is left of the run."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    last = next((hook.last_ckpt for hook in hooks if hook.last_ckpt), None)
    return f'{last} is the last checkpoint' if last else 'there is no checkpoint before it'
