"""The newest checkpoint of a run folder that is whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader

NEEDED = ('meta', 'state_dict', 'message_hub', 'optimizer')


class Resumable(NamedTuple):
    """A checkpoint to go on from.

    Attributes:
        file: Where it lies.
        meta: ``epoch``, ``iter``, ``seed`` and more.
    """

    file: Path
    meta: Mapping[str, Any]


def newest_whole(folder: Path | str) -> Resumable | None:
    """The newest checkpoint that training can go on from, None where there is none at all.

    That is the one that ``last_checkpoint`` names, unless a later one, of more steps, lies beside
    it: training may have been killed between the two. What can't be read is told and left out.

    Raises:
        SystemExit: There are checkpoints, and none can be read.
    """
    folder = Path(folder)
    files = [file for file in folder.glob('*.pth') if not file.name.startswith('best_')]
    files.sort(key=lambda file: file.stat().st_mtime_ns, reverse=True)
    named = folder / _named(folder)
    later = files[: files.index(named)] if named in files else files
    damaged: list[Path] = []
    found = None
    for file in dict.fromkeys([*([named] if named in files else []), *later, *files]):
        if found and file not in later:
            break
        if (read := _read(file)) is None:
            damaged.append(file)
        elif found is None or read.meta['iter'] > found.meta['iter']:
            found = read
    bad = ', '.join(map(str, damaged))
    if found is None and damaged:
        raise SystemExit(
            f'{bad}: no checkpoint of the run can be read to go on from; start afresh in another '
            f'folder{_best(folder)}.'
        )
    if damaged:
        print_log(f'{bad} can not be read: going on from {found.file}.', 'current', logging.WARNING)
    return found


def _best(folder: Path) -> str:
    best = next(iter(sorted(folder.glob('best_*.pth'))), None)
    return f', from the best weights with load_from={best}' if best else ''


def _named(folder: Path) -> str:
    """The name in ``last_checkpoint``: it holds a path, and the folder may have moved."""
    try:
        text = (folder / 'last_checkpoint').read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''
    return os.path.basename(text.strip().strip('\0'))


def _read(file: Path) -> Resumable | None:
    try:
        content = CheckpointLoader.load_checkpoint(str(file), 'cpu', 'silent')
        if all(content.get(key) is not None for key in NEEDED):
            return Resumable(file, {'iter': 0, **content['meta']})
    except Exception:  # a damaged pickle may raise anything
        return None
    return None
