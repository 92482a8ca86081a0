"""Whether a space can be searched, told before the first trial."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from optuna.distributions import CategoricalDistribution

from cellkit.errors import UserError
from cellkit.files.program import quiet
from cellkit.files.writing import sha256_of
from tools.runs.config_file import beside
from tools.runs.overrides import apply_overrides
from tools.runs.predictions import annotations_of, part_dataset
from tools.tune.space import Space, candidates

SECONDS = 'seconds_per_image'


def read_config(space: Space) -> Config:
    """The config that a space changes.

    Raises:
        UserError: It isn't there or can't be read.
    """
    if not space.config.is_file():
        raise UserError(f'{space.file}: there is no config {space.config}{beside(space.config)}')
    try:
        with quiet():
            return Config.fromfile(space.config)
    except Exception as error:  # a config is a program
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{space.config}: can't be read as a config ({reason})") from error


def check_settings(space: Space, config: Config) -> None:
    """Whether the config's readers read every setting of a space.

    Raises:
        UserError: Nothing reads a setting, or it can't be changed.
    """
    if space.objective == SECONDS:
        raise UserError(
            f'{space.file}: {SECONDS} is known when a run ends; put another value first'
        )
    for settings in candidates(space):
        changed = copy.deepcopy(config)
        try:
            apply_overrides(changed, settings)
        except UserError as error:
            raise UserError(f'{space.file}: {error}') from error
        validations(changed)


def data_fingerprint(config: Config) -> str:
    """SHA-256 of the annotations that trials are validated on.

    Raises:
        UserError: They aren't there.
    """
    return sha256_of(annotations_of(part_dataset(config, 'val')))


def validations(config: Config) -> int:
    """How many validations a run has, which are the rungs of its trial.

    Raises:
        UserError: It has none.
    """
    loop = config.get('train_cfg') or {}
    length, interval = loop.get('max_iters') or loop.get('max_epochs'), loop.get('val_interval', 1)
    if not length or not config.get('val_dataloader') or interval > length:
        raise UserError(
            f'{config.filename}: its runs are never validated; set train_cfg.val_interval below '
            'their length'
        )
    return math.ceil(length / interval)


def own_parameters(space: Space, config: Config) -> dict[str, Any] | None:
    """The parameters that leave the config as it is; None where the space has none such."""
    result = {}
    base = copy.deepcopy(config)
    base.merge_from_dict(dict(space.fixed))
    before = base.to_dict()
    for parameter in space.parameters:
        drawn = parameter.distribution
        if isinstance(drawn, CategoricalDistribution):
            tried = list(drawn.choices)
        else:
            tried = [value_at(before, parameter.keys[0])]
            if not isinstance(tried[0], (int, float)) or not drawn._contains(tried[0]):
                return None
        for value in tried:
            changed = copy.deepcopy(base)
            changed.merge_from_dict(parameter.overrides(value))
            if changed.to_dict() == before:
                result[parameter.name] = value
                break
        else:
            return None
    return result


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """What stands at a dotted key; None where nothing does."""
    found: Any = config
    for step in key.split('.'):
        try:
            found = found[int(step)] if isinstance(found, (list, tuple)) else found[step]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return found


def save_best(space: Space) -> dict[str, Any]:
    """Settings that have a run keep the checkpoint which the search judges it by."""
    return {
        'default_hooks.checkpoint.save_best': space.objective,
        'default_hooks.checkpoint.rule': 'greater' if space.maximize else 'less',
    }


def folder_name(space: Path) -> str:
    """What a study is called by default."""
    return f'{space.parent.name}_repeat' if space.name == 'repeat.py' else space.stem
