"""How many images go through the GPU at once, and whether blocks are computed again.

A batch is the same batch however it is cut (:mod:`custom_modules.engine.micro_batches`), so that
the parts may follow the GPU's memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cellkit.errors import UserError
from custom_modules.engine.training_memory import Memory

# Memory over what training keeps, for what comes and goes within a step: seen on an H200, 0.5 to
# 3.3 GiB, 1.5 of them with a single image (docs/gpu.md).
HEADROOM = 1.25
LEAST_ROOM = 1.5  # GiB
LEAST_AT_ONCE = 2  # images that fill a GPU: below, computing blocks again costs less time


class Choice(NamedTuple):
    """How a batch goes through the GPU.

    Attributes:
        at_once: Images in a part.
        recompute: The backbone's blocks are computed again in the backward pass.
    """

    at_once: int
    recompute: bool

    def options(self) -> str:
        """The settings that ask for it."""
        again = ' model.backbone.with_cp=True' if self.recompute else ''
        return f'micro_batch.size={self.at_once}{again}'


Memories = Mapping[bool, Memory]
"""What training keeps, by :attr:`Choice.recompute`; without True where a model can't."""


def in_order(
    batch: int, memories: Memories, at_once: int | None = None, recompute: bool | None = None
) -> Iterator[Choice]:
    """Choices, the fastest first.

    Args:
        batch: Images of an optimiser step on this GPU.
        memories: What training keeps.
        at_once: Only this number.
        recompute: Only with, or only without.
    """
    sizes = [batch]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    if at_once is not None:
        sizes = [at_once]
    for again in (False, True) if recompute is None else (recompute,):
        better_again = not again and recompute is None and at_once is None and True in memories
        for size in sizes:
            if again in memories and not (better_again and size < min(LEAST_AT_ONCE, batch)):
                yield Choice(size, again)


def choose(
    batch: int,
    memories: Memories,
    gib: float,
    at_once: int | None = None,
    recompute: bool | None = None,
) -> Choice | None:
    """The fastest choice that ``gib`` suffice for, None if there is none; see :func:`in_order`."""
    for choice in in_order(batch, memories, at_once, recompute):
        if wanted(choice, memories) <= gib:
            return choice
    return None


def wanted(choice: Choice, memories: Memories) -> float:
    """GiB that a choice takes, with room for what comes and goes."""
    return max(HEADROOM * kept(choice, memories), kept(choice, memories) + LEAST_ROOM)


def kept(choice: Choice, memories: Memories) -> float:
    """GiB that a choice keeps."""
    return memories[choice.recompute].of(choice.at_once)


def next_smaller(choice: Choice, batch: int, memories: Memories) -> Choice | None:
    """What to take where a choice ran out of memory: the fastest that keeps a fifth less."""
    limit = 0.8 * kept(choice, memories)
    return next((c for c in in_order(batch, memories) if kept(c, memories) <= limit), None)


def smallest(
    batch: int, memories: Memories, at_once: int | None = None, recompute: bool | None = None
) -> Choice:
    """The choice that takes least; see :func:`in_order`."""
    choices = in_order(batch, memories, at_once, recompute)
    return min(choices, key=lambda choice: wanted(choice, memories))


def share_of(batch: int, processes: int) -> int:
    """Images of an optimiser step in each process.

    Args:
        batch: ``train_dataloader.batch_size``, which all processes share.
        processes: Their number.

    Raises:
        UserError: The shares would not be alike.
    """
    if batch % processes:
        below = batch // processes * processes
        near = f'{below} or {below + processes}' if below else f'{processes}'
        raise UserError(
            f'train_dataloader.batch_size={batch} is the batch of all {processes} processes, which '
            f'can not share it evenly: give {near}, or another number of processes'
        )
    return batch // processes


def in_words(batch: int, choice: Choice, gib: float | None) -> str:
    """The line that tells a choice."""
    how = 'at once'
    if choice.at_once < batch:
        whole, rest = divmod(batch, choice.at_once)
        parts = f'{whole} x {choice.at_once}' if whole > 1 else f'{choice.at_once}'
        how = f'as {parts}{f" + {rest}" if rest else ""} accumulated'
    again = ', blocks recomputed' if choice.recompute else ''
    reason = '' if gib is None else f': the GPU has {gib:.1f} GiB'
    return f'Batch of {batch} {how}{again}{reason}.'
