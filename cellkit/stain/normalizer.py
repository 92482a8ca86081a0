"""One interface to all methods: ``fit(reference)``, ``transform(image)``."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from cellkit.stain import pixels
from cellkit.stain.guard import Guard, Quality, compare
from cellkit.stain.limits import Limits
from cellkit.stain.maps import ColourMap
from cellkit.stain.methods import State, find_method
from cellkit.stain.regions import CannotNormalise, Regions, as_published, find_regions

_BACK_OFF = (1.0, 0.75, 0.5, 0.25)  # parts of the strength that the guard tries in turn


@dataclass(frozen=True)
class StainResult:
    """What came of normalising an image."""

    image: np.ndarray  # shape and dtype as the input; the input itself if not applied
    applied: bool
    reason: str = ''  # why not, or why with less strength than wanted
    strength: float = 0.0  # what was applied
    quality: Quality | None = None  # against a sample of the input's pixels; None without a guard


class StainNormalizer:
    """Bring the stain of smear images to that of a reference, never at the price of structure.

    Images are ``(H, W, 3)``, or ``(H, W, 4)`` whose alpha is kept; uint8, uint16, or float with
    values to 1 or to 255; their channels ``"rgb"`` or ``"bgr"``.

    Args:
        method: ``"reinhard"``, ``"macenko"`` or ``"vahadane"``.
        strength: 0 (unchanged) to 1 (as far as the limits allow).
        limits: How far a map may go. None is the method exactly as the paper has it: whole image
            and white at 255, unlimited. It over-normalises smears.
        guard: What an output must keep; the strength backs off until it does, or the image
            stays as it is. None checks nothing.
        state: Fitted state to start from.

    Raises:
        ValueError: The method is unknown, the strength outside [0, 1] or the state another's.
    """

    def __init__(
        self,
        method: str,
        strength: float = 1.0,
        limits: Limits | None = Limits(),  # noqa: B008 - frozen
        guard: Guard | None = Guard(),  # noqa: B008 - frozen
        state: State | None = None,
    ) -> None:
        self._method = find_method(method)
        if not 0 <= strength <= 1:
            raise ValueError(f'strength is {strength}: give a number from 0 to 1')
        if state is not None and not isinstance(state, self._method.state):
            raise ValueError(f'the state is not one of method {method!r}: fit it anew')
        self.method, self.strength = method, strength
        self.limits, self.guard = limits, guard
        self.state = state

    def fit(self, reference: np.ndarray, channel_order: str = 'rgb') -> State:
        """Take the stain of a reference image, and return it; raises CannotNormalise."""
        self.state = self._method.fit(self._regions(reference, channel_order))
        return self.state

    def transform(self, image: np.ndarray, channel_order: str = 'rgb') -> StainResult:
        """Normalise an image; what can't be normalised comes back unchanged, with the reason.

        A RuntimeError if nothing was fitted.
        """
        if self.state is None:
            raise RuntimeError('the stain normaliser has no reference: call fit() first')
        try:
            regions = self._regions(image, channel_order)
            colour_map = self._map(regions)
        except CannotNormalise as error:
            return StainResult(image, applied=False, reason=str(error))
        if self.strength == 0:
            return StainResult(image, applied=False, reason='strength is 0')
        quality = None
        for part in _BACK_OFF:
            strength = part * self.strength
            tried = colour_map.blend(strength)
            if self.guard is not None:
                quality = compare(regions.sample, tried.apply(regions.sample), regions.foreground)
            if self.guard is None or self.guard.passes(quality):
                reason = '' if part == 1 else f'the guard took the strength back to {strength:g}'
                mapped = pixels.apply_map(tried, image, channel_order)
                return StainResult(mapped, True, reason, strength, quality)
        reason = (
            f'the guard refused: SSIM {quality.ssim:.2f}, contrast x{quality.contrast:.2f}, '
            f'entropy x{quality.entropy:.2f} at the least strength'
        )
        return StainResult(image, False, reason, 0.0, quality)

    def _regions(self, image: np.ndarray, channel_order: str) -> Regions:
        # Unlimited maps magnify the error of a sample, so the papers' versions take every pixel.
        if self.limits is None:
            regions = find_regions(*pixels.rgb_sample(image, channel_order, sys.maxsize))
            return as_published(regions, self._method.counted(regions.sample))
        return find_regions(*pixels.rgb_sample(image, channel_order, pixels.MAX_SAMPLE))

    def _map(self, regions: Regions) -> ColourMap:
        source = self._method.fit(regions)
        if self.limits is None:
            return self._method.published_map(source, self.state)
        return self._method.guarded_map(source, self.state, self.limits, regions)
