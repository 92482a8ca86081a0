"""The report's tables: figures beside the first report's, and what the run was made with."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np

from cellkit.metrics.error_analysis import (
    ALONE,
    FOUND,
    MERGED,
    POOR_OUTLINE,
    PREDICTED_OUTCOMES,
    SPLIT,
    TRUE_OUTCOMES,
)
from tools.evaluation_files import ROWS
from tools.report_analysis import Analysis
from tools.training_log import TrainingLog

# The experiment that this project does anew: ViT-B, epoch 20, the 159 test images.
FIRST_REPORT = {
    'coco/segm_mAP': ('0.753', 'not said which mAP; at most 100 detections an image'),
    'pixel/dice': ('1.0', 'a bug: the same in every epoch'),
    'pixel/iou': ('0.8719', 'not said how images are averaged'),
}
FIRST_REPORT_IMAGES = 159
PACKAGES = (
    ('MMDetection', 'onedl-mmdetection'),
    ('MMCV', 'onedl-mmcv'),
    ('MMPretrain', 'onedl-mmpretrain'),
    ('NumPy', 'numpy'),
    ('pycocotools', 'pycocotools'),
)


class Table(NamedTuple):
    """A header and rows of text."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def csv(self) -> bytes:
        """Comma separated values."""
        text = io.StringIO()
        csv.writer(text, lineterminator='\n').writerows([self.header, *self.rows])
        return text.getvalue().encode()

    def markdown(self) -> bytes:
        """A Markdown table."""
        lines = [self.header, ('---',) * len(self.header), *self.rows]
        cells = [[cell.replace('|', '\\|') for cell in line] for line in lines]
        return ''.join(f'| {" | ".join(line)} |\n' for line in cells).encode()


def figures_table(evaluation: Mapping[str, Any]) -> Table:
    """Every figure with its interval, on validation, and in the first report."""
    rows = []
    for key, name, rule in ROWS:
        if key not in evaluation['figures']:
            continue
        low, high = evaluation.get('intervals', {}).get(key, (None, None))
        first, remark = FIRST_REPORT.get(key, ('', ''))
        rows.append(
            (
                name,
                number(evaluation['figures'][key]),
                f'{number(low)} to {number(high)}' if low is not None else '',
                number(evaluation.get('validation', {}).get(key, ''), ''),
                first,
                '; '.join(filter(None, (rule, remark and f'first report: {remark}'))),
            )
        )
    header = (
        'figure',
        f'{evaluation["part"]}',
        '95 % interval',
        'validation',
        'first report',
        'averaged over',
    )
    return Table(header, rows)


def errors_table(analysis: Analysis) -> Table:
    """How many true cells and predictions had each outcome."""
    true, predicted = analysis.true, analysis.predicted
    meanings = (
        (FOUND, 'IoU of at least 0.5 with a prediction of its own'),
        (POOR_OUTLINE, 'a prediction of its own, but IoU between 0.1 and 0.5'),
        (SPLIT, 'two or more predictions lie in one true cell, which one of them may find'),
        (MERGED, 'one prediction covers two or more true cells, and may find one of them'),
        (ALONE, 'no prediction there, or no true cell'),
    )
    rows = []
    for outcome, meaning in meanings:
        cells, found = true.outcome == outcome, predicted.outcome == outcome
        names = TRUE_OUTCOMES[outcome], PREDICTED_OUTCOMES[outcome]
        rows.append(
            (
                names[0] if names[0] == names[1] else ' / '.join(names),
                _share(cells),
                _share(found),
                f'{np.count_nonzero(cells & true.at_border)} / '
                f'{np.count_nonzero(found & predicted.at_border)}',
                meaning,
            )
        )
    header = ('outcome', 'true cells', 'predicted cells', 'of them at the border', 'meaning')
    return Table(header, rows)


def images_table(images: Sequence[Mapping[str, Any]]) -> Table:
    """Every image's own figures, the worst first."""
    names = {
        'file_name': 'image',
        'true': 'true cells',
        'predicted': 'counted',
        'dice': 'Dice',
        'f1_50': 'F1 at 0.5',
        'pq': 'panoptic quality',
    }
    names = {key: name for key, name in names.items() if all(key in row for row in images)}
    ranked = sorted(images, key=lambda row: row.get('pq') or 0)
    rows = [
        tuple(value if isinstance(value := row[k], str) else number(value) for k in names)
        for row in ranked
    ]
    return Table(tuple(names.values()), rows)


