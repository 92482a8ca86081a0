"""Changes of a config's settings, as the command line or a notebook gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from cellkit.errors import UserError
from custom_modules.engine.config_check import find_unread_settings
from custom_modules.engine.override_values import read_overrides

Overrides = Mapping[str, Any] | Sequence[str]
"""Values by dotted key, or ``KEY=VALUE`` texts as after ``--cfg-options``."""


def parse_overrides(overrides: Overrides) -> dict[str, Any]:
    """Values by dotted key, texts read as :func:`read_overrides` reads them.

    Raises:
        UserError: A text has no equals sign, or a bracket is not closed.
    """
    return dict(overrides) if isinstance(overrides, Mapping) else read_overrides(overrides)


def merge_overrides(config: Config, overrides: Overrides) -> None:
    """Change a config in place, whether anything reads the settings or not.

    Raises:
        UserError: A setting can't be changed.
    """
    try:
        config.merge_from_dict(parse_overrides(overrides))
    except (KeyError, TypeError, AssertionError) as error:
        raise UserError(f"a setting can't be changed: {error}") from error


def apply_overrides(config: Config, overrides: Overrides) -> None:
    """Change a config in place.

    Raises:
        UserError: A setting can't be changed, nothing would read it, or its value is of the wrong
            kind.
    """
    before = config.to_dict()
    merge_overrides(config, overrides)
    if problems := find_unread_settings(before, config.to_dict()):
        raise UserError('; '.join(problems))
