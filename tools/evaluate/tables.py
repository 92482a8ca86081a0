"""Write an evaluation as JSON, CSV and Markdown, and as the table that a person reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cellkit.files.writing import csv_text, write_json, write_whole
from cellkit.metrics.records import VALUES
from tools.evaluate.certainty import certainty_lines
from tools.runs.run import evaluation_stem

EPOCH_VALUES = [
    row
    for row in VALUES
    if row[0].startswith(('coco/segm', 'pixel/'))
    or row[0] in ('count/relative_error', 'instance/f1_50', 'instance/pq')
]


class Written(NamedTuple):
    """What was written: the table as Markdown, and the files."""

    table: str
    files: list[Path]


def say(written: Written, remarks: Sequence[str] = ()) -> None:
    """Print the table, what must be known to read it, and where it is."""
    print(written.table)
    for remark in remarks:
        print(f'note: {remark}.')
    print(f'written: {", ".join(str(file) for file in written.files)}')


def write_evaluation(folder: Path, result: Mapping[str, Any]) -> Written:
    """Write an evaluation: each file is there whole or not at all.

    Args:
        folder: The run folder.
        result: ``part``, ``figures``, ``intervals``, ``images`` and what they were made from.

    Returns:
        The table and the files: ``evaluation.json``, ``.md``, ``.csv`` and
        ``evaluation_images.csv``; of another part than test ``evaluation_PART.json`` and so on.
    """
    stem = evaluation_stem(result['part'])
    rows = [
        (key, name, rule, value, *result['intervals'].get(key, ('', '')))
        for key, name, rule, value in _known(result['figures'])
    ]
    table, images = markdown(result), result['images']
    texts = {
        f'{stem}.md': table,
        f'{stem}.csv': csv_text(('key', 'figure', 'averaged over', 'value', 'low', 'high'), rows),
        f'{stem}_images.csv': csv_text(list(images[0]), [row.values() for row in images]),
    }
    for name, text in texts.items():
        write_whole(folder / name, text)
    write_json(folder / f'{stem}.json', result, indent=1)  # last: where it is, the others are too
    return Written(table, [folder / name for name in (*texts, f'{stem}.json')])


def markdown(result: Mapping[str, Any]) -> str:
    """The table of an evaluation with what one must know to read it."""
    made_by = result.get('made_by')
    if made_by is None:
        made_by = f'Checkpoint {result["checkpoint"]} ({result["checkpoint_chosen"]})'
    lines = [
        f'# Figures on the {result["part"]} part',
        '',
        f'{result["number_of_images"]} images, {result["number_of_cells"]} cells. {made_by}; score '
        f'threshold {result["score_thr"]:g} ({result["score_thr_source"]}).',
    ]
    if result['intervals']:
        bootstrap = result['bootstrap']
        lines.append(
            f'Intervals: {bootstrap["level"]:.0%}, bootstrap over images, '
            f'{bootstrap["samples"]} samples, seed {bootstrap["seed"]}.'
        )
    lines += ['', '| figure | value | interval | averaged over |', '|---|---|---|---|']
    for key, name, rule, value in _known(result['figures']):
        low, high = result['intervals'].get(key, (math.nan, math.nan))
        between = f'{number(low)} to {number(high)}' if math.isfinite(low) else ''
        lines.append(f'| {name} | {number(value)} | {between} | {rule} |')
    if sure := result.get('calibration'):
        lines += ['', *certainty_lines(sure, result['part'])]
    if result['notes']:
        lines += ['', *(f'- Note: {note}.' for note in result['notes'])]
    return '\n'.join(lines) + '\n'


def write_every_epoch(folder: Path, rows: Sequence[Mapping[str, Any]], threshold: float) -> Written:
    """Write ``every_epoch_on_test.md`` and ``.csv``.

    Args:
        folder: The run folder.
        rows: ``checkpoint`` and the test values of each.
        threshold: The score threshold, chosen on validation for the best checkpoint.
    """
    lines = [
        '# Test figures of every checkpoint',
        '',
        'For comparison with reports that give one. The checkpoint and the score threshold',
        f'({threshold:g}) were chosen on validation; nothing may be chosen by this table.',
        f'Checkpoints that were still there: {len(rows)}'
        ' (`default_hooks.checkpoint.max_keep_ckpts=-1` keeps all).',
        '',
        '| checkpoint | ' + ' | '.join(name for _, name, _ in EPOCH_VALUES) + ' |',
        '|---|' + '---|' * len(EPOCH_VALUES),
    ]
    for row in rows:
        cells = ' | '.join(number(row[key]) for key, _, _ in EPOCH_VALUES)
        lines.append(f'| {row["checkpoint"]} | {cells} |')
    texts = {
        'every_epoch_on_test.md': '\n'.join(lines) + '\n',
        'every_epoch_on_test.csv': csv_text(list(rows[0]), [row.values() for row in rows]),
    }
    for name, text in texts.items():
        write_whole(folder / name, text)
    return Written(texts['every_epoch_on_test.md'], [folder / name for name in texts])


def _known(found: Mapping[str, float]) -> list[tuple[str, str, str, float]]:
    return [(key, name, rule, found[key]) for key, name, rule in VALUES if key in found]


def number(value: float) -> str:
    """A value in a table; a hyphen where it is not a number."""
    return '-' if math.isnan(value) else format(value, '.4f' if abs(value) < 10 else '.1f')
