"""How large the cells of a data set are: what a model that learned from it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class CellScale(NamedTuple):
    """Typical cells of training images.

    Attributes:
        diameter: Median diameter of the disc of a cell's area, pixels, of cells that no border
            cuts, in the images of the most common size.
        width: Of such an image, pixels.
        height: Of such an image, pixels.
        diameter_um: Median diameter in micrometres, where the images' pixel sizes are known.
    """

    diameter: float
    width: int
    height: int
    diameter_um: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a training image, pixels."""
        return self.height, self.width

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> CellScale:
        """From :meth:`as_dict`."""
        return cls(**found)


def cell_scale_of(content: Mapping[str, Any]) -> CellScale | None:
    """The cells of a COCO data set; None where no cell lies inside its image.

    Images may have ``pixel_size_um``, micrometres a pixel.
    """
    images = {image['id']: image for image in content['images']}
    diameters: dict[tuple[int, int], list[float]] = {}
    in_um: list[float] = []
    for cell in content['annotations']:
        image = images[cell['image_id']]
        x, y, width, height = cell['bbox']
        size = image['width'], image['height']
        inside = x > 0 and y > 0 and x + width < size[0] and y + height < size[1]
        if cell.get('iscrowd') or not inside:
            continue
        diameter = float(np.sqrt(4 * cell['area'] / np.pi))
        diameters.setdefault(size, []).append(diameter)
        if pixel_size := image.get('pixel_size_um'):
            in_um.append(diameter * pixel_size)
    often = Counter((image['width'], image['height']) for image in images.values())
    known = [size for size, _ in often.most_common() if size in diameters]
    if not known:
        return None
    (width, height), um = known[0], float(np.median(in_um)) if in_um else None
    diameter = float(np.median(diameters[known[0]]))
    return CellScale(round(diameter, 2), width, height, um and round(um, 4))
