"""Speed and memory of the main configuration on a GPU, for batches of several sizes."""

from __future__ import annotations

import gc
import statistics
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from benchmarks.harness import in_turn, machine, markdown_table
from benchmarks.memory import BLOCKS, CONFIG
from benchmarks.model import batch, training_step
from cellkit.errors import UserError
from custom_modules.engine.training_memory import GIB, kept_gib, training_size

STEPS = [  # precision, blocks recomputed, images at once
    ('bfloat16', False, 16),
    ('bfloat16', True, 16),
    ('bfloat16', False, 4),
    ('bfloat16', True, 4),
    ('float32', False, 4),
    ('float32', False, 16),
    ('bfloat16', False, 1),
]
HEADER = ['precision', 'blocks', 'images at once', 's a step', 'images/s', 'kept, GiB', 'counted']


class Measured(NamedTuple):
    """Seconds of a training step, and GiB held after its forward pass, gradients among them."""

    seconds: float
    kept: float


def measure(
    precision: str, recompute: bool, images: int, size: tuple[int, int], steps: int
) -> Measured | None:
    """Time training steps on images (height, width) of noise; None where memory runs out."""
    gc.collect()
    torch.cuda.empty_cache()
    change = {'model.precision': precision, 'model.backbone.with_cp': recompute}
    held: list[int] = []
    try:
        way = training_step(
            CONFIG.stem,
            change,
            batch(size, images),
            'cuda',
            lambda: held.append(torch.cuda.memory_allocated()),
        )
        # The first two steps allocate and choose kernels.
        seconds = in_turn({'step': way}, steps + 2).seconds['step'][2:]
    except torch.cuda.OutOfMemoryError:
        return None
    return Measured(statistics.median(seconds), held[-1] / GIB)


def row(
    precision: str, recompute: bool, images: int, counted: float, found: Measured | None
) -> list[str]:
    """A row of the table; ``counted`` is what `benchmarks memory` says of ``kept``, in GiB."""
    name = [precision, BLOCKS[recompute], str(images)]
    if found is None:
        return [*name, 'out of memory', '', '', f'{counted:.1f}']
    speed = [f'{found.seconds:.2f}', f'{images / found.seconds:.1f}']
    return [*name, *speed, f'{found.kept:.1f}', f'{counted:.1f}']


def run(steps: int = 5) -> str:
    """Train a few steps of each kind; "counted" is what `benchmarks memory` says without a GPU."""
    if not torch.cuda.is_available():
        raise UserError('there is no GPU; `python -m benchmarks model` times a step on a CPU')
    init_default_scope('mmdet')
    config = Config.fromfile(CONFIG)
    height, width = size = training_size(config)
    rows = []
    for precision, recompute, images in STEPS:
        counted = kept_gib(config.model, images, size, precision != 'float32', recompute)
        found = measure(precision, recompute, images, size, steps)
        rows.append(row(precision, recompute, images, counted, found))
    about = f'Machine: {machine("torch", device="cuda")}. Images of {width}x{height}.'
    return f'{about}\n\n{markdown_table(HEADER, rows, text=2)}'
