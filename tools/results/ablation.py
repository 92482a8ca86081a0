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

JUDGED = 'coco/segm_mAP'
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

        def mean(weights: np.ndarray) -> dict[str, float]:
            found = [ask(weights) for ask in each]
            return {key: float(np.mean([one[key] for one in found])) for _, key in COLUMNS}

        return mean


def ablation(
    rows: Mapping[str, Sequence[Path]],
    baseline: str,
    part: str = 'val',
    progress: Callable[[Iterable], Iterable] = iter,
) -> str:
    """Three tables in Markdown: what was trained, what it measured, and against the baseline.

    Args:
        rows: Folders of evaluations by the recipe's name; one without any is named below.
        baseline: Name of the one that the others are compared with.
        part: On which they are scored.
        progress: Wraps the recipes, for a progress bar.

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
    trained, figures, differences = [], [], []
    for name, recipe in progress(recipes.items()):
        trained.append([name, *_trained(recipe)])
        figures.append([name, *_figures(recipe, weights)])
        if base and name != baseline:
            differences.append([name, *_differences(recipe, base, weights)])
    names = [name for name, _ in COLUMNS]
    facts = ['data', 'encoder', 'start', 'seeds', 'steps', 'device', 'minutes', 'memory']
    parts = [
        markdown_table(['recipe', *facts], trained),
        f'On {images} {part} images:',
        markdown_table(['recipe', *names], figures),
    ]
    if differences:
        header = ['recipe', *names, f'more than chance ({names[0]})']
        parts += [f'Less {baseline}, on the same images:', markdown_table(header, differences)]
    return '\n\n'.join([*parts, _note(weights is not None), *([told] if missing else [])])


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


def _differences(recipe: Recipe, base: Recipe, weights: np.ndarray | None) -> list[str]:
    """Difference of the means over seeds, with its paired interval over images."""
    between = {} if weights is None else paired_differences(recipe.values, base.values, weights)
    cells = []
    for _, key in COLUMNS:
        both, form = [one.seeds(key) for one in (recipe, base)], f'+{form_of(key)}'
        if not all(both):
            cells.append(NOT_MEASURED)
            continue
        text = format(statistics.fmean(both[0]) - statistics.fmean(both[1]), form)
        if key in between and not math.isnan(between[key].low):
            text += f' ({between[key].low:{form}} to {between[key].high:{form}})'
        cells.append(text)
    return [*cells, _verdict(recipe.seeds(JUDGED), base.seeds(JUDGED), between.get(JUDGED))]


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
