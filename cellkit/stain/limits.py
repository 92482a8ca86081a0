"""How far a guarded map may go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellkit.stain import colour


@dataclass(frozen=True)
class Limits:
    """Largest changes that a guarded map makes: factors of at least 1, and ``shear``."""

    contrast: float = 1.15  # of luminance, between cells and background
    white: float = 1.15  # of the background's luminance
    stretch: float = 1.5  # of any direction of the colour space (the map's singular values)
    shear: float = 0.8  # most a* or b* that one unit of L* may bring (Reinhard)

    def __post_init__(self) -> None:
        for name in ('contrast', 'white', 'stretch'):
            if getattr(self, name) < 1:
                raise ValueError(f'Limits.{name} is {getattr(self, name)}: give a factor >= 1')
        if self.shear < 0:
            raise ValueError(f'Limits.shear is {self.shear}: give a number >= 0')

    def clip_contrast(self, ratio: float) -> float:
        """A factor, brought into the allowed range of contrast."""
        return float(np.clip(ratio, 1 / self.contrast, self.contrast))

    def white_point(self, source: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """The reference's white point ``(3,)`` at a luminance that is allowed for the source's,
        grey levels, at most 255."""
        wanted = colour.luminance(reference) / colour.luminance(source)
        gain = float(np.clip(wanted, 1 / self.white, self.white))
        return np.minimum(np.asarray(reference) * (gain / wanted), 255.0)
