"""The report's figures as PNG, drawn without pyplot: curves of training, of evaluation, errors."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cellkit.metrics.average_precision import COCO_IOU_THRESHOLDS, RECALLS, Curves
from cellkit.metrics.error_analysis import ALONE, FOUND, SPLIT, TRUE_OUTCOMES
from tools.report.analysis import Analysis
from tools.runs.log import TrainingLog, series

# Told apart by colour-blind readers too; the outcomes' as on the pictures.
BLUE, ORANGE, GREEN, GREY = '#2B6CB0', '#D9480F', '#2F855A', '#8A94A0'
OUTCOME_COLOURS = {
    'found': '#C3CBD3',
    'poor outline': '#A77BCA',
    'split': '#F783AC',
    'merged': '#12B5A5',
    'missed': '#E5480F',
    'spurious': '#1D3A8A',
}
METRIC_PANELS = {
    'average precision': {
        'coco/segm_mAP': 'mask AP',
        'coco/segm_mAP_50': 'mask AP50',
        'coco/segm_mAP_75': 'mask AP75',
        'coco/bbox_mAP': 'box AP',
    },
    'pixels and cells': {
        'pixel/dice_pooled': 'Dice, pooled',
        'pixel/iou_pooled': 'IoU, pooled',
        'instance/f1_50': 'F1 at IoU 0.5',
        'instance/pq': 'panoptic quality',
    },
    'count error': {
        'count/relative_error': 'default score',
        'count/best_relative_error': 'chosen score',
    },
}
STYLE = {
    'font.size': 9,
    'font.family': 'DejaVu Sans',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': '#8A94A0',
    'axes.grid': True,
    'axes.axisbelow': True,
    'axes.titlesize': 10,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.prop_cycle': matplotlib.cycler(color=[BLUE, ORANGE, GREEN, '#805AD5', '#B7791F']),
    'grid.color': '#E6E9ED',
    'legend.frameon': False,
    'lines.linewidth': 1.6,
    'lines.markersize': 4,
}
WIDTH = 10.0  # inches


@matplotlib.rc_context(STYLE)
def loss_figure(log: TrainingLog, best: float | None = None) -> bytes:
    """Losses, the total and its parts; the best checkpoint's place on the axis is marked."""
    figure, (total, parts) = panels(2, 3.5)
    total.plot(*series(log.train, 'loss'), color=BLUE, label='training')
    if any('val_loss' in entry for entry in log.val):
        places, values = series(log.val, 'val_loss')
        total.plot(places, values, 'o--', color=ORANGE, label='validation (whole images)')
    total.set_title('total loss')
    total.legend()
    for key in [key for key in log.train[-1] if key.startswith('loss_')]:
        (line,) = parts.plot(*series(log.train, key), label=key.removeprefix('loss_'))
        if any(f'val_{key}' in entry for entry in log.val):
            parts.plot(*series(log.val, f'val_{key}'), 'o--', color=line.get_color())
    parts.set_title('its parts')
    parts.legend(ncols=2)
    for axes in (total, parts):
        _over_training(axes, log, best)
        axes.set_ylim(bottom=0)
    return png(figure)


@matplotlib.rc_context(STYLE)
def metrics_figure(log: TrainingLog, best: float | None = None) -> bytes:
    """Validation metrics; the best checkpoint's place on the axis is marked."""
    groups = [
        (title, logged)
        for title, names in METRIC_PANELS.items()
        if (logged := {key: name for key, name in names.items() if series(log.val, key)[0]})
    ]
    figure, axes_list = panels(max(len(groups), 1), 3.8)
    for axes, (title, logged) in zip(axes_list, groups, strict=False):
        for key, name in logged.items():
            axes.plot(*series(log.val, key), 'o-', label=name)
        axes.set_title(title)
        _over_training(axes, log, best)
        if title == 'count error':
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
            axes.set_ylim(bottom=0)
        axes.legend(loc='upper left', bbox_to_anchor=(-0.02, -0.2), ncols=2, columnspacing=1.2)
    return png(figure)


