"""A small data set in the downloaded layout, drawn in a blink."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

SIZE = (96, 128)
"""Height and width of the images, pixels."""


def draw_pair(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """An image ``(H, W, 3)`` and a mask ``(H, W)`` of 0 and 255 with three discs, uint8."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    for x in (20, 60, 100):
        y = int(rng.integers(15, size[0] - 15))
        cv2.circle(mask, (x, y), int(rng.integers(7, 13)), 255, -1)
    blobs = cv2.GaussianBlur(rng.normal(0, 300, size).astype(np.float32), (0, 0), 3)
    grey = np.clip(190 - 0.3 * mask + blobs, 0, 255).astype(np.uint8)
    return cv2.merge([grey, grey, np.minimum(grey, 254) + 1]), mask


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., Path]:
    """Write ``train`` and ``test`` pairs ``a00``, ``a01``, … and ``b00``, …; returns the folder."""

    def make(train: int = 4, test: int = 2, name: str = 'smears') -> Path:
        data = tmp_path / name
        for part, letter, count, seed in (('train', 'a', train, 0), ('test', 'b', test, 1000)):
            for k in range(count):
                image, mask = draw_pair(seed + k)
                save(data / part / 'original' / f'{letter}{k:02d}.png', image)
                save(data / part / 'mask' / f'{letter}{k:02d}.png', cv2.merge([mask] * 3))
        return data

    return make
