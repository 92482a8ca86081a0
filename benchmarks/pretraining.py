"""Is it worth teaching an encoder on unlabelled smears? A small detector with and without.

A ViT-Ti learns from drawn smears by `configs/pretrain/mae_vitti_smears.py`; then
`configs/bccd_vitti_mask_rcnn_cpu.py` is trained for the same number of steps from its weights and
from scratch, with the same seeds. The last checkpoint's validation counts: nothing is chosen.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import ROOT, machine, markdown_table
from benchmarks.training import POINT, keep_settings, stretched, train_run
from cellkit.errors import UserError
from cellkit.files.prepared import annotation_file
from cellkit.files.prepared import data_root as named_data_root
from cellkit.files.writing import (
    read_object,
    sha256_of,
    sha256_of_settings,
    write_json,
    write_whole,
)
from cellkit.metrics.comparison import STANDARD_ERRORS, difference_of_means
from tools.results import COLUMNS as ALL_COLUMNS
from tools.results import NOT_MEASURED, form_of, mean_of
from tools.runs.log import read_training_log

PRETRAINING = ROOT / 'configs' / 'pretrain' / 'mae_vitti_smears.py'
DETECTOR = ROOT / 'configs' / 'bccd_vitti_mask_rcnn_cpu.py'
STARTS = {'scratch': 'from scratch', 'mae': 'pretrained'}
FIGURES = {
    'coco/segm_mAP', 'coco/segm_mAP_50', 'pixel/dice_pooled', 'count/relative_error',
}  # fmt: skip
COLUMNS = [column for column in ALL_COLUMNS if column[1] in FIGURES]
READ = (
    'model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'train_pipeline', 'test_pipeline',
    'randomness',
)  # fmt: skip

CONFIG = """# Written by benchmarks/pretraining.py.
_base_ = {base!r}

