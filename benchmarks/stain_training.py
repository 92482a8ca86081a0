"""Does stain handling help? The small CPU model trained with each way, on one seed and budget.

    python -m benchmarks.stain_training --steps 250 --write docs/stain.md

Trains `configs/bccd_hybrid_mask_rcnn_cpu.py` as it is, with each normalisation and with jitter,
evaluates every run (threshold chosen on validation, test images used once) and writes the table.
The plain model is trained on a second seed too: differences below that between two seeds say
nothing. Runs that are complete are not trained again; an interrupted one is resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.stain_reference import StainReferenceError, write_stain_reference
from tools.errors import UserError, run_command
from tools.marked_page import write_between_marks
from tools.prediction_files import write_beside
from tools.results_table import COLUMNS, table

ROOT = Path(__file__).parents[1]
MARKS = 'stain-training'
OUT = Path('work_dirs/stain_training')
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


def variants(reference: Path) -> dict[str, tuple[int, str, str]]:
    """Seed and the steps after loading, in training and in testing, of each run by name."""
    found = {'plain_seed0': (0, '[]', '[]'), 'plain_seed1': (1, '[]', '[]')}
    for method in ('reinhard', 'macenko', 'vahadane'):
        step = f'[{NORMALIZE.format(method, str(reference))}]'
        found[f'{method}_seed0'] = (0, step, step)
    return found | {'jitter_seed0': (0, f'[{JITTER}]', '[]')}


def train_and_evaluate(run: Path, text: str, steps: int, environment: dict[str, str]) -> None:
    """Leave ``evaluation.json`` in the run folder."""
    config = run / 'written' / f'{run.name}.py'
    if config.is_file() and config.read_text(encoding='utf-8') != text:
        raise UserError(f'{run} holds a run with other settings: remove it or give another --out')
    write_beside(config, text.encode())
    commands = []
    if not (run / f'iter_{steps}.pth').is_file():
        commands.append(['tools.run_mim', 'train', 'mmdet', config, '--work-dir', run, '--resume'])
    if not (run / 'evaluation.json').is_file():
        commands.append(['tools.evaluate', run])
    for command in commands:
        done = subprocess.run([sys.executable, '-m', *command], cwd=ROOT, env=environment)
        if done.returncode:
            raise UserError(f'{run.name}: {command[0]} failed, see above')


def as_row(run: Path) -> list[str]:
    """The run's cells of the table."""
    result = json.loads((run / 'evaluation.json').read_text(encoding='utf-8'))
    cells = [f'{result["figures"][key]:.3f}' for _, key in COLUMNS]
    return [run.name.replace('_seed', ', seed '), *cells]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    default = Path(os.environ.get('DATA_ROOT', 'data/bccd'))
    parser.add_argument('--data-root', type=Path, default=default)
    parser.add_argument('--steps', type=int, default=250)
    parser.add_argument('--out', type=Path, default=OUT)
    parser.add_argument('--write', type=Path, help='Markdown page to put the table into')
    args = parser.parse_args(argv)

    def work() -> None:
        try:
            reference = write_stain_reference(args.data_root).resolve()
        except StainReferenceError as error:
            raise UserError(str(error)) from error
        environment = {**os.environ, 'DATA_ROOT': str(args.data_root)}
        base = str((ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py').resolve())
        rows = []
        for name, (seed, train_stain, test_stain) in variants(reference).items():
            text = CONFIG.format(
                base=base, seed=seed, steps=args.steps, train_stain=train_stain,
                test_stain=test_stain,
            )  # fmt: skip
            run = (args.out / name).resolve()
            train_and_evaluate(run, text, args.steps, environment)
            rows.append(as_row(run))
        header = ['stain handling', *(name for name, _ in COLUMNS)]
        page = (
            table(rows, header)
            + f'\n\n`bccd_hybrid_mask_rcnn_cpu` with {args.steps} steps, written by '
            '`python -m benchmarks.stain_training`.'
        )
        if args.write:
            write_between_marks(args.write, page, MARKS)
        print(page)

    return run_command('stain_training', work, 'stopped; the same command goes on')


if __name__ == '__main__':
    sys.exit(main())
