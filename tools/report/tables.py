"""The report's tables: values beside the first report's, errors, and what the run was made with."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np

from cellkit.files.writing import csv_text, markdown_table
from cellkit.metrics.error_analysis import FOUND, PREDICTED_OUTCOMES, TRUE_OUTCOMES
from cellkit.metrics.records import VALUES
from tools.report.analysis import Analysis, Part
from tools.report.findings import Findings

# The experiment that this project does anew: ViT-B, epoch 20, the 159 test images.
FIRST_REPORT = {
    'coco/segm_mAP': ('0.753', 'not said which mAP; at most 100 detections an image'),
    'pixel/dice': ('1.0', 'a bug: the same in every epoch'),
    'pixel/iou': ('0.8719', 'not said how images are averaged'),
}
FIRST_REPORT_IMAGES = 159
TILES = (
    ('coco/segm_mAP', 'mask AP', '.3f'),
    ('coco/segm_mAP_50', 'mask AP50', '.3f'),
    ('pixel/dice', 'pixel Dice', '.3f'),
    ('instance/f1_50', 'F1 at IoU 0.5', '.3f'),
    ('count/relative_error', 'count error', '.1%'),
)
MEANINGS = (  # of the outcomes
    'IoU of at least 0.5 with a prediction of its own',
    'a prediction of its own, but IoU between 0.1 and 0.5',
    'two or more predictions lie in one true cell, which one of them may find',
    'one prediction covers two or more true cells, and may find one of them',
    'no prediction there, or no true cell',
)
EVERY_EPOCH = {
    'checkpoint', 'coco/segm_mAP', 'coco/segm_mAP_50', 'pixel/dice', 'pixel/iou',
    'count/relative_error', 'instance/f1_50',
}  # fmt: skip
PACKAGES = {
    'MMDetection': 'onedl-mmdetection',
    'MMCV': 'onedl-mmcv',
    'MMPretrain': 'onedl-mmpretrain',
    'NumPy': 'numpy',
    'pycocotools': 'pycocotools',
}


class Table(NamedTuple):
    """A header and rows of text."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def csv(self) -> str:
        """Comma separated values."""
        return csv_text(self.header, self.rows)

    def markdown(self) -> str:
        """A Markdown table."""
        return f'{markdown_table(self.header, self.rows)}\n'


