"""The page's figures as PNG: history, front, importance, parallel coordinates, curves of trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import nonsingular
from optuna.distributions import CategoricalDistribution

from tools.report.figures import BLUE, GREEN, GREY, ORANGE, STYLE, WIDTH, panels, png
from tools.tune.findings import Findings, Row
from tools.tune.space import Parameter

STATE_COLOURS = {'complete': BLUE, 'pruned': ORANGE, 'failed': '#1d2733', 'running': GREY}
LABEL = 26  # letters of a name on an axis


@matplotlib.rc_context(STYLE)
def history_figure(findings: Findings) -> bytes:
    """The first objective of each trial, and the best one so far."""
    figure, (axes,) = panels(1, 3.2)
    rows, key = findings.of('complete'), findings.space.objective
    values = np.array([row.values[key] for row in rows])
    numbers = [row.number for row in rows]
    best = np.maximum if findings.space.maximize else np.minimum
    axes.plot(numbers, values, 'o', color=BLUE, alpha=0.6, markersize=4, label='complete')
    if len(values):
        axes.step(numbers, best.accumulate(values), color=GREEN, where='post', label='best so far')
    pruned = [row for row in findings.of('pruned') if row.curve]
    if pruned:
        ends = [row.curve[-1][1] for row in pruned]
        axes.plot([r.number for r in pruned], ends, 'x', color=ORANGE, label='where pruned')
    if (own := findings.default) is not None:
        axes.axhline(own.values[key], color=GREY, linestyle=':', label='the default settings')
    axes.set(xlabel='trial', ylabel=key)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.legend(loc='lower left', bbox_to_anchor=(-0.01, 1), ncols=4)
    return png(figure)


@matplotlib.rc_context(STYLE)
def front_figure(findings: Findings) -> bytes:
    """Two objectives against each other; those that no trial beats in both are joined."""
    figure, (axes,) = panels(1, 4.0)
    one, other = list(findings.space.objectives)[:2]
    rows = findings.of('complete')
    axes.plot(
        [r.values[other] for r in rows], [r.values[one] for r in rows], 'o', color=GREY, alpha=0.6
    )
    front = sorted((r for r in rows if r.number in findings.front), key=lambda r: r.values[other])
    axes.step([r.values[other] for r in front], [r.values[one] for r in front], 'o-', color=BLUE,
              where='post', label='beaten in neither')  # fmt: skip
    for row in front:
        place = row.values[other], row.values[one]
        axes.annotate(str(row.number), place, (4, 4), textcoords='offset points', fontsize=8)
    if (own := findings.default) is not None:
        label = 'the default settings'
        axes.plot([own.values[other]], [own.values[one]], 's', color=ORANGE, label=label)
    axes.set(xlabel=other, ylabel=one)
    axes.legend()
    return png(figure)


@matplotlib.rc_context(STYLE)
def importance_figure(findings: Findings) -> bytes:
    """How much of the first objective each parameter decides."""
    figure, (axes,) = panels(1, 0.9 + 0.32 * len(findings.importance))
    names = list(findings.importance)[::-1]
    values = [findings.importance[name] for name in names]
    bars = axes.barh([shortened(name, 60) for name in names], values, color=BLUE, height=0.65)
    axes.bar_label(bars, [f'{value:.2f}' for value in values], padding=3)
    axes.set(xlim=(0, 1.08 * max(values, default=1) or 1), xlabel='share')
    axes.grid(axis='y', visible=False)
    return png(figure)


@matplotlib.rc_context(STYLE)
def parallel_figure(findings: Findings) -> bytes:
    """Every complete trial as a line through its parameters, coloured by the first objective."""
    parameters, key = findings.space.parameters, findings.space.objective
    rows = sorted(findings.of('complete'), key=lambda row: row.values[key])
    rows = rows if findings.space.maximize else rows[::-1]  # the best lie on top
    figure = Figure(figsize=(WIDTH, 4.4), layout='constrained')
    axes = figure.subplots()
    places = np.array([[place_of(p, row.parameters[p.name]) for p in parameters] for row in rows])
    values = np.array([row.values[key] for row in rows])
    low, high = float(np.quantile(values, 0.05)), float(values.max())
    if not findings.space.maximize:
        low, high = float(values.min()), float(np.quantile(values, 0.95))
    columns = np.arange(len(parameters))
    lines = [np.column_stack([columns, line]) for line in places]
    colours = 'viridis' if findings.space.maximize else 'viridis_r'
    drawn = LineCollection(lines, array=values, cmap=colours, linewidths=1.3, alpha=0.75)
    drawn.set_clim(nonsingular(low, high, expander=0.01))  # of one trial there is no range
    axes.add_collection(drawn)
    figure.colorbar(drawn, ax=axes, label=key, shrink=0.85, pad=0.02)
    for column, parameter in enumerate(parameters):
        _scale(axes, column, parameter)
    axes.set(xlim=(-0.35, len(parameters) - 0.65), ylim=(-0.06, 1.06), yticks=[])
    names = [shortened(parameter.name) for parameter in parameters]
    crowded = len(parameters) > 4
    axes.set_xticks(
        columns, names, rotation=18 if crowded else 0, ha='right' if crowded else 'center'
    )
    axes.spines['left'].set_visible(False)
    axes.grid(axis='x', color=GREY, linewidth=0.8)
    return png(figure)


def place_of(parameter: Parameter, value: Any) -> float:
    """Where on its axis a value lies, 0..1."""
    drawn = parameter.distribution
    if isinstance(drawn, CategoricalDistribution):
        return drawn.to_internal_repr(value) / max(len(drawn.choices) - 1, 1)
    form = math.log if drawn.log else float
    low, high = form(drawn.low), form(drawn.high)
    return (form(value) - low) / (high - low) if high > low else 0.5


def _scale(axes: Axes, column: int, parameter: Parameter) -> None:
    """Write what the places on a parameter's axis stand for."""
    drawn = parameter.distribution
    if isinstance(drawn, CategoricalDistribution):
        marks = list(drawn.choices)
    else:
        middle = math.sqrt(drawn.low * drawn.high) if drawn.log else (drawn.low + drawn.high) / 2
        marks = [drawn.low, middle, drawn.high]
    for mark in marks:
        text = f'{mark:.3g}' if isinstance(mark, float) else shortened(str(mark), 18)
        axes.annotate(
            text, (column, place_of(parameter, mark)), (4, 0), textcoords='offset points',
            fontsize=7.5, va='center', color='#5d6b7a',
        )  # fmt: skip


