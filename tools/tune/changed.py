"""A config as a file of its own: what it inherits, and the differences only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from cellkit.files.writing import write_whole
from custom_modules.engine.linked_settings import follow
from tools.runs.overrides import merge_overrides


def write_changed(base: Path, overrides: Mapping[str, Any], file: Path, head: str) -> None:
    """Write a config that inherits another and differs from it by some settings.

    Settings that are linked to those follow them: a shorter training has a shorter schedule.

    Where differences can't be inherited, the whole config is written.

    Args:
        base: The config file that is changed.
        overrides: Values by dotted key.
        file: What is written.
        head: Comment lines, without their ``#``.

    Raises:
        UserError: A setting can't be changed.
    """
    written, plain, merged = (_read(base) for _ in range(3))
    merge_overrides(merged, overrides)
    follow(written, merged)  # as on the command line
    follow(written, plain)  # what is filled in without any override needs no line
    comment = ''.join(f'# {line}'.rstrip() + '\n' for line in head.splitlines())
    inherits = os.path.relpath(base, file.parent).replace(os.sep, '/')
    changes = difference(plain.to_dict(), merged.to_dict())
    body = Config(changes).pretty_text if changes else ''
    write_whole(file, f'{comment}_base_ = {inherits!r}\n{body}')
    found = _read(file)
    follow(written, found)
    if found.to_dict() != merged.to_dict():
        write_whole(file, comment + merged.pretty_text)


def _read(file: Path) -> Config:
    return Config.fromfile(file, import_custom_modules=False)


def difference(written: Mapping[str, Any], merged: Mapping[str, Any]) -> dict[str, Any]:
    """What a config must say that inherits the first and is to be the second."""
    result = {}
    for key, value in merged.items():
        if key in written and written[key] == value:
            continue
        before = written.get(key)
        if not isinstance(value, Mapping):
            result[key] = value
        elif isinstance(before, Mapping) and set(before) <= set(value):
            result[key] = difference(before, value)
        else:
            result[key] = {**value, '_delete_': True} if key in written else dict(value)
    return result
