"""What benchmarks that train share: runs that go on where they stopped, and end with us."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT
from cellkit.errors import UserError
from cellkit.files.writing import read_object, write_json
from tools.runs import child

SETTINGS = 'settings.json'
"""What a run folder's run is made with, written before it begins."""

POINT = 'point.json'
"""What was measured of a run, written last; tables and plots are made of these files alone."""


def train_run(config: Path, folder: Path, data_root: Path) -> None:
    """Train a run, or go on with it, in a process of its own that ends with this one.

    Args:
        config: Config file.
        folder: Of the run.
        data_root: Prepared data set.

    Raises:
        UserError: It failed.
    """
    command = [sys.executable, '-m', 'tools.train', config.resolve(), '--with-starter']
    command += ['--work-dir', folder.resolve()]
    if (folder / 'last_checkpoint').is_file():  # else --resume would leave out load_from
        command.append('--resume')
    environment = {**os.environ, 'DATA_ROOT': str(data_root.resolve())}
    if child.run(command, ROOT, environment):
        raise UserError(f'{folder}: training failed, see above; the same command goes on')


def keep_settings(folder: Path, settings: Mapping[str, Any], done: str | None = None) -> bool:
    """Write what a folder's run is made with; whether it is done.

    Args:
        folder: Of the run.
        settings: For JSON.
        done: A file beside, written last, that repeats them; none when None.

    Raises:
        UserError: The folder holds a run with other settings.
    """
    finished = read_object(folder / done) if done else {}
    before = finished or read_object(folder / SETTINGS) or settings
    if other := [key for key, value in settings.items() if before.get(key) != value]:
        raise UserError(
            f'{folder} holds a run with another {other[0]}: remove it or give another --out'
        )
    if not finished:
        write_json(folder / SETTINGS, settings, indent=1)
    return bool(finished)


def steps_of(content: Mapping[str, Any], config: Path) -> int:
    """How many steps a config trains.

    Raises:
        UserError: It trains in epochs.
    """
    steps = (content.get('train_cfg') or {}).get('max_iters')
    if steps is None:
        raise UserError(
            f'{config} trains in epochs, so that fewer images would be fewer steps; name a config '
            'that trains in steps'
        )
    return steps


def stretched(schedule: list[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
    """A schedule in steps over so many times as many of them."""
    found = []
    for part in copy.deepcopy(schedule):
        for key in {'begin', 'end', 'T_max'} & part.keys():
            part[key] = round(part[key] * factor)
        if 'milestones' in part:
            part['milestones'] = [round(step * factor) for step in part['milestones']]
        if 'end' in part:
            part['end'] = max(part['end'], part.get('begin', 0) + 2)  # MMEngine's shortest
        found.append(part)
    return found
