"""A prepared data set that the stain programs may write a reference into."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def writable_data(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that the stain reference may be written to."""
    root = tmp_path_factory.mktemp('table') / 'bccd'
    shutil.copytree(tiny_data, root)
    return root
