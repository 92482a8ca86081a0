"""One run of a recipe: trained, scored on validation, and once on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import ROOT
from benchmarks.recipes.recipes import RECIPES, Recipe
from benchmarks.training import keep_settings, steps_of, train_run
from cellkit.errors import UserError
from cellkit.files.prepared import annotation_file
from cellkit.files.writing import sha256_of, sha256_of_settings

CONFIGS = ROOT / 'configs'
CHECKPOINTS = 4
"""In a run, to go on from."""

READ = (
    'model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'test_dataloader',
    'custom_hooks', 'tta_model', 'tta_pipeline',
)  # fmt: skip
"""What the figures hang on in a config; where data lie is left out."""


class Opened(NamedTuple):
    """A recipe that can be trained.

    Attributes:
        name: Its own.
        recipe: It.
        config: Its config file.
        overrides: All of them.
        steps: Of training.
        settings: What tells its runs from others, for JSON.
    """

    name: str
    recipe: Recipe
    config: Path
    overrides: dict[str, Any]
    steps: int
    settings: dict[str, Any]


def opened(name: str, recipe: Recipe, steps: int) -> Opened | None:
    """A recipe with what all runs share; None where its config is not there.

    Raises:
        UserError: Its config can't be used.
    """
    from mmengine.config import Config  # late: it takes seconds

    from custom_modules.engine.linked_settings import follow
    from tools.runs.overrides import merge_overrides

    config = CONFIGS / recipe.config
    if not config.is_file():
        return None
    content = Config.fromfile(config)
    steps_of(content, config)
    overrides = {
        **recipe.overrides,
        'train_cfg.max_iters': steps,
        # One validation, after the last step: the checkpoint that it marks is the last one.
        'train_cfg.val_interval': steps,
        'default_hooks.checkpoint.interval': max(steps // CHECKPOINTS, 1),
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    }
    merge_overrides(content, overrides)
    follow(Config.fromfile(config), content)
    found = content.to_dict()
    start = found.get('load_from')
    if start and not (ROOT / start).is_file():
        raise UserError(f'{start}, from which {name} starts, is not there: `git checkout -- box`')
    settings = {
        'steps': steps,
        'config': config.stem,
        'config_sha256': sha256_of_settings(_without_places({key: found.get(key) for key in READ})),
        'start_sha256': start and sha256_of(ROOT / start),
    }
    return Opened(name, recipe, config, overrides, steps, settings)


def _without_places(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {k: _without_places(v) for k, v in content.items() if k != 'data_root'}
    if isinstance(content, (list, tuple)):
        return [_without_places(item) for item in content]
    return content


def folder_of(name: str, seed: int, out: Path) -> Path:
    """Where a recipe's run lies: its own, or that of the recipe that it tests otherwise."""
    return out / f'{RECIPES[name].tested or name}_seed{seed}'


def measure(this: Opened, seed: int, root: Path, out: Path, test: bool) -> bool:
    """Leave an evaluation on validation in the run's folder; whether it was not there before.

    Args:
        this: The recipe.
        seed: Of training.
        root: The prepared data set.
        out: Where the run folders lie.
        test: Whether to score the test part too.

    Raises:
        UserError: Training failed, or the folder holds a run with other settings.
    """
    from tools.evaluate import evaluate
    from tools.runs.run import Run
    from tools.tune.changed import write_changed

    folder = folder_of(this.name, seed, out)
    if this.recipe.tested:
        if not (folder / f'iter_{this.steps}.pth').is_file():
            raise UserError(
                f'{folder}: {this.name} scores the runs of {this.recipe.tested}, and this one is '
                f'not trained yet: measure {this.recipe.tested}:{seed} first'
            )
    else:
        settings = this.settings | {
            'recipe': this.name,
            'seed': seed,
            'train_sha256': sha256_of(annotation_file(root, 'train')),
            'val_sha256': sha256_of(annotation_file(root, 'val')),
        }
        keep_settings(folder, settings)
        if not (folder / f'iter_{this.steps}.pth').is_file():
            config = folder / 'written' / f'{folder.name}.py'
            head = f'Recipe {this.name}, seed {seed}; written by benchmarks/recipes.\n\n'
            head += f'  make train CONFIG={config}'
            overrides = this.overrides | {'randomness.seed': seed}
            write_changed(this.config, overrides, config, head)
            train_run(config, folder, root)
    parts = ['val', 'test'] if test else ['val']
    run = Run(folder)
    left = [part for part in parts if not run.evaluation_file(part, this.recipe.tta).is_file()]
    for part in left:
        evaluate(folder, part, data=root, tta=this.recipe.tta)
    return bool(left)
