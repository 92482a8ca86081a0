"""One interface to the three methods: ``fit(reference)``, ``transform(image)``, states as JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np

from cellkit.stain import colour, density, macenko, papers, reinhard, vahadane
from cellkit.stain.guard import Guard, Quality, compare
from cellkit.stain.limits import Limits
from cellkit.stain.maps import ColourMap
from cellkit.stain.regions import (
    MAX_SAMPLE,
    CannotNormalise,
    Regions,
    find_regions,
    take_sample,
)
from cellkit.stain.states import METHODS, STATES, State

_BACK_OFF = (1.0, 0.75, 0.5, 0.25)  # parts of the strength that the guard tries in turn


@dataclass(frozen=True)
class StainResult:
    """What came of normalising an image.

    Attributes:
        image: The output, with the shape and dtype of the input; the input itself if not applied.
        applied: Whether the image was changed.
        reason: Why not, or why with less strength than wanted; empty if all went as wanted.
        strength: The strength that was applied, 0 if not applied.
        quality: The output against the input on a sample of its pixels; None without a guard.
    """

    image: np.ndarray
    applied: bool
    reason: str = ''
    strength: float = 0.0
    quality: Quality | None = None


class StainNormalizer:
    """Bring the stain of smear images to that of a reference, never at the price of structure.

    Args:
        method: ``"reinhard"``, ``"macenko"`` or ``"vahadane"``.
        strength: 0 (unchanged) to 1 (as far as the limits allow).
        limits: How far a map may go. None is Reinhard or Macenko exactly as the paper has it:
            whole image and white at 255, unlimited. It over-normalises smears.
        guard: What an output must keep; the strength backs off until it does, or the image
            stays as it is. None checks nothing.
        state: Fitted state to start from.

    Raises:
        ValueError: If the method is unknown or the strength outside [0, 1].
    """

    def __init__(
        self,
        method: str,
        strength: float = 1.0,
        limits: Limits | None = Limits(),  # noqa: B008 - frozen
        guard: Guard | None = Guard(),  # noqa: B008 - frozen
        state: State | None = None,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f'stain method {method!r} is unknown: give one of {METHODS}')
        if not 0 <= strength <= 1:
            raise ValueError(f'strength is {strength}: give a number from 0 to 1')
        if method == 'vahadane' and limits is None:
            raise ValueError('vahadane needs limits: its published form is in cellkit.stain.papers')
        if state is not None and not isinstance(state, STATES[method]):
            raise ValueError(f'the state is not one of method {method!r}: fit it anew')
        self.method = method
        self.strength = strength
        self.limits = limits
        self.guard = guard
        self.state = state

    def fit(self, reference: np.ndarray, channel_order: str = 'rgb') -> State:
        """Take the stain of a reference image, and return it.

        Args:
            reference: ``(H, W, 3)`` or ``(H, W, 4)``, uint8, uint16 or float.
            channel_order: ``"rgb"`` or ``"bgr"``.

        Raises:
            CannotNormalise: If the image shows no stained foreground.
        """
        self.state, _ = self._describe(reference, channel_order)
        return self.state

    def transform(self, image: np.ndarray, channel_order: str = 'rgb') -> StainResult:
        """Normalise an image; whatever it is, there is a result and no exception.

        Args:
            image: ``(H, W, 3)``, or ``(H, W, 4)`` whose alpha is kept; uint8, uint16, or float
                with values to 1 or to 255. Anything else comes back unchanged.
            channel_order: ``"rgb"`` or ``"bgr"``.

        Raises:
            RuntimeError: If nothing was fitted.
        """
        if self.state is None:
            raise RuntimeError('the stain normaliser has no reference: call fit() first')
        try:
            source, regions = self._describe(image, channel_order)
            colour_map = self._map(source, regions)
            chosen, result = self._choose(colour_map, regions)
        except CannotNormalise as error:
            return StainResult(image, applied=False, reason=str(error))
        if chosen is None:
            return replace(result, image=image)
        return replace(result, image=apply_map(chosen, image, channel_order))

    def _describe(self, image: np.ndarray, channel_order: str) -> tuple[State, Regions]:
        # Unlimited maps magnify the error of a sample, so the papers' versions take every pixel.
        max_sample = MAX_SAMPLE if self.limits is not None else sys.maxsize
        sample, pixels = rgb_sample(image, channel_order, max_sample)
        regions = find_regions(sample, pixels)
        if self.limits is None:
            regions = papers.regions_as_published(regions, self.method)
        if self.method == 'reinhard':
            return reinhard.fit(regions.stained, regions.white), regions
        stained = colour.optical_density(regions.stained, regions.white)
        counted = stained
        if self.limits is None:  # the papers take the percentiles of all pixels
            counted = colour.optical_density(regions.sample.reshape(-1, 3), regions.white)
        fit = macenko.fit if self.method == 'macenko' else vahadane.fit
        return fit(stained, counted, regions), regions

    def _map(self, source: State, regions: Regions) -> ColourMap:
        if self.method == 'reinhard':
            if self.limits is None:
                return reinhard.paper_map(source, self.state)
            return reinhard.guarded_map(source, self.state, self.limits)
        if self.limits is None:
            return density.paper_map(source, self.state)
        return density.guarded_map(source, self.state, self.limits, regions.typical)

    def _choose(
        self, colour_map: ColourMap, regions: Regions
    ) -> tuple[ColourMap | None, StainResult]:
        """The strongest map that the guard lets pass, and a result that lacks its image."""
        if self.strength == 0:
            return None, StainResult(regions.sample, applied=False, reason='strength is 0')
        if self.guard is None:
            return colour_map.blend(self.strength), StainResult(
                regions.sample, applied=True, strength=self.strength
            )
        for part in _BACK_OFF:
            strength = part * self.strength
            tried = colour_map.blend(strength)
            quality = compare(regions.sample, tried.apply(regions.sample), regions.foreground)
            if self.guard.passes(quality):
                reason = '' if part == 1 else f'the guard took the strength back to {strength:g}'
                return tried, StainResult(regions.sample, True, reason, strength, quality)
        reason = (
            f'the guard refused: SSIM {quality.ssim:.2f}, contrast x{quality.contrast:.2f}, '
            f'entropy x{quality.entropy:.2f} at the least strength'
        )
        return None, StainResult(regions.sample, False, reason, 0.0, quality)


def rgb_sample(
    image: np.ndarray, channel_order: str = 'rgb', max_sample: int = MAX_SAMPLE
) -> tuple[np.ndarray, int]:
    """A regular sample of an image's pixels as ``(h, w, 3)`` uint8 RGB, and how many it has.

    Raises:
        CannotNormalise: If it is no colour image of a known type.
    """
    colours = _colours(image)
    sample = take_sample(colours, max_sample)
    if channel_order == 'bgr':
        sample = np.ascontiguousarray(sample[..., ::-1])
    if sample.dtype != np.uint8:
        sample = np.clip(np.rint(sample * _to_grey_levels(colours)), 0, 255).astype(np.uint8)
    return sample, colours.shape[0] * colours.shape[1]


def apply_map(colour_map: ColourMap, image: np.ndarray, channel_order: str = 'rgb') -> np.ndarray:
    """Map an image of any type that :func:`rgb_sample` takes; shape, dtype and alpha stay."""
    colours = _colours(image)
    if image.dtype == np.uint8:
        mapped = colour_map.apply(colours, channel_order)
    else:
        swap = slice(None, None, -1 if channel_order == 'bgr' else 1)
        scale = _to_grey_levels(colours)
        levels = np.clip(colours[..., swap] * np.float64(scale), 0, 255)
        mapped = np.clip(colour_map.exact(levels), 0, 255)[..., swap] / scale
        mapped = np.rint(mapped) if image.dtype.kind == 'u' else mapped
        mapped = mapped.astype(image.dtype)
    return mapped if image.shape[2] == 3 else np.dstack([mapped, image[..., 3:]])


def _colours(image: np.ndarray) -> np.ndarray:
    """The three colour channels of an image.

    Raises:
        CannotNormalise: If it is no colour image of a known type.
    """
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or image.size == 0:
        raise CannotNormalise('not an image')
    if image.ndim == 2 or image.shape[2] == 1:
        raise CannotNormalise('the image is grey-scale')
    if image.shape[2] not in (3, 4):
        raise CannotNormalise(f'{image.shape[2]} channels are no colour image')
    colours = image[..., :3]
    if image.dtype.kind == 'f':
        if not np.isfinite(colours).all():
            raise CannotNormalise('the image has values that are no numbers')
    elif image.dtype not in (np.uint8, np.uint16):
        raise CannotNormalise(f'pixels of type {image.dtype}')
    return colours


def _to_grey_levels(colours: np.ndarray) -> float:
    """Factor from pixel values to 0..255."""
    if colours.dtype == np.uint8:
        return 1.0
    if colours.dtype == np.uint16:
        return 255 / 65535
    return 255.0 if colours.max() <= 1 else 1.0
