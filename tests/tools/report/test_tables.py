"""The report's tables beside those of the first report, and values as text."""

import json
import math
from pathlib import Path

import pytest

from tools.report import report
from tools.report.tables import Table, duration, number, tiles


def test_values_stand_beside_those_of_the_first_report(run: Path, read_rows) -> None:
    report(run)
    table = {row['figure']: row for row in read_rows(run / 'report' / 'table_figures.csv')}
    assert table['pixel IoU']['first report'] == '0.8719'
    assert table['pixel IoU']['95 % interval'] == ''  # of values that are not finite
    assert table['mask AP, IoU 0.50:0.95']['first report'] == '0.753'
    dice = table['pixel Dice']
    assert (dice['95 % interval'], dice['validation']) == ('0.8000 to 0.9500', '0.9100')
    assert 'bug' in dice['averaged over']
    value = json.loads((run / 'evaluation.json').read_text())['figures']['pixel/dice']
    assert dice['test'] == f'{value:.4f}'


def test_test_values_by_checkpoint_stand_beside_those_of_the_first_report(run, read_rows) -> None:
    report(run)
    ours, first = read_rows(run / 'report' / 'table_every_epoch.csv')
    assert ours['checkpoint'] == 'iter_100'
    assert first['checkpoint'].startswith('first report')
    values = [(row['mask AP, IoU 0.50:0.95'], row['pixel Dice']) for row in (ours, first)]
    assert values == [('0.5000', '0.9000'), ('0.753', '1.0')]


def test_error_tables(run: Path, read_rows) -> None:
    report(run)
    table = {row['outcome']: row for row in read_rows(run / 'report' / 'table_errors.csv')}
    assert table['found']['true cells'] == '7 (46.7%)'  # 1 + 5 + 1 of 15
    assert table['missed / spurious']['true cells'] == '2 (13.3%)'
    assert table['merged / merging']['predicted cells'] == '2 (13.3%)'
    errors = read_rows(run / 'report' / 'errors.csv')
    assert [row['image'] for row in errors] == sorted(row['image'] for row in errors)
    first = [row for row in errors if row['image'].endswith('1.png')]
    assert len(first) == 8
    (merging,) = (row for row in first if row['error'] == 'merging')
    assert list(merging.values())[1:] == [
        'predicted', 'merging', '55.0', '15.5', '840', '2', 'False',
    ]  # fmt: skip


def test_training_data_and_memory_are_those_of_the_log(run: Path, read_page) -> None:
    digest = 'ab' * 32
    log = run / '20260101_100000' / '20260101_100000.log'
    with log.open('a') as lines:
        lines.write(
            '2026/01/01 10:30:05 - mmengine - INFO - Training data: my data/train.json, SHA-256 '
            f'{digest}\n'
            '2026/01/01 10:30:05 - mmengine - INFO - Peak memory of the process: 3.25 GiB\n'
        )
    words = read_page(report(run).page).words
    assert all(text in words for text in ('my data/train.json', digest, '3.25 GiB'))


def test_tiles_show_value_and_interval() -> None:
    values = {'coco/segm_mAP': 0.75, 'pixel/dice': None, 'count/relative_error': 0.0321}
    found = tiles({'figures': values, 'intervals': {'count/relative_error': [0.01, 0.05]}})
    assert found[0] == ('0.750', 'mask AP', '')
    assert found[2] == ('-', 'pixel Dice', '')
    assert found[-1] == ('3.2%', 'count error', '1.0% to 5.0%')


@pytest.mark.parametrize(
    ('value', 'text'),
    [(0.12345, '0.1235'), (-12.34, '-12.3'), (7, '7'), (None, '-'), (math.nan, '-')],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_durations() -> None:
    assert [duration(value) for value in (59.6, 3599, 3660)] == [
        '1 min 00 s',
        '59 min 59 s',
        '1 h 01 min',
    ]


def test_a_bar_in_a_cell_does_not_part_it() -> None:
    table = Table(('a', 'b'), [('x|y', '1,5')])
    assert table.markdown() == '| a | b |\n| --- | --- |\n| x\\|y | 1,5 |\n'
    assert table.csv() == '\ufeffa,b\nx|y,"1,5"\n'
