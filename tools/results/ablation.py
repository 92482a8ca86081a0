"""What each recipe is worth: runs grouped by recipe, beside the baseline on the same images."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from cellkit.files.writing import markdown_table
from cellkit.metrics.bootstrap import (
    LEAST_IMAGES,
    Difference,
    confidence_intervals,
    paired_differences,
    resampled_weights,
)
from cellkit.metrics.comparison import STANDARD_ERRORS, difference_of_means
from cellkit.metrics.records import values_by_weights
from tools.results import COLUMNS, NOT_MEASURED, form_of, mean_of
from tools.results.trained import Trained, read_trained, same_images

JUDGED = COLUMNS[0][1]
SAMPLES = 1000

Values = Callable[[np.ndarray], dict[str, float]]


class Recipe:
    """All runs of one recipe.

    Args:
        name: Of its row.
        runs: At least one.
    """

    def __init__(self, name: str, runs: Sequence[Trained]) -> None:
        self.name, self.runs = name, runs

    def seeds(self, key: str) -> list[float]:
        """A value of each run."""
        found = [run.result['figures'].get(key) for run in self.runs]
        return [value for value in found if value is not None]

    @property
    def images(self) -> int:
        """How many the runs are scored on."""
        return self.runs[0].result['number_of_images']

    @cached_property
    def values(self) -> Values:
        """The mean over the runs, by weights of the images."""
        each = [values_by_weights(run.records(), run.result['score_thr']) for run in self.runs]

        kept: dict[bytes, dict[str, float]] = {}  # intervals and differences ask the same

        def mean(weights: np.ndarray) -> dict[str, float]:
            if (sample := weights.tobytes()) not in kept:
                found = [ask(weights) for ask in each]
                kept[sample] = {
                    key: float(np.mean([one[key] for one in found])) for _, key in COLUMNS
                }
            return kept[sample]

        return mean


def ablation(
    rows: Mapping[str, Sequence[Path]],
    baseline: str,
    part: str = 'val',
    progress: Callable[[Iterable], Iterable] = iter,
    alone: bool = True,
) -> str:
    """Two tables in Markdown: what was trained, and what it measured, beside the baseline.

    Args:
        rows: Folders of evaluations by the recipe's name; one without any is named below.
        baseline: Name of the one that the others are compared with.
        part: On which they are scored.
        progress: Wraps the recipes, for a progress bar.
        alone: False leaves the first table and the notes to another one of the same recipes.

    Raises:
        UserError: A run has not been evaluated, or they were scored on different images.
    """
    missing = [name for name, folders in rows.items() if not folders]
    told = f'{NOT_MEASURED.capitalize()}: {", ".join(missing)}.'
    recipes = {
        name: Recipe(name, [read_trained(folder, part) for folder in folders])
        for name, folders in rows.items()
        if folders
    }
    if not recipes:
        return told
    same_images([run for recipe in recipes.values() for run in recipe.runs])
    images = next(iter(recipes.values())).images
    weights = resampled_weights(images, SAMPLES) if images >= LEAST_IMAGES else None
    base = recipes.get(baseline)
    figures = []
    for name, recipe in progress(recipes.items()):
        cells = [name, *_figures(recipe, weights)]
        if base:
            cells[2:2] = ['', ''] if recipe is base else _difference(recipe, base, weights)
        figures.append(cells)
    header = ['recipe', *(name for name, _ in COLUMNS)]
    if base:
        header[2:2] = [f'less {baseline}', 'more than chance']
    parts = [
        f'On {images} {part} images:',
        markdown_table(header, figures),
    ]
    if alone:
        facts = ['data', 'encoder', 'start', 'seeds', 'steps', 'device', 'minutes', 'memory']
        cells = [[name, *_trained(recipe)] for name, recipe in recipes.items()]
        parts.insert(0, markdown_table(['recipe', *facts], cells))
        parts += [_note(weights is not None), *([told] if missing else [])]
    return '\n\n'.join(parts)


def _trained(recipe: Recipe) -> list[str]:
    runs = recipe.runs
    minutes, gib = (
        statistics.fmean(getattr(run, key) for run in runs) for key in ('minutes', 'gib')
    )
    return [
        _all(run.data for run in runs),
        _all(run.encoder for run in runs),
        _all(run.start for run in runs),
        ', '.join(str(run.seed) for run in runs),
        _all(run.steps for run in runs),
        _all(run.device for run in runs),
        f'{minutes:.1f}' if minutes else NOT_MEASURED,
        NOT_MEASURED if math.isnan(gib) else f'{gib:.1f} GiB',
    ]


def _all(found: Iterable[object]) -> str:
    return ', '.join(dict.fromkeys(map(str, found)))


def _figures(recipe: Recipe, weights: np.ndarray | None) -> list[str]:
    """Mean over the seeds, their standard deviation, and the interval over images."""
    between = {} if weights is None else confidence_intervals(recipe.values, weights)
    cells = []
    for _, key in COLUMNS:
        found, form = recipe.seeds(key), form_of(key)
        low, high = between.get(key, (math.nan, math.nan))
        known = found and not math.isnan(low)
        text = f' ({low:{form}} to {high:{form}})' if known else ''
        cells.append(mean_of(found, form) + text)
    return cells


def _difference(recipe: Recipe, base: Recipe, weights: np.ndarray | None) -> list[str]:
    """Of the means over seeds in what is judged, with its paired interval; is it chance?"""
    both, form = [one.seeds(JUDGED) for one in (recipe, base)], f'+{form_of(JUDGED)}'
    if not all(both):
        return [NOT_MEASURED, '']
    found = None
    if weights is not None:
        found = paired_differences(recipe.values, base.values, weights).get(JUDGED)
    text = format(statistics.fmean(both[0]) - statistics.fmean(both[1]), form)
    if found is not None and not math.isnan(found.low):
        text += f' ({found.low:{form}} to {found.high:{form}})'
    return [text, _verdict(*both, found)]


def _verdict(one: Sequence[float], other: Sequence[float], between: Difference | None) -> str:
    """Whether a difference holds over images and over seeds."""
    if between is None or math.isnan(between.low):
        return 'too few images'
    if min(len(one), len(other)) < 2:
        return 'one seed'
    difference, error = difference_of_means(other, one)
    if abs(difference) <= STANDARD_ERRORS * error or between.low <= 0 <= between.high:
        return 'not sure'
    return 'better' if difference > 0 else 'worse'


def _note(intervals: bool) -> str:
    text = (
        'Figures are means over the seeds, ± their standard deviation; minutes are those spent in '
        'training steps.'
    )
    if not intervals:
        return f'{text} Fewer than {LEAST_IMAGES} images: no intervals.'
    return (
        f'{text} In brackets 95 % intervals over the images, of the difference by pairs '
        f'({SAMPLES} bootstrap samples). *More than chance*: that interval leaves out 0, and the '
        f'difference is above {STANDARD_ERRORS:g} standard errors of the means over seeds.'
    )
