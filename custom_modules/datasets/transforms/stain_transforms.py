"""Stain normalisation and stain jitter as pipeline steps; put them right after loading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS
from mmengine.logging import MMLogger

from cellkit.errors import BadSetting
from cellkit.files.pictures import read_picture
from cellkit.files.stain_states import load_state
from cellkit.stain import Guard, Limits, StainNormalizer, StainResult
from cellkit.stain.jitter import jitter


class _StainTransform(BaseTransform):
    """Writes a :class:`~cellkit.stain.StainResult` into the results."""

    _told = False

    def __init__(self, channel_order: str) -> None:
        if channel_order not in ('rgb', 'bgr'):
            raise BadSetting(f"channel_order is {channel_order!r}: give 'rgb' or 'bgr'")
        self.channel_order = channel_order

    def _store(self, results: dict, result: StainResult) -> dict:
        results['img'] = result.image
        results['stain'] = dict(
            applied=result.applied, reason=result.reason, strength=result.strength
        )
        if not result.applied and result.reason != 'strength is 0' and not self._told:
            self._told = True
            MMLogger.get_current_instance().warning(
                f'{type(self).__name__} left {results.get("img_path", "an image")} as it is: '
                f'{result.reason} (said once; each image carries its own in results["stain"])'
            )
        return results


@TRANSFORMS.register_module()
class StainNormalize(_StainTransform):
    """Bring the stain of an image to that of a reference, see :mod:`cellkit.stain`.

    Required keys: ``img``. Modified: ``img``. Added: ``stain``, a dict with ``applied``,
    ``reason`` and ``strength``. An image that can't be normalised passes unchanged.

    Args:
        method: ``'reinhard'``, ``'macenko'`` or ``'vahadane'``.
        reference: JSON file of ``python -m data_prep.stain_reference``, or an image.
        strength: 0 (unchanged) to 1.
        limits: Arguments of :class:`cellkit.stain.Limits`.
        guard: Arguments of :class:`cellkit.stain.Guard`; None switches the guard off.
        channel_order: ``'bgr'``, as images are loaded, or ``'rgb'``.

    Raises:
        UserError: If the reference can't be read.
        ValueError: If it shows no stain or an argument is out of range.
    """

    def __init__(
        self,
        method: str,
        reference: str,
        strength: float = 1.0,
        limits: dict | None = None,
        guard: dict | None = {},  # noqa: B006 - only read
        channel_order: str = 'bgr',
    ) -> None:
        super().__init__(channel_order)
        self.reference = str(reference)
        try:
            self.normalizer = StainNormalizer(
                method,
                strength=strength,
                limits=Limits(**(limits or {})),
                guard=None if guard is None else Guard(**guard),
            )
        except ValueError as error:
            raise BadSetting(f'StainNormalize: {error}') from error
        if Path(reference).suffix.lower() == '.json':
            self.normalizer.state = load_state(reference, method)
        else:
            self.normalizer.fit(read_picture(Path(reference)).pixels, 'bgr')

    def transform(self, results: dict) -> dict:
        """Normalise ``results['img']``."""
        return self._store(results, self.normalizer.transform(results['img'], self.channel_order))

    def __repr__(self) -> str:
        n = self.normalizer
        return (
            f'{type(self).__name__}(method={n.method!r}, reference={self.reference!r}, '
            f'strength={n.strength}, limits={n.limits}, guard={n.guard}, '
            f'channel_order={self.channel_order!r})'
        )


@TRANSFORMS.register_module()
class StainJitter(_StainTransform):
    """Perturb the concentrations of azure, eosin and the rest, see :mod:`cellkit.stain.jitter`.

    Required keys: ``img``. Modified: ``img``. Added: ``stain``. The numbers come from numpy's
    global generator, which MMEngine seeds in every data loader worker.

    Args:
        prob: Probability of a change.
        scale: Largest relative change of a concentration, one number or one for each stain.
        shift: Largest change of a stain's optical density everywhere, background included.
        channel_order: ``'bgr'``, as images are loaded, or ``'rgb'``.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        prob: float = 0.5,
        scale: float | Sequence[float] = 0.2,
        shift: float | Sequence[float] = 0.02,
        channel_order: str = 'bgr',
    ) -> None:
        super().__init__(channel_order)
        if not 0 <= prob <= 1:
            raise BadSetting(f'StainJitter.prob is {prob}: give a number from 0 to 1')
        self.prob = prob
        self.scale = np.broadcast_to(np.asarray(scale, np.float64), 3)
        self.shift = np.broadcast_to(np.asarray(shift, np.float64), 3)
        if self.scale.min() < 0 or self.scale.max() >= 1 or self.shift.min() < 0:
            raise BadSetting('StainJitter wants 0 <= scale < 1 and shift >= 0')

    @cache_randomness
    def _draw(self) -> tuple[bool, np.ndarray, np.ndarray]:
        scale, shift = np.random.uniform(-1, 1, (2, 3))  # noqa: NPY002 - seeded in workers
        return np.random.random() < self.prob, scale * self.scale, shift * self.shift  # noqa: NPY002

    def transform(self, results: dict) -> dict:
        """Perturb ``results['img']``."""
        chosen, scale, shift = self._draw()
        if not chosen:
            return results
        return self._store(results, jitter(results['img'], scale, shift, self.channel_order))

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, scale={self.scale.tolist()}, '
            f'shift={self.shift.tolist()}, channel_order={self.channel_order!r})'
        )
