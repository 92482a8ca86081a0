"""Does the choice of the score threshold hold on other images? Ways to choose, by held-out error.

    python -m benchmarks threshold --runs work_dirs/NAME --write docs/evaluation.md

Of the images of a part some are drawn at random; each way chooses a threshold on them, and the
counts of the other images are compared with the truth at that threshold. Images are drawn anew
several hundred times, the same ones for all ways. Parts are those that the runs named were
evaluated on (``make evaluate PART=train``), test parts never: what is learnt here decides how
thresholds are chosen. Besides there are simulated scores, for curves of error that are flat, steep,
or least at the very end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.harness import markdown_table
from cellkit.errors import UserError
from cellkit.metrics.bootstrap import confidence_intervals, resampled_weights
from cellkit.metrics.counting import count_by_score, stable_threshold
from cellkit.metrics.pixel import dice, pixel_counts
from cellkit.metrics.records import DEFAULT_THRESHOLD, SCORE_THRESHOLDS

THRESHOLDS = np.array(SCORE_THRESHOLDS)
CHOOSE_ON = (4, 7, 14)  # images, as far as half of a part goes
SIMULATED_IMAGES = 60


class Counts(NamedTuple):
    """What the ways to choose see of N images at S thresholds.

    Attributes:
        true: (N,) true cells.
        found: (N, S) predicted cells.
        pixels: (N, S, 3) as :func:`cellkit.metrics.pixel.pixel_counts` has them.
    """

    true: np.ndarray
    found: np.ndarray
    pixels: np.ndarray

    def of(self, images: np.ndarray) -> Counts:
        """Those of some images."""
        return Counts(*(item[images] for item in self))

    @property
    def errors(self) -> np.ndarray:
        """(N, S) cells that are counted too many or too few."""
        return np.abs(self.found - self.true[:, None])


class Scores(NamedTuple):
    """How a simulated detector scores, in logits; spreads are standard deviations.

    Attributes:
        cells: Mean of what is a cell.
        others: Mean of what is none.
        spread: Of both, within an image.
        image: Of images' means.
        missed: Share of the cells that have no detection.
        spurious: Detections that are no cell, for each cell.
    """

    cells: float
    others: float
    spread: float
    image: float
    missed: float
    spurious: float


SIMULATED = {
    'simulated, flat': Scores(5.0, 1.5, 2.0, 0.7, 0.04, 0.04),
    'simulated, steep': Scores(2.0, -2.0, 1.5, 0.5, 0.02, 0.3),
    'simulated, least near 0': Scores(5.0, -3.0, 1.5, 0.3, 0.05, 0.06),
}


def simulate(scores: Scores, images: int, seed: int) -> Counts:
    """Images of 20 to 139 cells, each of one pixel."""
    rng = np.random.default_rng(seed)
    true = rng.integers(20, 140, images)
    both, found = (np.zeros((images, len(THRESHOLDS)), int) for _ in range(2))
    for k, number in enumerate(true):
        shift = rng.normal(0, scores.image)
        detected = rng.binomial(number, 1 - scores.missed)
        invented = rng.poisson(scores.spurious * number)
        cells = rng.normal(scores.cells + shift, scores.spread, detected)
        others = rng.normal(scores.others + shift, scores.spread, invented)
        both[k] = count_by_score(1 / (1 + np.exp(-cells)), THRESHOLDS)
        found[k] = both[k] + count_by_score(1 / (1 + np.exp(-others)), THRESHOLDS)
    pixels = np.stack([both, np.broadcast_to(true[:, None], both.shape), found], -1)
    return Counts(true, found, pixels)


def least_error(images: Counts) -> float:
    """The rule before: least error, then the greatest pooled Dice, then the greatest threshold."""
    return float(THRESHOLDS[_least(images)])


def _least(images: Counts) -> int:
    overlap = dice(images.pixels.sum(0))
    return int(np.lexsort((-THRESHOLDS, -overlap, images.errors.sum(0)))[0])


def chosen(images: Counts) -> float:
    """What evaluation and training choose."""
    return stable_threshold(images.true, images.found, THRESHOLDS).value


def middle(images: Counts, paired: bool = False) -> float:
    """The middle of all within one standard error of the best one, or the nearest of them.

    Args:
        images: At least two.
        paired: Whether the standard error is that of the difference from the best one.
    """
    best, errors = _least(images), images.errors
    number, more = len(errors), errors.sum(0) - errors[:, best].sum()
    of = errors - errors[:, [best]] if paired else errors[:, [best]]
    rest = of - np.outer(images.true / images.true.sum(), of.sum(0))
    margin = np.sqrt(number / (number - 1) * (rest**2).sum(0))
    as_good = THRESHOLDS[more <= margin + 1e-9]
    return float(as_good[np.abs(as_good - (as_good[0] + as_good[-1]) / 2).argmin()])


def middle_by_differences(images: Counts) -> float:
    """The same where the standard error is that of differences from the best one."""
    return middle(images, paired=True)


def default(images: Counts) -> float:
    """The same for all."""
    return DEFAULT_THRESHOLD


OLD, NEW = 'least error', 'chosen'
WAYS: dict[str, Callable[[Counts], float]] = {
    OLD: least_error,
    NEW: chosen,
    'middle of those as good': middle,
    'the same, by differences': middle_by_differences,
    f'{DEFAULT_THRESHOLD:g} always': default,
}


class HeldOut(NamedTuple):
    """What ways to choose did, over all splits.

    Attributes:
        thresholds: (splits,) that each way chose.
        errors: (N,) each image's count error with each way, summed over the splits in which the
            image was held out.
        cells: (N,) likewise the images' true cells.
    """

    thresholds: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    cells: np.ndarray

    def error(self, way: str) -> float:
        """Relative count error of held-out images."""
        return float(self.errors[way].sum() / self.cells.sum())

    def spread(self, way: str) -> float:
        """Standard deviation of the chosen threshold."""
        return float(self.thresholds[way].std())

    def difference(self, way: str, other: str) -> tuple[float, float, float]:
        """How much more the first errs than the second, and its 95 % interval.

        The interval is a bootstrap over images, each with its mean over the splits: splits share
        images, so that their number says nothing of how sure the difference is.
        """
        more = self.errors[way] - self.errors[other]

        def of(weights: np.ndarray) -> dict[str, float]:
            return {'': float(weights @ more / (weights @ self.cells))}

        drawn = resampled_weights(len(more), 1000)
        return of(np.ones(len(more)))[''], *confidence_intervals(of, drawn)['']


def compare(
    images: Counts,
    number: int,
    splits: int,
    ways: dict[str, Callable[[Counts], float]] = WAYS,
    seed: int = 0,
) -> HeldOut:
    """Choose on some images and err on the others, many times.

    Args:
        images: N of them.
        number: How many to choose on, fewer than N.
        splits: How many times.
        ways: To choose one of :data:`THRESHOLDS`.
        seed: Of the splits.
    """
    rng = np.random.default_rng(seed)
    thresholds = {name: np.zeros(splits) for name in ways}
    errors = {name: np.zeros(len(images.true)) for name in ways}
    cells, of_images = np.zeros(len(images.true)), images.errors
    for k in range(splits):
        order = rng.permutation(len(images.true))
        seen, held_out = images.of(order[:number]), order[number:]
        cells[held_out] += images.true[held_out]
        for name, choose in ways.items():
            thresholds[name][k] = value = choose(seen)
            at = int(np.flatnonzero(value == THRESHOLDS)[0])
            errors[name][held_out] += of_images[held_out, at]
    return HeldOut(thresholds, errors, cells)


def read_counts(run: Path) -> dict[str, Counts]:
    """The parts but test that a run was evaluated on, by name.

    Args:
        run: A run folder, or another that ``make evaluate`` wrote into.

    Raises:
        UserError: There is none.
    """
    from cellkit.files.annotations import GroundTruth
    from tools.runs.predictions import read_predictions

    found = {}
    for part in ('val', 'train'):
        for file in sorted(run.glob(f'predictions/*/{part}.json')):
            predictions = read_predictions(file)
            records = predictions.measure(GroundTruth(predictions.about['annotations']))
            found[f'`{run.name}`, {part}'] = Counts(
                np.array([record.true for record in records]),
                np.stack([count_by_score(record.scores, THRESHOLDS) for record in records]),
                np.stack([pixel_counts(r.table, r.scores, THRESHOLDS) for r in records]),
            )
    if not found:
        raise UserError(f'{run}: has no predictions of val or train; run `make evaluate PART=val`')
    return found


def run(runs: tuple[Path, ...] = (), splits: int = 400) -> str:
    """Compare ways to choose the score threshold on images that nothing was chosen on.

    Args:
        runs: Run folders with predictions of val or train, as `make evaluate PART=val` leaves them.
        splits: How many times to draw images, at least one.
    """
    if splits < 1:
        raise UserError(f'splits: {splits} is below 1; give at least one')
    sets = {name: counts for folder in runs for name, counts in read_counts(folder).items()}
    sets |= {name: simulate(scores, SIMULATED_IMAGES, 0) for name, scores in SIMULATED.items()}
    rows = []
    for name, images in sets.items():
        for number in (n for n in CHOOSE_ON if n <= len(images.true) / 2):
            found = compare(images, number, splits)
            more, low, high = (100 * value for value in found.difference(NEW, OLD))
            shown = [f'{found.error(way):.2%} ± {found.spread(way):.2f}' for way in WAYS]
            shown.insert(2, f'{more:+.2f} ({low:+.2f} to {high:+.2f})')
            rows.append([f'{name} ({len(images.true)} images)', str(number), *shown])
    header = ['images', 'chosen on', *WAYS]
    header.insert(4, 'its difference, 95 %')
    about = f'Held-out count error ± standard deviation of the chosen threshold, {splits} splits'
    return f'{about}.\n\n{markdown_table(header, rows)}'
