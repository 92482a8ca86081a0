"""Macenko's stain vectors against known stains and torchstain."""

from __future__ import annotations

import numpy as np
import pytest

from cellkit.stain import macenko
from tests.cellkit.stain.slides import STAINS, angles, foreground_density, tissue

# torchstain 1.4.1, MacenkoNormalizer(backend="torch").fit() on `tissue(seed=0)`:
# tests/cellkit/stain/peer_values.py prints it.
TORCHSTAIN = np.array([[0.57113, 0.20219], [0.71418, 0.79981], [0.40466, 0.56517]])


@pytest.mark.parametrize('seed', range(3))
def test_macenko_recovers_known_stains_and_agrees_with_torchstain(seed: int) -> None:
    density = foreground_density(tissue(STAINS, seed))
    found = macenko.stain_matrix(density)
    assert max(angles(found, STAINS)) < 2
    assert max(angles(TORCHSTAIN, STAINS)) < 2
    assert max(angles(found, TORCHSTAIN)) < 2
