"""Changes of a config's settings, as the command line or a notebook gives them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config, DictAction

from cellkit.errors import UserError
from custom_modules.engine.config_check import find_unread_settings

Overrides = Mapping[str, Any] | Sequence[str]
"""Values by dotted key, or ``KEY=VALUE`` texts as after ``--cfg-options``."""


def parse_overrides(overrides: Overrides) -> dict[str, Any]:
    """Values by dotted key, texts read as MMEngine's command lines read them.

    Raises:
        UserError: A text has no equals sign.
    """
    if isinstance(overrides, Mapping):
        return dict(overrides)
    if bad := [text for text in overrides if '=' not in text]:
        raise UserError(f'the setting {bad[0]} has no value; write KEY=VALUE')
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='*', action=DictAction, default={})
    found = parser.parse_args(['--options', *overrides]).options
    for key, _, text in (text.partition('=') for text in overrides):
        if ' ' in text and isinstance(found[key], str):
            found[key] = text  # MMEngine takes the blanks out
    return found


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
        UserError: A setting can't be changed, or nothing would read it.
    """
    before = config.to_dict()
    merge_overrides(config, overrides)
    if problems := find_unread_settings(before, config.to_dict()):
        raise UserError('; '.join(problems))
