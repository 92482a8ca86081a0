"""GPU memory that training the main configuration takes, counted without a GPU.

See :mod:`custom_modules.engine.training_memory` for what is counted.
"""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from benchmarks.harness import ROOT, markdown_table
from custom_modules.engine.batch_choice import choose, wanted
from custom_modules.engine.training_memory import memories, training_size

CONFIG = ROOT / 'configs' / 'bccd_vitb_mask_rcnn.py'
IMAGES = (1, 2, 4, 8, 16)
CARDS = (6, 8, 11, 16, 24, 40, 80)
FREE = 0.9
"""GiB that are free on an idle card for each GB on its box: less the driver's and CUDA's own."""

PRECISIONS = {'bfloat16 or float16': True, 'float32': False}
BLOCKS = {False: 'kept', True: 'recomputed'}


def run(config: Path = CONFIG) -> str:
    """Count what training keeps for batches of several sizes, and choose for several cards."""
    cfg = Config.fromfile(config)
    init_default_scope('mmdet')
    batch = cfg.train_dataloader.batch_size
    height, width = training_size(cfg)
    counted, chosen = [], []
    for precision, half in PRECISIONS.items():
        keeps = memories(cfg, half)
        for again, keep in keeps.items():
            cells = [f'{keep.of(images):.1f}' for images in IMAGES]
            counted.append([precision, BLOCKS[again], *cells])
        for card in CARDS:
            found = choose(batch, keeps, FREE * card)
            gib = f'{wanted(found, keeps):.1f}'
            chosen.append([precision, BLOCKS[found.recompute], str(card), str(found.at_once), gib])
    return '\n\n'.join(
        [
            f'GiB with images of {width}x{height}, the largest that training crops:',
            markdown_table(['precision', 'blocks', *map(str, IMAGES)], counted, text=2),
            f'What a batch of {batch} is cut into, and GiB with room for what comes and goes:',
            markdown_table(['precision', 'blocks', 'GB', 'at once', 'GiB'], chosen, text=2),
        ]
    )
