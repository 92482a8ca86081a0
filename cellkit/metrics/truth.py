"""The true cells of one image, as the metrics take them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cellkit.rle import decode_to_label_map


@dataclass
class TrueImage:
    """The true cells of one image.

    Attributes:
        file_name: As the annotation file gives it.
        size: (H, W) in pixels.
        rles: T COCO RLE dicts.
        boxes: (T, 4) float64, x, y, width, height in pixels.
        areas: (T,) float64, pixels.
        white: Value of the file that is read as white; None where 8 bits or a tag tell it.
    """

    file_name: str
    size: tuple[int, int]
    rles: list[dict] = field(default_factory=list)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    areas: np.ndarray = field(default_factory=lambda: np.zeros(0))
    white: float | None = None

    def label_map(self) -> np.ndarray:
        """(H, W) int32, k + 1 where cell k lies, 0 elsewhere."""
        return decode_to_label_map(self.rles, size=self.size)
