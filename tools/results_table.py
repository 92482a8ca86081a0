"""Writes the table of measured results into README.md, from the evaluations of runs.

    python -m tools.results_table "real sample, 12 test images=work_dirs/NAME" [--into README.md]

Each argument is what the row is called, an equals sign and the folder of an evaluated run.
Nothing in the table is typed by hand.
"""

import argparse
import json
import sys
from pathlib import Path

from tools.errors import UserError, run_command
from tools.marked_page import write_between_marks
from tools.training_log import read_training_log

MARKS = 'results'
COLUMNS = (
    ('mask AP', 'coco/segm_mAP'),
    ('AP50', 'coco/segm_mAP_50'),
    ('Dice, pooled', 'pixel/dice_pooled'),
    ('IoU, pooled', 'pixel/iou_pooled'),
    ('F1 at IoU 0.5', 'instance/f1_50'),
    ('count error', 'count/relative_error'),
)


def training_minutes(run: Path) -> float | None:
    """Minutes spent in training steps, from the run's log; validation not included."""
    return read_training_log(run).step_seconds / 60 or None


def row(name: str, run: Path) -> list[str]:
    """The cells of one run's row.

    Raises:
        UserError: The run has not been evaluated.
    """
    file = run / 'evaluation.json'
    if not file.is_file():
        raise UserError(f'{file} is not there: run `make evaluate RUN={run}` first')
    result = json.loads(file.read_text(encoding='utf-8'))
    minutes = training_minutes(run)
    cells = [f'`{run.name}`', name]
    for _, key in COLUMNS:
        value = result['figures'].get(key)
        if value is None:
            cells.append('not measured')
        else:
            cells.append(f'{value:.1%}' if key.startswith('count/') else f'{value:.3f}')
    return [*cells, f'{minutes:.0f} min' if minutes else 'not measured']


HEADER = ['run', 'trained and tested on', *(name for name, _ in COLUMNS), 'training steps']


def table(rows: list[list[str]], header: list[str] = HEADER) -> str:
    """Markdown table of the rows."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('rows', nargs='+', metavar='WHAT=RUN')
    parser.add_argument('--into', type=Path, default=Path('README.md'))
    arguments = parser.parse_args(argv)

    def work() -> None:
        rows = []
        for argument in arguments.rows:
            name, separator, run = argument.rpartition('=')
            if not separator:
                raise UserError(f'{argument} is not of the form WHAT=RUN: name the row')
            rows.append(row(name, Path(run)))
        write_between_marks(arguments.into, table(rows), MARKS)
        print(table(rows))

    return run_command('results_table', work)


if __name__ == '__main__':
    sys.exit(main())