randomness = dict(seed={seed})
train_cfg = dict({train_cfg})
param_scheduler = {schedule!r}
default_hooks = dict(checkpoint=dict({checkpoint}, max_keep_ckpts=1))
"""
START = """custom_hooks = []
model = dict(backbone=dict(init_cfg={init!r}))
"""


class Plan(NamedTuple):
    """What is trained.

    Attributes:
        data_root: Prepared data set of the detectors.
        out: Folder of the runs.
        pretraining_steps: Of the encoder.
        steps: Of each detector.
    """

    data_root: Path
    out: Path
    pretraining_steps: int
    steps: int

    def weights(self) -> Path:
        """Where pretraining leaves the encoder."""
        return self.out / 'pretraining' / f'iter_{self.pretraining_steps}.pth'

    def pretraining(self) -> str:
        """The config of pretraining."""
        steps = self.pretraining_steps
        return CONFIG.format(
            base=str(PRETRAINING),
            seed=0,
            train_cfg=f'max_iters={steps}',
            schedule=_schedule(PRETRAINING, steps),
            checkpoint=f'interval={max(steps // 12, 1)}',
        )

    def detector(self, start: str, seed: int) -> str:
        """The config of a detector."""
        init = dict(type='PretrainedEncoder', checkpoint=str(self.weights()))
        text = CONFIG.format(
            base=str(DETECTOR),
            seed=seed,
            train_cfg=f'max_iters={self.steps}, val_interval={self.steps}',
            schedule=_schedule(DETECTOR, self.steps),
            checkpoint=f'interval={max(self.steps // 4, 1)}, save_best=None',
        )
        return text + START.format(init=init if start == 'mae' else None)


def _schedule(config: Path, steps: int) -> list[dict[str, Any]]:
    from mmengine.config import Config  # late: it takes seconds

    content = Config.fromfile(config).to_dict()
    return stretched(content['param_scheduler'], steps / content['train_cfg']['max_iters'])


def _digest(text: str) -> str:
    """Of what a run depends on in its config, less where files lie."""
    from mmengine.config import Config

    content = Config.fromstring(text, '.py').to_dict()
    content['model']['backbone'].pop('init_cfg', None)
    return sha256_of_settings({key: content.get(key) for key in READ})


def measure(plan: Plan, name: str, text: str, steps: int, about: dict[str, Any]) -> dict[str, Any]:
    """Train a run, or go on with it; returns what is stored of it.

    Args:
        plan: Where.
        name: Of the run folder.
        text: Its config.
        steps: How many it has.
        about: What else tells it from others.

    Raises:
        UserError: The folder holds a run with other settings, or training failed.
    """
    folder = plan.out / name
    settings = about | {'steps': steps, 'config_sha256': _digest(text)}
    if keep_settings(folder, settings, POINT):
        return read_object(folder / POINT)
    config = folder / 'written' / f'{name}.py'
    write_whole(config, text)
    train_run(config, folder, plan.data_root)
    log = read_training_log(folder)
    found = settings | {
        'minutes': log.step_seconds / 60,
        'machine': machine('torch'),
        'figures': log.val[-1] if log.val else {},
    }
    write_json(folder / POINT, found, indent=1)
    return found


def run(
    data_root: Path | None = None,
    pretraining_steps: int = 1200,
    steps: int = 400,
    seeds: int = 3,
    out: Path = Path('work_dirs/pretraining'),
) -> str:
    """Pretrain once, train detectors from it and from scratch, score them on validation images.

    Called again, it goes on where it stopped; what is done is not done again.

    Args:
        data_root: Prepared data set; that of DATA_ROOT by default.
        pretraining_steps: Of the encoder; 2 s of a processor each.
        steps: Of each detector.
        seeds: Detectors of each start.
        out: Folder of the runs.
    """
    for option, value in (('pretraining-steps', pretraining_steps), ('steps', steps),
                          ('seeds', seeds)):  # fmt: skip
        if value < 1:
            raise UserError(f'--{option} {value} is below 1; give at least one')
    root = (data_root or named_data_root()).resolve()
    data = {}
    for part in ('train', 'val'):
        if not (file := annotation_file(root, part)).is_file():
            raise UserError(
                f'{file} is not there: run `make prepare`, or name a prepared folder with '
                '--data-root'
            )
        data[f'{part}_sha256'] = sha256_of(file)
    data['images'] = len(json.loads(annotation_file(root, 'train').read_bytes())['images'])
    data['val_images'] = len(json.loads(annotation_file(root, 'val').read_bytes())['images'])
    plan = Plan(root, out.resolve(), pretraining_steps, steps)
    try:
        encoder = measure(plan, 'pretraining', plan.pretraining(), pretraining_steps, {})
        points = []
        for seed in range(seeds):
            for start in STARTS:
                points.append(_detector(plan, start, seed, data, encoder))
                print(f'{len(points)} of {seeds * len(STARTS)} detectors done', flush=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt('stopped; the same command goes on from there') from None
    return results(encoder, points)


def _detector(
    plan: Plan, start: str, seed: int, data: dict[str, Any], encoder: dict[str, Any]
) -> dict[str, Any]:
    about = data | {'start': start, 'seed': seed}
    if start == 'mae':
        about['pretraining'] = encoder['config_sha256']
    return measure(plan, f'{start}_seed{seed}', plan.detector(start, seed), plan.steps, about)


def results(encoder: dict[str, Any] | None, points: Sequence[dict[str, Any]]) -> str:
    """The table and what it says."""
    header = ['start', 'runs', *(name for name, _ in COLUMNS), 'minutes of training']
    by_start = {start: [p for p in points if p['start'] == start] for start in STARTS}
    rows = [
        [word, str(len(by_start[start])), *_cells(by_start[start])]
        for start, word in STARTS.items()
    ]
    pairs = {key: [_values(by_start[start], key) for start in STARTS] for _, key in COLUMNS}
    rows.append(['difference', '', *(_difference(*pairs[key], key) for _, key in COLUMNS), ''])
    table = markdown_table(header, rows)
    if not (encoder and points):
        return f'{table}\n\nWritten by `python -m benchmarks pretraining`.'
    first = points[0]
    return (
        f'{table}\n\nWritten by `python -m benchmarks pretraining`. Mean and standard deviation '
        f'over the seeds, standard error of the difference. Pretraining: {encoder["steps"]} steps, '
        f'{encoder["minutes"]:.0f} minutes, once, which are not in the last column. Detectors: '
        f'`{DETECTOR.stem}`, {first["steps"]} steps on {first["images"]} images, scored on '
        f'{first["val_images"]} validation images. {_verdict(*pairs[COLUMNS[0][1]])} '
        f'Machine: {encoder["machine"]}.'
    )


def _values(points: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [point['figures'][key] for point in points if point['figures'].get(key) is not None]


def _cells(points: Sequence[dict[str, Any]]) -> list[str]:
    if not points:
        return [NOT_MEASURED] * (len(COLUMNS) + 1)
    cells = [mean_of(_values(points, key), form_of(key)) for _, key in COLUMNS]
    return [*cells, f'{statistics.fmean(point["minutes"] for point in points):.1f}']


def _difference(scratch: Sequence[float], pretrained: Sequence[float], key: str) -> str:
    if not (scratch and pretrained):
        return NOT_MEASURED
    difference, error = difference_of_means(scratch, pretrained)
    text = format(difference, f'+{form_of(key)}')
    return text if math.isnan(error) else f'{text} ± {error:{form_of(key)}}'


def _verdict(scratch: Sequence[float], pretrained: Sequence[float]) -> str:
    if not (scratch and pretrained):
        return ''
    difference, error = difference_of_means(scratch, pretrained)
    if math.isnan(error):
        return 'One run each says nothing of chance.'
    if abs(difference) <= STANDARD_ERRORS * error:
        return 'In mask AP the difference is within chance (two standard errors).'
    word = 'helps' if difference > 0 else 'does harm'
    return f'In mask AP pretraining {word}, by more than two standard errors.'
