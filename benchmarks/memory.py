"""GPU memory that training the main configuration takes, counted without a GPU.

See :mod:`custom_modules.engine.training_memory` for what is counted.
"""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from benchmarks.harness import ROOT, markdown_table
from custom_modules.engine.batch_choice import Memories, choose, wanted
from custom_modules.engine.training_memory import kept_gib, largest_image, training_memory

CONFIG = ROOT / 'configs' / 'bccd_vitb_mask_rcnn.py'
IMAGES = (1, 2, 4, 8, 16)
CARDS = (6, 8, 11, 16, 24, 40, 80)
FREE = 0.9
"""GiB that are free on an idle card for each GB on its box: less the driver's and CUDA's own."""

PRECISIONS = {'bfloat16 or float16': True, 'float32': False}


def memories(config: Config, half: bool) -> Memories:
    """What training a config keeps, by whether blocks are recomputed."""
    init_default_scope('mmdet')
    size = largest_image(config.train_dataloader.dataset.pipeline)
    return {again: training_memory(config.model, size, half, again) for again in (False, True)}


def run(config: Path = CONFIG) -> str:
    """Count what training keeps for batches of several sizes, and choose for several cards."""
    cfg = Config.fromfile(config)
    init_default_scope('mmdet')
    height, width = size = largest_image(cfg.train_dataloader.dataset.pipeline)
    counted = []
    for precision, half in PRECISIONS.items():
        for again in (False, True):
            cells = [f'{kept_gib(cfg.model, n, size, half, again):.1f}' for n in IMAGES]
            counted.append([precision, 'recomputed' if again else 'kept', *cells])
    chosen = []
    batch = cfg.train_dataloader.batch_size
    for precision, half in PRECISIONS.items():
        keeps = memories(cfg, half)
        for card in CARDS:
            found = choose(batch, keeps, FREE * card)
            again = 'recomputed' if found.recompute else 'kept'
            gib = f'{wanted(found, keeps):.1f}'
            chosen.append([precision, again, str(card), str(found.at_once), gib])
    return '\n\n'.join(
        [
            f'GiB with images of {width}x{height}, the largest that training crops:',
            markdown_table(['precision', 'blocks', *map(str, IMAGES)], counted, text=2),
            f'What a batch of {batch} is cut into, and GiB with room for what comes and goes:',
            markdown_table(['precision', 'blocks', 'GB', 'at once', 'GiB'], chosen, text=2),
        ]
    )
