"""Write an evaluation as JSON, CSV and Markdown, and as the table that a person reads."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tools.prediction_files import write_beside

# Key, name, and how images and cells are averaged. Definitions: docs/evaluation.md.
ROWS = (
    ('coco/segm_mAP', 'mask AP, IoU 0.50:0.95', 'all detections of all images'),
    ('coco/segm_mAP_50', 'mask AP50', 'all detections of all images'),
    ('coco/segm_mAP_75', 'mask AP75', 'all detections of all images'),
    ('coco/bbox_mAP', 'box AP, IoU 0.50:0.95', 'all detections of all images'),
    ('coco/bbox_mAP_50', 'box AP50', 'all detections of all images'),
    ('coco/bbox_mAP_75', 'box AP75', 'all detections of all images'),
    ('pixel/dice', 'pixel Dice', 'mean over images'),
    ('pixel/dice_pooled', 'pixel Dice, pooled', 'all pixels'),
    ('pixel/iou', 'pixel IoU', 'mean over images'),
    ('pixel/iou_pooled', 'pixel IoU, pooled', 'all pixels'),
    ('count/relative_error', 'relative count error', 'sum of errors / cells'),
    ('count/relative_bias', 'relative count bias', 'error of the total'),
    ('count/mae', 'count error, cells an image', 'mean over images'),
    ('instance/f1_50', 'F1 at IoU 0.5', 'all cells'),
    ('instance/precision_50', 'precision at IoU 0.5', 'all cells'),
    ('instance/recall_50', 'recall at IoU 0.5', 'all cells'),
    ('instance/f1_75', 'F1 at IoU 0.75', 'all cells'),
    ('instance/f1_90', 'F1 at IoU 0.9', 'all cells'),
    ('instance/cell_ap_50', 'TP / (TP + FP + FN) at IoU 0.5', 'all cells'),
    ('instance/pq', 'panoptic quality', 'all cells'),
    ('instance/rq', '- recognition quality', 'all cells'),
    ('instance/sq', '- segmentation quality', 'all cells'),
    ('instance/aji', 'aggregated Jaccard index', 'mean over images'),
    ('instance/boundary_f1', 'boundary F1, 2 px', 'mean over images'),
)
EPOCH_ROWS = (
    *ROWS[:3],
    *(row for row in ROWS if row[0].startswith('pixel/')),
    *(row for row in ROWS if row[0] in ('count/relative_error', 'instance/f1_50', 'instance/pq')),
)


class Written(NamedTuple):
    """What was written: the table as Markdown, and the files."""

    table: str
    files: list[Path]


def write_evaluation(folder: Path, result: Mapping[str, Any]) -> Written:
    """Write an evaluation: each file is there whole or not at all.

    Args:
        folder: The run folder.
        result: ``part``, ``figures``, ``intervals``, ``images`` and what they were made from.

    Returns:
        The table and the files: ``evaluation.json``, ``.md``, ``.csv`` and
        ``evaluation_images.csv``; of another part than test ``evaluation_PART.json`` and so on.
    """
    stem = 'evaluation' if result['part'] == 'test' else f'evaluation_{result["part"]}'
    table = markdown(result)
    rows = [
        (key, name, rule, value, *result['intervals'].get(key, ('', '')))
        for key, name, rule, value in _known(result['figures'])
    ]
    header = ('key', 'figure', 'averaged over', 'value', 'low', 'high')
    files = {
        folder / f'{stem}.md': table,
        folder / f'{stem}.csv': _csv(header, rows),
        folder / f'{stem}_images.csv': _csv(
            tuple(result['images'][0]), [tuple(row.values()) for row in result['images']]
        ),
        # Last: where it is, the others are too.
        folder / f'{stem}.json': json.dumps(_finite(result), indent=1, allow_nan=False) + '\n',
    }
    for file, text in files.items():
        write_beside(file, text.encode())
    return Written(table, list(files))


def markdown(result: Mapping[str, Any]) -> str:
    """The table of an evaluation with what one must know to read it."""
    lines = [
        f'# Figures on the {result["part"]} part',
        '',
        f'{result["number_of_images"]} images, {result["number_of_cells"]} cells. Checkpoint '
        f'{result["checkpoint"]} ({result["checkpoint_chosen"]}); score threshold '
        f'{result["score_thr"]:g} ({result["score_thr_source"]}).',
    ]
    bootstrap = result['bootstrap']
    if result['intervals']:
        lines.append(
            f'Intervals: {bootstrap["level"]:.0%}, bootstrap over images, '
            f'{bootstrap["samples"]} samples, seed {bootstrap["seed"]}.'
        )
    lines += ['', '| figure | value | interval | averaged over |', '|---|---|---|---|']
    for key, name, rule, value in _known(result['figures']):
        low, high = result['intervals'].get(key, (math.nan, math.nan))
        between = f'{_number(low)} to {_number(high)}' if math.isfinite(low) else ''
        lines.append(f'| {name} | {_number(value)} | {between} | {rule} |')
    if result['notes']:
        lines += ['', *(f'- Note: {note}.' for note in result['notes'])]
    return '\n'.join(lines) + '\n'


def write_every_epoch(folder: Path, rows: Sequence[Mapping[str, Any]], threshold: float) -> Written:
    """Write the test figures of every checkpoint.

    Args:
        folder: The run folder.
        rows: ``checkpoint`` and figures of each.
        threshold: The score threshold, chosen on validation for the best checkpoint.

    Returns:
        The table and the files, ``every_epoch_on_test.md`` and ``.csv``.
    """
    lines = [
        '# Test figures of every checkpoint',
        '',
        'For comparison with reports that give one. The checkpoint and the score threshold',
        f'({threshold:g}) were chosen on validation; nothing may be chosen by this table.',
        f'Checkpoints that were still there: {len(rows)}'
        ' (`default_hooks.checkpoint.max_keep_ckpts=-1` keeps all).',
        '',
        '| checkpoint | ' + ' | '.join(name for _, name, _ in EPOCH_ROWS) + ' |',
        '|---|' + '---|' * len(EPOCH_ROWS),
    ]
    for row in rows:
        values = ' | '.join(_number(row[key]) for key, _, _ in EPOCH_ROWS)
        lines.append(f'| {row["checkpoint"]} | {values} |')
    table = '\n'.join(lines) + '\n'
    files = {
        folder / 'every_epoch_on_test.md': table,
        folder / 'every_epoch_on_test.csv': _csv(
            tuple(rows[0]), [tuple(row.values()) for row in rows]
        ),
    }
    for file, text in files.items():
        write_beside(file, text.encode())
    return Written(table, list(files))


def _known(figures: Mapping[str, float]) -> list[tuple[str, str, str, float]]:
    return [(key, name, rule, figures[key]) for key, name, rule in ROWS if key in figures]


def _number(value: float) -> str:
    if not math.isfinite(value):
        return '-' if math.isnan(value) else 'inf'
    return f'{value:.4f}' if abs(value) < 10 else f'{value:.1f}'


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _finite(value: Any) -> Any:
    """The same with None for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
