"""Empty parts are told, and none with a cell passes for one."""

import cv2
import numpy as np
import pytest

from cellkit.plain import is_plain
from cellkit.smears.looks import LOOKS
from cellkit.smears.smear import draw_smear


@pytest.mark.parametrize('colour', [(250, 248, 251), (0, 0, 0), (230, 200, 215)])
@pytest.mark.parametrize('noise', [0, 4])
def test_empty(colour: tuple, noise: float) -> None:
    rng = np.random.default_rng(0)
    picture = np.full((300, 400, 3), colour) + rng.normal(0, noise, (300, 400, 3))
    assert is_plain(picture.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (2, 90)])
def test_small(size: tuple) -> None:
    assert is_plain(np.full((*size, 3), 255, np.uint8))


@pytest.mark.parametrize('look', sorted(LOOKS))
@pytest.mark.parametrize('scale', [0.12, 0.5])
def test_a_part_with_a_cell_is_not(look: str, scale: float) -> None:
    """A single cell of a smear of each look, also one of a dozen pixels, on its own background."""
    picture, label_map = draw_smear(
        np.random.default_rng(5), (240, 320), cells=25, look=look, scale=scale
    )
    assert label_map.max() >= 5
    background = np.median(picture[label_map == 0], axis=0).astype(np.uint8)
    for label in range(1, min(label_map.max(), 12) + 1):
        cell = cv2.dilate((label_map == label).astype(np.uint8), np.ones((3, 3)))
        if np.count_nonzero(label_map == label) >= 30:
            alone = np.where(cell[..., None] > 0, picture, background)
            assert not is_plain(alone)