@matplotlib.rc_context(STYLE)
def precision_recall_figure(curves: Curves, evaluation: Mapping[str, Any]) -> bytes:
    """Curves of the masks with the evaluation's precision and recall as dots; AP by threshold."""
    shown = (0.5, 0.75, 0.85, 0.9, 0.95)
    figure, (left, right) = panels(2, 3.7)
    shades = matplotlib.colormaps['viridis'](np.linspace(0.05, 0.85, len(shown)))
    for threshold, colour in zip(shown, shades, strict=True):
        at = int(np.argmin(np.abs(COCO_IOU_THRESHOLDS - threshold)))
        precision = curves.precision[0, at]
        label = f'IoU {threshold:.2f}: AP {precision.mean():.3f}'
        left.plot(RECALLS, precision, color=colour, label=label)
        keys = (f'instance/{kind}_{round(100 * threshold)}' for kind in ('recall', 'precision'))
        point = [evaluation['figures'].get(key) for key in keys]
        if None not in point:
            left.plot(*point, 'o', color=colour, markeredgecolor='white', markersize=7)
    left.set(xlabel='recall', ylabel='precision', xlim=(0, 1.01), ylim=(0, 1.02))
    score = f'{evaluation["score_thr"]:g}'
    left.set_title(f'masks on {evaluation["part"]}; dots: cells at score ≥ {score}')
    left.legend(loc='lower left')
    values = curves.precision[0].mean(-1)
    bars = right.bar([f'{t:.2f}' for t in COCO_IOU_THRESHOLDS], values, color=BLUE, width=0.7)
    right.bar_label(bars, [f'{value:.2f}' for value in values], fontsize=8, padding=2)
    right.set(xlabel='IoU threshold', ylim=(0, 1.08))
    right.set_title(f'average precision; mean of the ten {values.mean():.3f}')
    right.grid(axis='x', visible=False)
    return png(figure)


@matplotlib.rc_context(STYLE)
def threshold_figure(choice: Mapping[str, Any], score_thr: float) -> bytes:
    """Count error and Dice on validation by score threshold, the chosen one and those as good."""
    figure, (left, right) = panels(2, 2.9)
    left.plot(choice['thresholds'], choice['relative_error'], color=BLUE)
    left.set_title('relative count error on validation')
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.set_ylim(bottom=0)
    right.plot(choice['thresholds'], choice['dice_pooled'], color=GREEN)
    right.set_title('pooled Dice on validation')
    for axes in (left, right):
        if choice.get('low') is not None:  # evaluations from before it was chosen so lack it
            label = f'as good: {choice["low"]:g} to {choice["high"]:g}'
            axes.axvspan(choice['low'], choice['high'], color=GREY, alpha=0.2, lw=0, label=label)
        axes.axvline(score_thr, color=ORANGE, linestyle=':', label=f'chosen: {score_thr:g}')
        axes.set(xlabel='score threshold', xlim=(0, 1))
        axes.legend(loc='best')
    return png(figure)


@matplotlib.rc_context(STYLE)
def calibration_figure(check: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> bytes:
    """Reliability of score and probability; true counts of the images with their intervals."""
    figure, (left, right) = panels(2, 3.7)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle='--')
    shown = {'score': (GREY, 's-', 'ece_score'), 'probability': (BLUE, 'o-', 'ece')}
    least = 1.0
    for name, (colour, style, error) in shown.items():
        found = check['bins'][name]
        label = f'{name}: error {check[error]:.3f}'
        left.plot(found['probability'], found['share'], style, color=colour, label=label)
        least = min(least, *found['probability'], *found['share'])
    least = max(least - 0.05, 0)
    left.set(xlabel='mean of a tenth of the cells', ylabel='share of them that are true')
    left.set(xlim=(least, 1.005), ylim=(least, 1.005))
    left.set_title('reliability of the counted cells')
    left.legend(loc='upper left')
    order = np.argsort([row['true'] for row in images], kind='stable')
    places = np.arange(len(images))
    true, counted = (np.array([row[key] for row in images]) for key in ('true', 'predicted'))
    low, high = np.array(check['intervals']).T
    low, high, counted = ((column - true)[order] for column in (low, high, counted))
    right.vlines(places, low, high, color=BLUE, linewidth=2.5, alpha=0.6)
    right.plot(places, counted, '.', color=ORANGE, label='counted')
    right.axhline(0, color=GREY, linewidth=1, linestyle='--')
    right.set(xlabel='images, by number of true cells', ylabel='cells more than there are')
    inside = f'{check["covered"]} of {len(images)}'
    right.set_title(f'95 % intervals: {inside} hold the true number')
    right.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    right.legend(loc='best')
    return png(figure)


@matplotlib.rc_context(STYLE)
def error_figure(analysis: Analysis) -> bytes:
    """What became of the true cells by area and by crowding, with the spurious predictions."""
    figure = Figure(figsize=(WIDTH, 5.6), layout='constrained')
    grid = figure.subplots(2, 2, sharex='col', height_ratios=(2, 1))
    for column, binning in enumerate((by_area(analysis), by_crowding(analysis))):
        _error_bars(grid[0, column], grid[1, column], analysis, binning)
    grid[0, 0].set_title('by area of the cell (quarters of the true cells)')
    grid[1, 0].set_xlabel('area, pixels')
    grid[0, 1].set_title('by crowding')
    grid[1, 1].set_xlabel('true cells around: centre within 1.5 typical diameters')
    handles, names = grid[0, 0].get_legend_handles_labels()
    handles += grid[1, 0].get_legend_handles_labels()[0]
    names += ['spurious']
    figure.legend(handles, names, loc='outside upper center', ncols=len(names))
    return png(figure)


