"""Fits a run's batch to the memory of its GPU; what :class:`StrictRunner` asks."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch import nn

from custom_modules.engine import training_memory
from custom_modules.engine.batch_choice import (
    Choice,
    Memories,
    choose,
    in_words,
    next_smaller,
    smallest,
    wanted,
)
from custom_modules.engine.training_memory import Memory
from custom_modules.models.mixed_precision import precision_of

OTHERWISE = (
    'end what else runs on the GPU (nvidia-smi tells), or train '
    'configs/bccd_hybrid_mask_rcnn_cpu.py'
)
UNKNOWN = {False: Memory(0.0, 1.0), True: Memory(0.0, 0.4)}
"""For models that can't be counted: memory goes with the images, recomputing spares most of it."""


class FittedBatch:
    """The choice for one run, and the next smaller one where memory runs out.

    Args:
        config: The run's. ``micro_batch.size`` and ``model.backbone.with_cp``, where they are set,
            decide; ``micro_batch.out_of_memory='smaller'`` goes on with less.
        network: The model, on its device, not wrapped.
        batch: Images of an optimiser step on this GPU.

    Raises:
        SystemExit: With one sentence: a setting can't be, or the GPU's memory doesn't suffice.
    """

    def __init__(self, config: Config, network: nn.Module, batch: int) -> None:
        settings = config.get('micro_batch') or {}
        if not isinstance(settings, Mapping):
            raise SystemExit(f'micro_batch={settings}: give micro_batch.size={settings}.')
        size, what = settings.get('size'), settings.get('out_of_memory') or 'stop'
        if size is not None and (type(size) is not int or size < 1):
            raise SystemExit(f'micro_batch.size={size}: give a number of images, 1 or more.')
        if what not in ('stop', 'smaller'):
            raise SystemExit(f'micro_batch.out_of_memory={what}: give stop or smaller.')
        self.goes_on = what == 'smaller'
        self.batch = batch
        self.backbone = getattr(network, 'backbone', None)
        recompute = config.model.get('backbone', {}).get('with_cp')
        device = next(network.parameters()).device
        self.gib = training_memory.free_gib(device)
        self.memories = UNKNOWN if self.gib is None else count(config, network)
        if not hasattr(self.backbone, 'with_cp'):
            self.memories = {False: self.memories[False]}
            recompute = None
        if size is not None:
            size = min(size, batch)
        self.choice = Choice(size or batch, bool(recompute))
        # Both set is an order; without a count there is nothing to choose by.
        if self.memories[False] != UNKNOWN[False] and (size is None or recompute is None):
            found = choose(batch, self.memories, self.gib, size, recompute)
            self.choice = found or self._least(size, recompute)
        self.apply()

    def apply(self) -> None:
        """Has the backbone recompute its blocks or not, as chosen."""
        if hasattr(self.backbone, 'with_cp'):
            self.backbone.with_cp = self.choice.recompute

    def __str__(self) -> str:
        return in_words(self.batch, self.choice, self.gib)

    def smaller(self, logger: logging.Logger) -> int | None:
        """Images at once after memory ran out, None to stop."""
        found = next_smaller(self.choice, self.batch, self.memories) if self.goes_on else None
        if found is None:
            return None
        self.choice = found
        self.apply()
        logger.warning(f'Out of memory: going on with {found.options()}.')
        return found.at_once

    def out_of_memory(self, checkpoint: str | None) -> str:
        """The sentence for a run that ends for want of memory.

        Args:
            checkpoint: The run's last one, which is whole.
        """
        again = ', blocks recomputed' if self.choice.recompute else ''
        now = f'Out of memory with {self.choice.at_once} of {self.batch} images at once{again}'
        found = next_smaller(self.choice, self.batch, self.memories)
        if found is None:
            return f'{now}, which is the least: {OTHERWISE}.'
        resume = f' and resume from {checkpoint} (--resume or RESUME=1)' if checkpoint else ''
        return (
            f'{now}: set {found.options()} (--cfg-options or OPTS){resume}; '
            'micro_batch.out_of_memory=smaller does so by itself.'
        )

    def _least(self, size: int | None, recompute: bool | None) -> Choice:
        """What takes least within what was asked for, though it may not fit."""
        least = smallest(self.batch, self.memories, size, recompute)
        if size is not None or recompute is not None:
            return least
        raise SystemExit(
            f'The GPU has {self.gib:.1f} GiB free and this model wants '
            f'{wanted(least, self.memories):.1f}: {OTHERWISE}; to try all the same set '
            f'{least.options()} (--cfg-options or OPTS).'
        )


def count(config: Config, network: nn.Module) -> Memories:
    """What training keeps; :data:`UNKNOWN` where the model or its pipeline can't be counted."""
    init_default_scope(config.get('default_scope', 'mmdet'))
    try:
        return training_memory.memories(config, computes_in_half(config, network))
    except Exception as error:  # a user's own model may be anything, and trains all the same
        print_log(f"Training's memory can't be counted ({error!r}).", 'current', logging.WARNING)
        return UNKNOWN


def computes_in_half(config: Config, network: nn.Module) -> bool:
    """Whether the networks compute in bfloat16 or float16 while they train."""
    amp = config.get('optim_wrapper', {}).get('type') == 'AmpOptimWrapper'  # --amp
    if amp and getattr(network, 'precision', 'auto') == 'auto':
        return True
    return precision_of(network, next(network.parameters()).device.type) != 'float32'
