"""A folder is one run's: which ones are taken, and a lock while training writes into one."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cellkit.errors import UserError
from cellkit.files.writing import read_object

LOCK = '.training'
BEAT = 15.0  # seconds between signs of life, for programs on other machines
SILENT = 60.0  # seconds without one after which a process elsewhere is taken for dead


def is_taken(folder: Path) -> bool:
    """Whether a run has written a checkpoint or losses into a folder, or is at work in it."""
    if any(folder.glob('*.pth')) or holder(folder) is not None:
        return True
    return any(_has_loss(file) for file in folder.glob('*/vis_data/scalars.json'))


def _has_loss(file: Path) -> bool:
    with file.open('rb') as lines:
        return any(b'"loss"' in line for line in lines)


def family(folder: Path) -> list[Path]:
    """A folder and those beside it that :func:`free_folder` made of its name, in this order."""
    pattern = re.compile(rf'{re.escape(folder.name)}_(\d+)')
    found = [(0, folder)] if folder.is_dir() else []
    for other in folder.parent.glob('*') if folder.parent.is_dir() else ():
        if other.is_dir() and (match := pattern.fullmatch(other.name)):
            found.append((int(match[1]), other))
    return [path for _, path in sorted(found)]


def free_folder(folder: Path) -> Path:
    """The folder itself if no run has it, else the first free one of NAME_2, NAME_3 …"""
    number, found = 1, folder
    while is_taken(found):
        number += 1
        found = folder.with_name(f'{folder.name}_{number}')
    return found


def newest_of(folder: Path) -> Path:
    """The one of a folder's family that training wrote into last; itself where none did."""
    taken = [path for path in family(folder) if is_taken(path)]
    return max(taken, key=_written, default=folder)


def _written(folder: Path) -> int:
    files = [*folder.glob('*.pth'), *folder.glob('*/vis_data/scalars.json')]
    return max((file.stat().st_mtime_ns for file in files), default=0)


def holder(folder: Path) -> str | None:
    """Who trains in a folder, in words; None where nobody does, or has died."""
    file = folder / LOCK
    try:
        age = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return None
    about = read_object(file)
    pid, host = about.get('pid'), about.get('host')
    if not isinstance(pid, int):
        return 'another program' if age < SILENT else None
    if host == socket.gethostname():
        try:
            alive = abs(psutil.Process(pid).create_time() - about.get('began', 0)) < 1
        except psutil.Error:
            alive = False
    else:
        alive = age < SILENT
    return f'process {pid} on {host}' if alive else None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other programs from training in a folder.

    One that died elsewhere is waited for until it has been silent for long enough.

    Raises:
        UserError: Another one trains in it.
    """
    file = folder / LOCK
    about = dict(pid=os.getpid(), host=socket.gethostname(), began=psutil.Process().create_time())
    deadline = time.monotonic() + SILENT + BEAT
    while not _create(file, json.dumps(about)):
        who = holder(folder)
        if who is None:
            file.unlink(missing_ok=True)
        elif who.endswith(f' on {about["host"]}') or time.monotonic() > deadline:
            raise UserError(
                f'{folder}: {who} trains in it; wait for its end, or name another folder '
                f'(WORK_DIR=… or --work-dir)'
            )
        else:
            time.sleep(1)
    done = threading.Event()
    threading.Thread(target=_beat, args=(file, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        file.unlink(missing_ok=True)


def _create(file: Path, text: str) -> bool:
    """Whether there was none: written beside and linked, so that nobody sees half of it."""
    part = file.with_name(f'{file.name}.{os.getpid()}')
    part.write_text(text, encoding='utf-8')
    try:
        os.link(part, file)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def _beat(file: Path, done: threading.Event) -> None:
    while not done.wait(BEAT):
        try:
            os.utime(file)
        except OSError:
            return
