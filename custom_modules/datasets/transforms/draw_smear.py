"""A synthetic smear in the place of a loaded one."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS

from custom_modules.datasets.synthetic_smears import SyntheticSmears

FIELDS = 1 << 31


@TRANSFORMS.register_module()
class DrawSmear(BaseTransform):
    """Draws a field of a synthetic smear and forgets what was loaded.

    Taken by ``RandomChoice`` now and then in the place of loading and cropping, it keeps a model
    that knows synthetic smears from forgetting them over a few images of one's own (rehearsal:
    Robins, Connection Science 7, 1995).

    Added keys: those of :meth:`SyntheticSmears.get_data_info`.

    Args:
        **kwargs: As for :class:`SyntheticSmears`: ``size``, ``scale``, ``ratio_range``, ``look``,
            ``joined``.
    """

    def __init__(self, **kwargs) -> None:
        self.smears = SyntheticSmears(length=FIELDS, **kwargs)

    @cache_randomness
    def _draw(self) -> int:
        return np.random.randint(FIELDS)  # noqa: NPY002

    def transform(self, results: dict) -> dict:
        """A field with at least one cell."""
        return self.smears[self._draw()]
