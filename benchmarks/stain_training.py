"""Does stain handling help? The small CPU model trained with each way, on one seed and budget.

Trains `configs/bccd_hybrid_mask_rcnn_cpu.py` as it is, with each normalisation and with jitter,
evaluates every run (threshold chosen on validation, test images used once) and writes the table.
The plain model is trained on a second seed too: differences below that between two seeds say
nothing. Runs that are complete are not trained again; an interrupted one is resumed.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from benchmarks.harness import ROOT, markdown_table, run_module
from cellkit.errors import UserError
from cellkit.files.prepared import data_root as named_data_root
from cellkit.files.writing import write_whole
from data_prep.stain_reference import write_stain_reference
from tools.results import COLUMNS

BASE = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py'
NORMALIZE = "dict(type='StainNormalize', method='{}', reference={!r})"
JITTER = "dict(type='StainJitter', prob=0.8, scale=0.2, shift=0.02)"

CONFIG = """# Written by benchmarks/stain_training.py.
_base_ = {base!r}

randomness = dict(seed={seed})
max_iters = {steps}
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=max_iters // 6),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
train_stain = {train_stain}
test_stain = {test_stain}
train_pipeline = [_base_.train_pipeline[0], *train_stain, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.test_pipeline[0], *test_stain, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
"""


def config_texts(reference: Path, steps: int) -> dict[str, str]:
    """The config of each run, by the run's name."""
    variants = {'plain_seed0': (0, '[]', '[]'), 'plain_seed1': (1, '[]', '[]')}
    for method in ('reinhard', 'macenko', 'vahadane'):
        step = f'[{NORMALIZE.format(method, str(reference))}]'
        variants[f'{method}_seed0'] = (0, step, step)
    variants['jitter_seed0'] = (0, f'[{JITTER}]', '[]')
    write = partial(CONFIG.format, base=str(BASE.resolve()), steps=steps)
    return {
        name: write(seed=seed, train_stain=train, test_stain=test)
        for name, (seed, train, test) in variants.items()
    }


def train_and_evaluate(run: Path, text: str, steps: int, data_root: Path) -> None:
    """Leave ``evaluation.json`` in the run folder."""
    config = run / 'written' / f'{run.name}.py'
    if config.is_file() and config.read_text(encoding='utf-8') != text:
        raise UserError(f'{run} holds a run with other settings: remove it or give another --out')
    write_whole(config, text)
    commands = []
    if not (run / f'iter_{steps}.pth').is_file():
        commands.append(['tools.train', config, '--work-dir', run, '--resume'])
    if not (run / 'evaluation.json').is_file():
        commands.append(['tools.evaluate', run])
    for command in commands:
        run_module(*command, DATA_ROOT=str(data_root))


def as_row(run: Path) -> list[str]:
    """The run's cells of the table."""
    found = json.loads((run / 'evaluation.json').read_text(encoding='utf-8'))['figures']
    return [run.name.replace('_seed', ', seed '), *(f'{found[key]:.3f}' for _, key in COLUMNS)]


def run(
    data_root: Path | None = None, steps: int = 250, out: Path = Path('work_dirs/stain_training')
) -> str:
    """Train and evaluate every variant.

    Args:
        data_root: Prepared data set; that of DATA_ROOT by default.
        steps: Of training, 6 or more: the first sixth warms up.
        out: Folder of the runs.
    """
    data_root = (data_root or named_data_root()).resolve()
    reference = write_stain_reference(data_root)
    rows = []
    for name, text in config_texts(reference, steps).items():
        folder = (out / name).resolve()
        train_and_evaluate(folder, text, steps, data_root)
        rows.append(as_row(folder))
    table = markdown_table(['stain handling', *(name for name, _ in COLUMNS)], rows)
    note = f'`{BASE.stem}` with {steps} steps, written by `python -m benchmarks stain-training`.'
    return f'{table}\n\n{note}'
