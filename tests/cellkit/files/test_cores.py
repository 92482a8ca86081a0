"""How many cores a process may use."""

import os
from pathlib import Path

import pytest

from cellkit.files import cores
from cellkit.files.cores import usable_cores


@pytest.fixture
def quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cores, 'QUOTA', tmp_path / 'cpu.max')
    return cores.QUOTA


def test_usable_cores_follow_the_affinity(quota: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {3, 5, 7}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, 'sched_getaffinity')
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    assert usable_cores() == 1


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('max 100000', 8), ('150000 100000', 2), ('1000 100000', 1), ('1600000 100000', 8), ('', 8)],
)
def test_a_containers_share_bounds_them(
    quota: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: int
) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(8)), raising=False)
    quota.write_text(text)
    assert usable_cores() == expected