def provenance(
    evaluation: Mapping[str, Any],
    log: TrainingLog,
    config: Mapping[str, Any],
    info: Mapping[str, Any],
) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the run was made with, in groups of names and values; what isn't known is left out."""
    environment = log.environment
    seed = (config.get('randomness') or {}).get('seed')
    drawn = environment.get('seed')
    seconds = evaluation.get('seconds_per_image')
    started = f' ({log.starts} starts)' if log.starts > 1 else ''
    gpus = [
        text for name, text in environment.items() if name.startswith('GPU ') and name[4:5] != 'n'
    ]
    memory = f'{log.memory_mb / 1024:.1f} GiB on the GPU' if log.memory_mb else None
    if not memory and log.process_gib:
        memory = f'{log.process_gib:.2f} GiB at most in the process'
    trained_on = log.training_data or (None, None)
    groups = [
        (
            'Training',
            [
                ('done', _progress(log, config) + started if log.train else None),
                ('time', duration(log.wall_time.total_seconds()) if log.wall_time else None),
                ('in training steps', duration(log.step_seconds) if log.step_seconds else None),
                ('memory', memory),
                ('device', ', '.join(gpus) or (environment and 'CPU') or None),
                (
                    'seed',
                    f'{seed}' if seed is not None else drawn and f'{drawn} (drawn, in the log)',
                ),
            ],
        ),
        (
            'Evaluation',
            [
                ('date', evaluation.get('date')),
                ('checkpoint', evaluation.get('checkpoint')),
                ('chosen', evaluation.get('checkpoint_chosen')),
                ('its SHA-256', evaluation.get('checkpoint_sha256')),
                ('score threshold', _threshold(evaluation)),
                ('device', evaluation.get('device')),
                ('time', f'{seconds:.2f} s an image' if seconds else None),
                ('memory', evaluation.get('memory')),
            ],
        ),
        (
            'Data',
            [
                ('training part', trained_on[0]),
                ('its SHA-256', evaluation.get('trained_on_sha256') or trained_on[1]),
                ('annotations', evaluation.get('annotations')),
                ('their SHA-256', evaluation.get('annotations_sha256')),
                ('fingerprint', info.get('fingerprint')),
                ('split', _split(info)),
                ('instances', _rule(info)),
            ],
        ),
        (
            'Versions in training, from its log',
            [
                (name, environment.get(name))
                for name in ('Python', 'PyTorch', 'TorchVision', 'OpenCV', 'MMEngine')
            ],
        ),
        ('Other versions, as installed now', [(name, _version(dist)) for name, dist in PACKAGES]),
    ]
    groups = [(title, [(k, str(v)) for k, v in rows if v]) for title, rows in groups]
    return [(title, rows) for title, rows in groups if rows]


def number(value: Any, none: str = '-') -> str:
    """A figure for a table: four decimals, fewer from ten on; whole numbers as they are."""
    if value is None or value == '' or not math.isfinite(value):
        return none
    if isinstance(value, int):
        return str(value)
    return f'{value:.4f}' if abs(value) < 10 else f'{value:.1f}'


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes_left:02d} min'
    return f'{minutes} min {rest:02d} s'


def length(config: Mapping[str, Any]) -> float | None:
    """Epochs or iterations that the config asks for."""
    train = config.get('train_cfg') or {}
    return train.get('max_epochs') or train.get('max_iters')


def _progress(log: TrainingLog, config: Mapping[str, Any]) -> str:
    total = length(config)
    of = f' of {total}' if total else ''
    return (
        f'{log.last:.4g}{of} {log.unit}s'
        if log.unit == 'epoch'
        else f'{log.last:.0f}{of} iterations'
    )


def _share(cells: np.ndarray) -> str:
    part = cells.mean() if len(cells) else 0.0
    return f'{np.count_nonzero(cells)} ({part:.1%})'


def _threshold(evaluation: Mapping[str, Any]) -> str | None:
    if 'score_thr' not in evaluation:
        return None
    return f'{evaluation["score_thr"]:g}: {evaluation.get("score_thr_source", "")}'


def _split(info: Mapping[str, Any]) -> str | None:
    if 'seed' not in info:
        return None
    return f'seed {info["seed"]}, validation share {info.get("val_fraction")}'


def _rule(info: Mapping[str, Any]) -> str | None:
    rule = info.get('instance_rule')
    return ', '.join(f'{k.replace("_", " ")} {v}' for k, v in rule.items()) if rule else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
