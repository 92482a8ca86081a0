"""``run.json``: what it takes to do a run again."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from cellkit.files.writing import read_object, write_json

NAME = 'run.json'
PACKAGES = (
    'torch', 'torchvision', 'numpy', 'onedl-mmcv', 'onedl-mmengine', 'onedl-mmdetection',
    'onedl-mmpretrain', 'albumentations', 'opencv-python',
)  # fmt: skip
ROOT = Path(__file__).parents[2]


def write_record(runner: Runner, resumed_from: str | None) -> None:
    """Add this start to the run folder's ``run.json``; a fresh run begins a new one."""
    file = Path(runner.work_dir) / NAME
    before = read_object(file).get('starts', []) if resumed_from else []
    start = dict(
        at=datetime.now().astimezone().isoformat(timespec='seconds'),
        resumed_from=resumed_from,
        iteration=runner.iter,
        seed=runner.seed,
        command=sys.argv,
        host=socket.gethostname(),
        device=get_device(),
        processes=get_world_size(),
        versions=versions(),
        git=git_state(),
        data=data_of(runner.train_dataloader.dataset),
    )
    write_json(file, dict(seed=runner.seed, starts=[*before, start]), indent=1)


def versions() -> dict[str, str | None]:
    """Of Python and the packages that training rests on."""
    found: dict[str, str | None] = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def git_state(root: Path = ROOT) -> dict[str, Any] | None:
    """Commit of the code and the files that differ from it; None outside a repository."""
    commit = _git(root, 'rev-parse', 'HEAD')
    if commit is None:
        return None
    changed = _git(root, 'status', '--porcelain', '--untracked-files=no') or ''
    return dict(commit=commit.strip(), changed=[line[3:] for line in changed.splitlines()])


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(['git', '-C', str(root), *words], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def data_of(dataset: Any) -> dict[str, Any]:
    """What tells one training set from another.

    Returns:
        Number of images, SHA-256 of the annotations and one over names and sizes of the images,
        as far as the data set has them.
    """
    about: dict[str, Any] = dict(images=len(dataset))
    if digest := getattr(dataset, 'metainfo', {}).get('annotations_sha256'):
        about['annotations_sha256'] = digest
    files = hashlib.sha256()
    for k in range(len(dataset) if hasattr(dataset, 'get_data_info') else 0):
        path = dataset.get_data_info(k).get('img_path')
        if path is None or not os.path.isfile(path):
            return about
        files.update(f'{os.path.basename(path)} {os.path.getsize(path)}\n'.encode())
    about['files_sha256'] = files.hexdigest()
    return about
