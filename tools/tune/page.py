"""The page of a study, and the files beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader
from optuna.distributions import CategoricalDistribution

from cellkit.files.writing import write_json, write_whole
from tools.report.content import data_uri
from tools.report.tables import Table
from tools.tune import figures
from tools.tune.findings import Findings, Row
from tools.tune.space import TRAININGS, short

SHOWN = 100  # trials in the page's table; the file beside it has them all
TOLD = ('complete', 'pruned', 'failed', 'running')


def write(findings: Findings, folder: Path, config: Path | None) -> Path:
    """Write what a study found; returns the page.

    Beside it: ``trials.csv``, ``found.json`` and each figure.

    Args:
        findings: What it found.
        folder: The study's.
        config: The best settings, where they were written.
    """
    drawings = draw(findings)
    for name, drawing in drawings.items():
        write_whole(folder / f'figure_{name}.png', drawing)
    table = trials_table(findings)
    write_whole(folder / 'trials.csv', table.csv())
    write_json(folder / 'found.json', found(findings), indent=1)
    page = folder / 'tune.html'
    write_whole(page, html(findings, drawings, table, config))
    return page


def found(findings: Findings) -> dict[str, Any]:
    """What a program may want to know of a study."""
    trials = [
        dict(number=r.number, state=r.state, values=r.values, parameters=r.parameters)
        for r in findings.rows
    ]
    best = next(
        (t for t in trials if t['number'] == (findings.best and findings.best.number)), None
    )
    return {'states': Counter(r.state for r in findings.rows), 'best': best, 'trials': trials}


def draw(findings: Findings) -> dict[str, bytes]:
    """The figures that there is something to draw in, as PNG by name."""
    drawings = {}
    if findings.of('complete') or figures.with_curves(findings):
        drawings['history'] = figures.history_figure(findings)
    if findings.of('complete'):
        if len(findings.space.objectives) > 1:
            drawings['front'] = figures.front_figure(findings)
        drawings['parallel'] = figures.parallel_figure(findings)
    if findings.importance:
        drawings['importance'] = figures.importance_figure(findings)
    if figures.with_curves(findings):
        drawings['curves'] = figures.curves_figure(findings)
    return drawings


def trials_table(findings: Findings) -> Table:
    """All trials, the best first, then those without a value."""
    space = findings.space
    sign = -1 if space.maximize else 1
    rows = sorted(
        findings.rows,
        key=lambda r: (sign * r.values[space.objective] if r.values else float('inf'), r.number),
    )
    names = [parameter.name for parameter in space.parameters]
    header = ('trial', 'state', 'why', *space.objectives, 'minutes', *names)
    return Table(header, [_cells(findings, row, names) for row in rows])


def _cells(findings: Findings, row: Row, names: list[str]) -> tuple[str, ...]:
    values = [f'{row.values[k]:.4f}' if k in row.values else '' for k in findings.space.objectives]
    settings = [short(row.parameters.get(name, '')) for name in names]
    minutes = '' if row.seconds is None else f'{row.seconds / 60:.1f}'
    why = row.reason or ('the default settings' if row.default else '')
    return (str(row.number), row.state, why, *values, minutes, *settings)


def ranges(findings: Findings) -> list[tuple[str, str]]:
    """The space in words: name and range of each parameter."""
    rows = []
    for parameter in findings.space.parameters:
        drawn = parameter.distribution
        if isinstance(drawn, CategoricalDistribution):
            text = ', '.join(map(str, drawn.choices))
        else:
            text = f'{drawn.low:g} to {drawn.high:g}' + (', logarithmic' if drawn.log else '')
            text += f' in steps of {drawn.step:g}' if drawn.step not in (None, 1) else ''
        rows.append((parameter.name, text))
    return rows


def html(findings: Findings, drawings: dict[str, bytes], table: Table, config: Path | None) -> str:
    """The page."""
    blanks = dict(trim_blocks=True, lstrip_blocks=True)
    loader = ChoiceLoader([PackageLoader('tools.tune'), PackageLoader('tools.report')])
    environment = Environment(loader=loader, autoescape=True, **blanks)
    environment.filters |= {'data_uri': data_uri, 'short': short}
    states = Counter(row.state for row in findings.rows)
    return environment.get_template('tune.html').render(
        findings=findings,
        space=findings.space,
        trains=findings.space.searches == TRAININGS,
        drawings=drawings,
        table=Table(tuple(map(figures.shortened, table.header)), table.rows[:SHOWN]),
        hidden=max(len(table.rows) - SHOWN, 0),
        states=[(state, states[state]) for state in TOLD if states[state]],
        ranges=ranges(findings),
        config=config,
    )
