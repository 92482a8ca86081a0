"""Which recipe helps? The small CPU model trained by each, for the same number of steps."""

from __future__ import annotations

from pathlib import Path

from benchmarks.recipes.measuring import measure, opened
from benchmarks.recipes.page import results
from benchmarks.recipes.recipes import RECIPES, Recipe
from cellkit.errors import UserError
from cellkit.files.prepared import data_root as named_data_root
from cellkit.files.writing import write_between_marks

STEPS = 300


def run(
    data_root: Path | None = None,
    seeds: int = 1,
    only: str | None = None,
    steps: int = STEPS,
    out: Path = Path('work_dirs/recipes'),
    test: int = 0,
    write: Path | None = None,
) -> str:
    """Train the small model by every recipe, score on validation, write the table.

    All start from the model in the box but for 'scratch', and make the same number of steps;
    the last checkpoint counts. The score threshold is chosen on validation. Called again, it
    goes on where it stopped; a recipe whose config is not there is passed over.

    Args:
        data_root: Prepared data set; that of DATA_ROOT by default.
        seeds: Runs of each recipe, with seeds 0, 1 …; the first of all recipes come first.
        only: Names of recipes, such as 'baseline' or 'ema:2 scratch' (:2 is one seed); all when
            None.
        steps: Of every run.
        out: Folder of the runs.
        test: 1 scores what is trained on the test part too: once, at the end.
        write: Page that takes the table of what is stored; nothing is trained then.
    """
    if write is not None:
        if only:
            raise UserError('--write takes all runs that are stored; leave out --only')
        text = results(out)
        write_between_marks(write, text, 'recipes')
        return text
    root = (data_root or named_data_root()).resolve()
    if steps < 1:
        raise UserError(f'--steps {steps} is below 1; give at least one')
    if test not in (0, 1):
        raise UserError(f'--test {test}: write 1 for the test part too, or leave it out')
    todo = select(only, seeds)
    recipes = {name: opened(name, RECIPES[name], steps) for name, _ in todo}
    try:
        for number, (name, seed) in enumerate(todo, 1):
            new = measure(recipes[name], seed, root, out, bool(test)) if recipes[name] else None
            state = {True: 'done', False: 'as it is stored', None: 'has no config yet'}[new]
            print(f'{number} of {len(todo)}: {name}, seed {seed}: {state}', flush=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt('stopped; the same command goes on from there') from None
    return results(out)


def select(only: str | None, seeds: int) -> list[tuple[str, int]]:
    """Names and seeds to measure; a recipe that scores another one's runs comes after that.

    Raises:
        UserError: It names what is no recipe or no seed.
    """
    if seeds < 1:
        raise UserError(f'--seeds {seeds} is below 1; give at least one')
    found: set[tuple[int, str]] = set()
    for text in (only or ' '.join(RECIPES)).replace(',', ' ').split():
        name, _, seed = text.partition(':')
        if name not in RECIPES:
            raise UserError(f'--only {text}: there is no such recipe; use {", ".join(RECIPES)}')
        if seed and not seed.isdecimal():
            raise UserError(f'--only {text}: a seed is a number, as in {name}:0')
        found |= {(int(seed), name)} if seed else {(k, name) for k in range(seeds)}
    order = list(RECIPES)
    return [
        (name, k) for k, name in sorted(found, key=lambda item: (item[0], order.index(item[1])))
    ]


__all__ = ['RECIPES', 'Recipe', 'run', 'select']
