"""The tables of the recipes' runs that are stored."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

from benchmarks.recipes.recipes import BASELINE, RECIPES
from tools.results.ablation import ablation
from tools.runs.run import Run

PARTS = ('val', 'test')


def results(out: Path) -> str:
    """Tables of what is stored, and what one must know to read them; test where it was scored."""
    found = {part: {name: stored(name, part, out) for name in RECIPES} for part in PARTS}
    bar = partial(tqdm, desc='comparing', unit='recipe', leave=False, disable=None)
    texts = [ablation(found['val'], BASELINE, 'val', bar)]
    if any(found['test'].values()):
        texts.append(ablation(found['test'], BASELINE, 'test', bar, alone=False))
    note = (
        'Written by `python -m benchmarks recipes --write docs/results.md`. The last checkpoint '
        'counts; the score threshold is chosen on validation.'
    )
    return '\n\n'.join([*texts, note])


def stored(name: str, part: str, out: Path) -> list[Path]:
    """Folders of a recipe's evaluations, by seed."""
    recipe = RECIPES[name]
    folders = out.glob(f'{recipe.tested or name}_seed*')
    runs = sorted((folder for folder in folders if folder.is_dir()), key=_seed)
    files = [Run(folder).evaluation_file(part, recipe.tta) for folder in runs]
    return [file.parent for file in files if file.is_file()]


def _seed(folder: Path) -> int:
    return int(folder.name.rpartition('seed')[2])
