"""Random numbers that follow from the seed and the step alone.

A run that was killed and resumed would otherwise draw other numbers than one that went through:
MMEngine keeps no random state, and that of loader workers, which work ahead, can't be kept. Here
each image and each step is seeded by its place in the run, so that there is no state to keep.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

Place = tuple[int, ...]
"""Of an image in a run: pass through the data, batch in it, image in that batch of all processes.

MMEngine's samplers hand out indices in turn, so that an image has the same place, and is made with
the same random numbers, whatever the number of processes.
"""
IMAGE, STEP = 0, 1 << 31
"""Set the random numbers of an image apart from those of a step."""


def seed_all(*entropy: int) -> None:
    """Seed Python's, NumPy's and torch's random numbers from a few integers >= 0."""
    words = np.random.SeedSequence(entropy).generate_state(4).tolist()
    random.seed(words[0])
    np.random.seed(words[1])  # noqa: NPY002 - MMDetection draws from the global numbers
    torch.manual_seed(words[2] << 32 | words[3])


@DATA_SAMPLERS.register_module()
class PlacedBatches(BatchSampler):
    """Batches of (index, place) pairs; some of the first ones can be left out.

    Args:
        sampler: Gives indices.
        batch_size: Images in a batch.
        batches: Config of the batch sampler whose batches these are; consecutive ones when None.
        drop_last: Leave out a last batch that is smaller.

    Attributes:
        skip: Batches to leave out of the next pass.
        number: Of the next pass.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        batches: dict[str, Any] | None = None,
        drop_last: bool = False,
    ) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.batches = BatchSampler(sampler, batch_size, drop_last)
        if batches is not None:
            self.batches = DATA_SAMPLERS.build(
                batches, default_args=dict(sampler=sampler, batch_size=batch_size)
            )
        self.skip = self.number = 0

    def __iter__(self) -> Iterator[list[tuple[int, Place]]]:
        skip, self.skip, number = self.skip, 0, self.number
        rank, processes = get_dist_info()
        for k, batch in enumerate(self.batches):
            if k >= skip:
                yield [(j, (number, k, i * processes + rank)) for i, j in enumerate(batch)]

    def __len__(self) -> int:
        return len(self.batches)


class PlacedImages:
    """``dataset.__getitems__``: each image is made with random numbers of its own."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __call__(self, pairs: Sequence[tuple[int, Place]]) -> list[Any]:
        """Images of one batch of :class:`PlacedBatches`."""
        images = []
        for index, place in pairs:
            seed_all(self.seed, IMAGE, *place)
            images.append(self.dataset[index])
        return images


def placed(loader: dict[str, Any]) -> dict[str, Any]:
    """A data loader's config with :class:`PlacedBatches`."""
    loader = dict(loader)
    drop_last = dict(drop_last=loader.pop('drop_last')) if 'drop_last' in loader else {}
    sampler = dict(type=PlacedBatches, batches=loader.get('batch_sampler'), **drop_last)
    return {**loader, 'batch_sampler': sampler}


def seed_images(loader: DataLoader, seed: int) -> None:
    """Have a loader with :class:`PlacedBatches` make each image with numbers of its own."""
    loader.dataset.__getitems__ = PlacedImages(loader.dataset, seed)
