"""Speed and memory of the main configuration on a GPU, for batches of several sizes."""

from __future__ import annotations

import gc
import statistics
import time
from typing import NamedTuple

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from benchmarks.harness import ROOT, machine, markdown_table
from benchmarks.model import batch
from cellkit.errors import UserError
from custom_modules.engine.training_memory import GIB, kept_gib

CONFIG = ROOT / 'configs' / 'bccd_vitb_mask_rcnn.py'
LARGEST = (960, 1024)  # height and width, pixels, that training crops at most
STEPS = [  # precision, blocks recomputed, images at once
    ('bfloat16', False, 16),
    ('bfloat16', True, 16),
    ('bfloat16', False, 4),
    ('bfloat16', True, 4),
    ('float32', False, 16),
    ('float32', False, 4),
    ('bfloat16', False, 1),
]
HEADER = ['precision', 'blocks', 'images at once', 's a step', 'images/s', 'kept, GiB', 'counted']


class Step(NamedTuple):
    """A training step: seconds, and GiB that it keeps for the backward pass with all else."""

    seconds: float
    kept: float


def training_step(precision: str, recompute: bool, images: int, steps: int) -> Step | None:
    """Time training steps of noise images with 240 cells each; None where memory runs out."""
    gc.collect()
    torch.cuda.empty_cache()
    config = Config.fromfile(CONFIG)
    config.merge_from_dict(
        {'model.precision': precision, 'model.backbone.with_cp': recompute}
        | {'model.backbone.init_cfg': None}
    )
    seconds, kept = [], 0.0
    try:
        model = MODELS.build(config.model).cuda().train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        data = batch(LARGEST, images)
        for _ in range(steps + 2):  # the first two allocate and choose kernels
            torch.cuda.synchronize()
            start = time.perf_counter()
            loss, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
            kept = torch.cuda.memory_allocated() / GIB
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    except torch.cuda.OutOfMemoryError:
        return None
    # Gradients are gone where it was read; the count has them.
    weights = sum(w.numel() * w.element_size() for w in model.parameters()) / GIB
    return Step(statistics.median(seconds[2:]), kept + weights)


def row(precision: str, recompute: bool, images: int, found: Step | None) -> list[str]:
    """A row of the table."""
    name = [precision, 'recomputed' if recompute else 'kept', str(images)]
    if found is None:
        return [*name, 'out of memory', '', '', '']
    model = Config.fromfile(CONFIG).model
    counted = kept_gib(model, images, LARGEST, precision != 'float32', recompute)
    rate = f'{images / found.seconds:.1f}'
    return [*name, f'{found.seconds:.2f}', rate, f'{found.kept:.1f}', f'{counted:.1f}']


def run(steps: int = 5) -> str:
    """Train a few steps of each kind; "counted" is what `benchmarks memory` says without a GPU."""
    if not torch.cuda.is_available():
        raise UserError('there is no GPU; `python -m benchmarks model` times a step on a CPU')
    init_default_scope('mmdet')
    rows = [row(*kind, training_step(*kind, steps)) for kind in STEPS]
    height, width = LARGEST
    about = f'Machine: {machine("torch", device="cuda")}. Images of {width}x{height}.'
    return f'{about}\n\n{markdown_table(HEADER, rows, text=2)}'