def tiles(evaluation: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The values one looks for first: value, name and interval."""
    values = evaluation['figures']
    return [
        (number(values.get(key), form), name, _interval(evaluation, key, form))
        for key, name, form in TILES
    ]


def values_table(evaluation: Mapping[str, Any]) -> Table:
    """Every value with its interval, on validation, and in the first report."""
    part, values = evaluation['part'], evaluation['figures']
    validation = evaluation.get('validation', {})
    rows = []
    for key, name, rule in VALUES:
        if key in values:
            first, remark = FIRST_REPORT.get(key, ('', ''))
            rule += f'; first report: {remark}' if remark else ''
            ours = number(values[key]), _interval(evaluation, key)
            rows.append((name, *ours, number(validation.get(key), none=''), first, rule))
    header = ('figure', part, '95 % interval', 'validation', 'first report', 'averaged over')
    return Table(header, rows)


def every_epoch_table(lines: Iterable[str]) -> Table:
    """The lines of ``every_epoch_on_test.csv``, and the values of the first report."""
    keys, *rows = csv.reader(lines)
    names = {key: name for key, name, _ in VALUES}
    first = {key: value for key, (value, _) in FIRST_REPORT.items()}
    first['checkpoint'] = 'first report, epoch 20 (its Dice is a bug)'
    keep = [k for k, key in enumerate(keys) if key in EVERY_EPOCH]
    cells = [
        tuple(row[k] if keys[k] == 'checkpoint' else number(float(row[k])) for k in keep)
        for row in rows
    ]
    cells.append(tuple(first.get(keys[k], '-') for k in keep))
    return Table(tuple(names.get(keys[k], keys[k]) for k in keep), cells)


def errors_table(analysis: Analysis) -> Table:
    """How many true cells and predictions had each outcome."""
    true, predicted = analysis.true, analysis.predicted
    rows = []
    for outcome, names in enumerate(zip(TRUE_OUTCOMES, PREDICTED_OUTCOMES, strict=True)):
        there, found = true.outcome == outcome, predicted.outcome == outcome
        at_border = (there & true.at_border).sum(), (found & predicted.at_border).sum()
        name = ' / '.join(dict.fromkeys(names))
        border = ' / '.join(map(str, at_border))
        rows.append((name, _share(there), _share(found), border, MEANINGS[outcome]))
    header = ('outcome', 'true cells', 'predicted cells', 'of them at the border', 'meaning')
    return Table(header, rows)


def error_list(part: Part, analysis: Analysis) -> Table:
    """A row for every cell that is wrong, to look it up in its image."""
    header = ('image', 'cell', 'error', 'x', 'y', 'area_px', 'neighbours', 'at_border')
    rows = []
    for kind, cells, names in (
        ('true', analysis.true, TRUE_OUTCOMES),
        ('predicted', analysis.predicted, PREDICTED_OUTCOMES),
    ):
        for k in np.flatnonzero(cells.outcome != FOUND):
            place = (str(round(float(value), 1)) for value in cells.centre[k])
            more = (str(values[k]) for values in (cells.area, cells.neighbours, cells.at_border))
            name = part.records[int(cells.image[k])].file_name
            rows.append((name, kind, names[cells.outcome[k]], *place, *more))
    return Table(header, sorted(rows, key=lambda row: row[0]))


def images_table(images: Sequence[Mapping[str, Any]]) -> Table:
    """Every image's own values, the worst first."""
    names = {
        'file_name': 'image',
        'true': 'true cells',
        'predicted': 'counted',
        'dice': 'Dice',
        'f1_50': 'F1 at 0.5',
        'pq': 'panoptic quality',
    }
    names = {key: name for key, name in names.items() if all(key in row for row in images)}
    rows = []
    for row in sorted(images, key=lambda row: row.get('pq') or 0):
        values = (row[key] for key in names)
        rows.append(tuple(v if isinstance(v, str) else number(v) for v in values))
    return Table(tuple(names.values()), rows)


def provenance(findings: Findings, info: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What the run was made with, in groups of names and values; what isn't known is left out.

    Args:
        findings: Of the run.
        info: What the annotation file says of itself; empty where it was not read.
    """
    log, evaluation = findings.run.log, findings.evaluation
    environment = log.environment
    seed, drawn = (findings.config.get('randomness') or {}).get('seed'), environment.get('seed')
    memory = log.process_gib and f'{log.process_gib:.2f} GiB at most in the process'
    if log.memory_mb:
        memory = f'{log.memory_mb / 1024:.1f} GiB on the GPU'
    trained_on = log.training_data or (None, None)
    seconds, score_thr = evaluation.get('seconds_per_image'), evaluation.get('score_thr')
    source = evaluation.get('score_thr_source', '')
    split = f'seed {info.get("seed")}, validation share {info.get("val_fraction")}'
    rule = (info.get('instance_rule') or {}).items()
    groups = {
        'Training': {
            'done': _progress(findings) if log.train else None,
            'time': duration(log.wall_time.total_seconds()) if log.wall_time else None,
            'in training steps': duration(log.step_seconds) if log.step_seconds else None,
            'memory': memory,
            'device': log.device,
            'seed': drawn and f'{drawn} (drawn, in the log)' if seed is None else f'{seed}',
        },
        'Evaluation': {
            'date': evaluation.get('date'),
            'checkpoint': evaluation.get('checkpoint'),
            'chosen': evaluation.get('checkpoint_chosen'),
            'its SHA-256': evaluation.get('checkpoint_sha256'),
            'score threshold': None if score_thr is None else f'{score_thr:g}: {source}',
            'device': evaluation.get('device'),
            'time': seconds and f'{seconds:.2f} s an image',
            'memory': evaluation.get('memory'),
        },
        'Data': {
            'training part': trained_on[0],
            'its SHA-256': evaluation.get('trained_on_sha256') or trained_on[1],
            'annotations': evaluation.get('annotations'),
            'their SHA-256': evaluation.get('annotations_sha256'),
            'fingerprint': info.get('fingerprint'),
            'split': split if 'seed' in info else None,
            'instances': ', '.join(f'{key.replace("_", " ")} {value}' for key, value in rule),
        },
        'Versions in training, from its log': {
            name: environment.get(name)
            for name in ('Python', 'PyTorch', 'TorchVision', 'OpenCV', 'MMEngine')
        },
        'Other versions, as installed now': {
            name: _version(package) for name, package in PACKAGES.items()
        },
    }
    return {
        title: known
        for title, rows in groups.items()
        if (known := {key: str(value) for key, value in rows.items() if value})
    }


def number(value: float | None, form: str = '', none: str = '-') -> str:
    """A value as text: as the format says, else four decimals, fewer from ten on.

    Whole numbers stay as they are; what is not known or not finite is ``none``.
    """
    if value is None or not math.isfinite(value):
        return none
    if not form and not isinstance(value, int):
        form = '.4f' if abs(value) < 10 else '.1f'
    return format(value, form)


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f'{hours} h {minutes_left:02d} min' if hours else f'{minutes} min {rest:02d} s'


def _interval(evaluation: Mapping[str, Any], key: str, form: str = '') -> str:
    low, high = evaluation.get('intervals', {}).get(key, (None, None))
    return '' if low is None else f'{number(low, form)} to {number(high, form)}'


def _share(cells: np.ndarray) -> str:
    part = cells.mean() if len(cells) else 0.0
    return f'{np.count_nonzero(cells)} ({part:.1%})'


def _progress(findings: Findings) -> str:
    log, total = findings.run.log, findings.length
    place = f'{log.last:.4g}' if log.unit == 'epoch' else f'{log.last:.0f}'
    of = f' of {total}' if total else ''
    started = f' ({log.starts} starts)' if log.starts > 1 else ''
    return f'{place}{of} {log.unit}s{started}'


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