@matplotlib.rc_context(STYLE)
def curves_figure(findings: Findings) -> bytes:
    """The first objective over each trial's training; a cross is where it was pruned."""
    figure, (axes,) = panels(1, 3.6)
    best = findings.best and findings.best.number
    for row in sorted(with_curves(findings), key=lambda row: row.number == best):
        colour = GREEN if row.number == best else STATE_COLOURS.get(row.state, GREY)
        places, values = zip(*row.curve, strict=True)
        width = 2.4 if row.number == best else 1.1
        axes.plot(places, values, 'o-', color=colour, linewidth=width, alpha=0.8, markersize=3)
        if row.state == 'pruned':
            axes.plot(places[-1:], values[-1:], 'x', color=ORANGE, markersize=7)
        axes.annotate(str(row.number), (places[-1], values[-1]), (5, 0), fontsize=7.5, va='center',
                      textcoords='offset points', color=colour)  # fmt: skip
    handles = [axes.plot([], [], 'o-', color=c, label=s)[0] for s, c in STATE_COLOURS.items()
               if any(row.state == s for row in with_curves(findings))]  # fmt: skip
    handles += axes.plot([], [], 'o-', color=GREEN, linewidth=2.4, label='the best')
    axes.set(xlabel='iterations or epochs of training', ylabel=findings.space.objective)
    axes.legend(handles=handles, loc='lower left', bbox_to_anchor=(-0.01, 1), ncols=len(handles))
    return png(figure)


def with_curves(findings: Findings) -> Sequence[Row]:
    """The trials that were validated."""
    return [row for row in findings.rows if row.curve]


def shortened(name: str, letters: int = LABEL) -> str:
    """The end of a dotted key, which says most."""
    steps = name.split('.')
    while len('.'.join(steps)) > letters and len(steps) > 1:
        steps.pop(0)
    text = '.'.join(steps)
    text = f'…{text}' if len(steps) < len(name.split('.')) else text
    return text if len(text) <= letters + 1 else f'{text[: letters - 1]}…'
