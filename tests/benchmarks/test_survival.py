"""Runs that are killed at random moments and resumed come to what an undisturbed one comes to."""

from pathlib import Path

import pytest

from benchmarks.survival import INTERVAL, KINDS, outcomes


@pytest.mark.slow
def test_killed_runs_come_to_the_same_to_the_bit(tmp_path: Path) -> None:
    """``python -m benchmarks survival`` does it 25 times."""
    for kind in KINDS[1:3]:
        folder = tmp_path / kind.replace(' ', '_')
        folder.mkdir()
        (outcome,) = outcomes(folder, runs=1, kinds=[kind])
        assert outcome.same
        assert max(outcome.lost) <= INTERVAL
