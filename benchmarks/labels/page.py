"""Table and plot of the points that are stored."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.harness import markdown_table
from benchmarks.labels.points import STARTS, sizes
from benchmarks.training import POINT
from cellkit.errors import UserError
from cellkit.files.writing import read_object, write_between_marks, write_whole
from tools.report.figures import BLUE, GREEN, ORANGE, STYLE
from tools.results import COLUMNS as ALL_COLUMNS
from tools.results import form_of

COLUMNS = [(name, key) for name, key in ALL_COLUMNS if not key.startswith('instance/')]
PANELS = [(name, key) for name, key in COLUMNS if key.startswith(('coco/', 'pixel/dice'))]
WORDS = {'box': 'from the box', 'few': 'from the box, for few', 'scratch': 'from scratch'}
COLOURS = {'box': BLUE, 'few': GREEN, 'scratch': ORANGE}
PLOT = Path('images/labels.svg')  # beside the page
NOT_MEASURED = 'not measured'
UNKNOWN = 1 << 30  # in the place of all images


def read_points(out: Path) -> list[dict[str, Any]]:
    """All points that are stored in the run folders.

    Raises:
        UserError: Two of them can't stand in one curve.
    """
    found = {file: read_object(file) for file in sorted(out.glob(f'*/{POINT}'))}
    found = {file: point for file, point in found.items() if point}
    first: dict[tuple[str, str], tuple[Path, Any]] = {}
    for file, point in found.items():
        for key in ('of', 'train_sha256', 'test_sha256'):
            _same(first, ('', key), file, point[key])
        for key in ('config_sha256', 'box_sha256', 'score_thr'):
            _same(first, (point['start'], key), file, point[key])
        if point['images']:
            _same(first, (point['start'], 'steps'), file, point['steps'])
    return list(found.values())


def _same(first: dict[Any, tuple[Path, Any]], key: tuple[str, str], file: Path, value: Any) -> None:
    before, wanted = first.setdefault(key, (file, value))
    if value != wanted:
        raise UserError(
            f'{file.parent} and {before.parent} differ in {key[1]}, so they are of two curves: '
            'move one of them away'
        )


def results(points: Sequence[dict[str, Any]]) -> str:
    """Table and what one must know to read it."""
    total = points[0]['of'] if points else None
    rows = []
    for start in STARTS:
        for images in _rows(start, points, total):
            runs = [p for p in points if (p['start'], p['images']) == (start, images)]
            label = f'all ({images})' if images == total else str('all' if images < 0 else images)
            cells = [_cell([run['figures'].get(key) for run in runs], key) for _, key in COLUMNS]
            rows.append([WORDS[start], label, str(len(runs)), *cells])
    header = ['start', 'images', 'runs', *(name for name, _ in COLUMNS)]
    return f'{markdown_table(header, rows)}\n\n{_note(points)}'


def _rows(start: str, points: Sequence[dict[str, Any]], total: int | None) -> list[int]:
    """Numbers of images, -1 for all where nobody knows how many these are."""
    if total is None:
        return [size if size < UNKNOWN else -1 for size in sizes(start, UNKNOWN)]
    return sorted({*sizes(start, total), *(p['images'] for p in points if p['start'] == start)})


def _cell(found: Sequence[float | None], key: str) -> str:
    """Mean and range."""
    values = [value for value in found if value is not None]
    if not values:
        return NOT_MEASURED
    form = form_of(key)
    mean = format(math.fsum(values) / len(values), form)
    return mean if len(values) == 1 else f'{mean} ({min(values):{form}} to {max(values):{form}})'


def _note(points: Sequence[dict[str, Any]]) -> str:
    lines = ['Written by `python -m benchmarks labels --write docs/results.md`.']
    for start in STARTS:
        runs = [point for point in points if point['start'] == start]
        if not runs:
            continue
        trained = [point for point in runs if point['images']]
        text = f'{WORDS[start].capitalize()}: score threshold {runs[0]["score_thr"]:g}'
        if trained:
            text += f', `{trained[0]["config"]}`, {trained[0]["steps"]} steps a run'
        lines.append(f'{text}.')
    if points:
        lines.append(
            f'Scored on {points[0]["test_images"]} test images; mean over the runs of a row, '
            'least and greatest in brackets.'
        )
    return ' '.join(lines)


@matplotlib.rc_context(STYLE | {'svg.hashsalt': 'labels'})
def plot(points: Sequence[dict[str, Any]]) -> bytes:
    """The curves as SVG: a dot a run, a line through the means."""
    figure = Figure(figsize=(3.2 * len(PANELS), 3.2), layout='constrained', facecolor='white')
    panels = figure.subplots(1, len(PANELS))
    ticks = sorted({point['images'] for point in points} | {*sizes('box', points[0]['of'])})
    for axes, (name, key) in zip(panels, PANELS, strict=True):
        for start in STARTS:
            runs = [
                (point['images'], value)
                for point in points
                if point['start'] == start and (value := point['figures'].get(key)) is not None
            ]
            if not runs:
                continue
            places, values = np.array(runs, float).T
            axes.plot(places, values, 'o', color=COLOURS[start], alpha=0.45, markersize=5, mew=0)
            measured = np.unique(places)
            means = [values[places == place].mean() for place in measured]
            axes.plot(measured, means, color=COLOURS[start], label=WORDS[start])
        axes.set_title(name)
        axes.set_xlabel('labelled images')
        axes.set_xscale('function', functions=(np.log1p, np.expm1))  # 0 has a place
        axes.set_xlim(-0.15, ticks[-1] * 1.15)
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
    panels[0].legend(loc='lower right')
    content = io.BytesIO()
    figure.savefig(content, format='svg', metadata={'Date': None})
    return content.getvalue()


def write_page(page: Path, points: Sequence[dict[str, Any]]) -> str:
    """Write table and plot between the page's marks; returns what stands there.

    Raises:
        UserError: The page is not there or lacks the marks.
    """
    text = results(points)
    if points:
        text = f'![Quality against the number of labelled images]({PLOT.as_posix()})\n\n{text}'
    write_between_marks(page, text, 'labels')
    if points:
        write_whole(page.parent / PLOT, plot(points))
    return text
