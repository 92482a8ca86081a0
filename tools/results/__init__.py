"""The table of measured results, from the evaluations of runs; nothing in it is typed by hand."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.writing import markdown_table, write_between_marks
from tools.runs.log import read_training_log
from tools.runs.run import run_folder

COLUMNS = (
    ('mask AP', 'coco/segm_mAP'),
    ('AP50', 'coco/segm_mAP_50'),
    ('Dice, pooled', 'pixel/dice_pooled'),
    ('IoU, pooled', 'pixel/iou_pooled'),
    ('F1 at IoU 0.5', 'instance/f1_50'),
    ('count error', 'count/relative_error'),
)
NOT_MEASURED = 'not measured'


def results_table(rows: Mapping[str, Path | str], into: Path | str | None = None) -> str:
    """The Markdown table of evaluated runs.

    Args:
        rows: What each row is called, and the folder of its ``evaluation.json``.
        into: Page that takes the table between its marks; None writes nothing.

    Raises:
        UserError: A run has not been evaluated, or the page lacks the marks.
    """
    header = ['run', 'trained and tested on', *(name for name, _ in COLUMNS), 'training steps']
    cells = [row(name, Path(folder)) for name, folder in rows.items()]
    text = markdown_table(header, cells)
    if into is not None:
        write_between_marks(Path(into), text, 'results')
    return text


def row(name: str, folder: Path) -> list[str]:
    """The cells of one row; time is that of the run that was evaluated.

    Raises:
        UserError: There is no evaluation.
    """
    file = folder / 'evaluation.json'
    if not file.is_file():
        raise UserError(f'{file} is not there: run `make evaluate RUN={folder}` first')
    result = json.loads(file.read_text(encoding='utf-8'))
    run = run_folder(folder, result)
    minutes = read_training_log(run if run.is_dir() else folder).step_seconds / 60
    called = f'{run.name} --tta' if result.get('test_time_augmentation') else folder.name
    cells = [f'`{called}`', name]
    for _, key in COLUMNS:
        value = result['figures'].get(key)
        cells.append(NOT_MEASURED if value is None else format(value, form_of(key)))
    return [*cells, f'{minutes:.0f} min' if minutes else NOT_MEASURED]


def form_of(key: str) -> str:
    """How a figure is written."""
    return '.1%' if key.startswith('count/') else '.3f'


def mean_of(values: Sequence[float], form: str) -> str:
    """The mean of several runs, ± their standard deviation where they are several."""
    if not values:
        return NOT_MEASURED
    mean = format(statistics.fmean(values), form)
    return mean if len(values) < 2 else f'{mean} ± {statistics.stdev(values):{form}}'
