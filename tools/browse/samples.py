"""Samples of a config's data, before and after its pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmdet.registry import DATASETS
from mmdet.structures.mask import BaseInstanceMasks
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from cellkit.errors import UserError
from custom_modules.engine.config_check import find_unread_in_file
from custom_modules.engine.repeatable import IMAGE, seed_all

PACK = dict(type='PackDetInputs', meta_keys=('img_id', 'img_path'))


class Sample(NamedTuple):
    """What the model gets of an image.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        cells: Masks it learns from, None where none are loaded.
        ignored: Masks that count neither way.
        name: The image's file.
    """

    image: np.ndarray
    cells: BaseInstanceMasks | None
    ignored: BaseInstanceMasks | None
    name: str


class Samples:
    """The samples of one part of a config's data.

    Args:
        config: After overrides.
        file: Where it was read from.
        part: ``train``, ``val`` or ``test``.

    Raises:
        UserError: The part's data or pipeline can't be used.
    """

    def __init__(self, config: Config, file: Path, part: str) -> None:
        if problems := find_unread_in_file(file):
            raise UserError(f'{file}: {"; ".join(problems)}')
        loader = config.get(f'{part}_dataloader')
        if loader is None:
            raise UserError(f'{file} has no {part}_dataloader; browse another part')
        init_default_scope('mmdet')
        try:
            self.dataset = DATASETS.build(loader.dataset)
        except (KeyError, TypeError, AttributeError) as error:
            reason = ' '.join(str(error).split())[:300]
            raise UserError(
                f"{file}: the data of {part}_dataloader can't be made ({reason}); correct the "
                'setting that this names'
            ) from error
        innermost = loader.dataset
        while 'dataset' in innermost:  # one that wraps another
            innermost = innermost.dataset
        steps = [step for step in innermost.get('pipeline', ()) if step.type.startswith('Load')]
        self._load = Compose([*steps, PACK])

    def spread(self, number: int) -> list[int]:
        """Up to ``number`` indices, evenly over the data."""
        count = len(self.dataset)
        return np.linspace(0, count - 1, min(number, count)).round().astype(int).tolist()

    def stored(self, index: int) -> Sample:
        """An image with its cells as they are stored."""
        return _sample(self._load(self.dataset.get_data_info(index)))

    def drawn(self, index: int, seed: int, draw: int) -> Sample:
        """What the pipeline makes of an image; of another one where it turns this one down."""
        seed_all(seed, IMAGE, index, draw)
        return _sample(self.dataset[index])


def _sample(packed: dict[str, Any]) -> Sample:
    image = packed['inputs'].numpy().transpose(1, 2, 0)
    if image.dtype != np.uint8:  # some of MMDetection's steps leave numbers beyond black and white
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    found = packed['data_samples']
    cells, ignored = (
        found.get(part).get('masks') if part in found else None
        for part in ('gt_instances', 'ignored_instances')
    )
    name = Path(str(found.metainfo.get('img_path', ''))).name
    return Sample(np.ascontiguousarray(image), cells, ignored, name)