def by_area(analysis: Analysis) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the bins, and the bin of each true and of each predicted cell: by area."""
    areas = analysis.true.area
    edges = np.unique(np.quantile(areas, (0.25, 0.5, 0.75)).round()) if len(areas) else np.zeros(0)
    limits = [f'{edge:,.0f}' for edge in edges]
    between = [f'{low} to {high}' for low, high in itertools.pairwise(limits)]
    names = [f'below {limits[0]}', *between, f'from {limits[-1]}'] if limits else ['all']
    return names, np.digitize(areas, edges), np.digitize(analysis.predicted.area, edges)


def by_crowding(analysis: Analysis) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Likewise by the number of true cells around."""
    names = ['none', '1', '2', '3', '4', '5 and more']
    true, predicted = analysis.true.neighbours, analysis.predicted.neighbours
    return names, np.minimum(true, 5), np.minimum(predicted, 5)


def _error_bars(above: Axes, below: Axes, analysis: Analysis, binning: tuple) -> None:
    """Shares of the true cells that are not found above, predictions too many below."""
    names, true_bin, pred_bin = binning
    number = np.bincount(true_bin, minlength=len(names))
    bottom = np.zeros(len(names))
    for outcome in range(FOUND + 1, len(TRUE_OUTCOMES))[::-1]:
        chosen = true_bin[analysis.true.outcome == outcome]
        share = np.bincount(chosen, minlength=len(names)) / np.maximum(number, 1)
        name = TRUE_OUTCOMES[outcome]
        above.bar(names, share, 0.65, bottom, color=OUTCOME_COLOURS[name], label=name)
        bottom += share
    for place, (height, cells) in enumerate(zip(bottom, number, strict=True)):
        text = f'{height:.1%}\nof {cells}' if cells else 'no cell'
        above.annotate(text, (place, height), (0, 3), textcoords='offset points', ha='center')
    above.set_ylim(0, max(1.3 * bottom.max(), 0.01))
    above.yaxis.set_major_formatter(PercentFormatter(1))
    above.set_ylabel('true cells not found')
    height = np.zeros(len(names), np.int64)
    for outcome, name in ((ALONE, 'spurious'), (SPLIT, 'split')):
        chosen = pred_bin[analysis.predicted.outcome == outcome]
        number = np.bincount(chosen, minlength=len(names))
        label = name if outcome == ALONE else None
        bars = below.bar(names, number, 0.65, height, color=OUTCOME_COLOURS[name], label=label)
        height += number
    below.bar_label(bars, height.astype(str), padding=2)
    below.set_ylim(0, max(1.3 * height.max(), 1))
    below.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    below.set_ylabel('predictions too many')
    for axes in (above, below):
        axes.grid(axis='x', visible=False)


@matplotlib.rc_context(STYLE)
def count_figure(images: Sequence[Mapping[str, Any]]) -> bytes:
    """Counted against true cells of each image, and how the images' quality is spread."""
    true = np.array([row['true'] for row in images])
    found = np.array([row['predicted'] for row in images])
    figure, (left, right) = panels(2, 3.5)
    end = max(true.max(), found.max(), 1) * 1.05
    left.plot([0, end], [0, end], color=GREY, linewidth=1, linestyle='--')
    left.plot(true, found, 'o', color=BLUE, alpha=0.7, markeredgecolor='white', markersize=6)
    left.set(xlabel='true cells', ylabel='counted cells', xlim=(0, end), ylim=(0, end))
    left.set_title('count of each image')
    shown = {'dice': 'Dice', 'f1_50': 'F1 at IoU 0.5', 'pq': 'panoptic quality'}
    for (key, name), colour in zip(shown.items(), (GREEN, BLUE, ORANGE), strict=True):
        values = sorted(row[key] for row in images if row.get(key) is not None)
        ranks = (np.arange(len(values)) + 0.5) / max(len(values), 1)
        right.plot(ranks, values, 'o-', color=colour, label=name)
    right.set(xlabel='share of the images, worst to best', xlim=(0, 1))
    right.xaxis.set_major_formatter(PercentFormatter(1))
    right.set_title('quality of each image')
    right.legend(loc='lower right')
    return png(figure)


def panels(number: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of the page's width, so many inches high, with axes beside each other."""
    figure = Figure(figsize=(WIDTH, height), layout='constrained')
    return figure, list(np.atleast_1d(figure.subplots(1, number)))


def _over_training(axes: Axes, log: TrainingLog, best: float | None) -> None:
    axes.set_xlabel(log.unit)
    axes.set_xlim(0, max(log.last, 1) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if best is not None:
        axes.axvline(best, color=GREY, linestyle=':', linewidth=1.2)


def png(figure: Figure) -> bytes:
    """The figure as a file."""
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=144)
    return content.getvalue()
