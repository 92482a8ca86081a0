"""Reinhard: match the moments of CIELAB.

Reinhard, Ashikhmin, Gooch, Shirley: Color transfer between images. IEEE Computer Graphics and
Applications 21(5), 2001, 34-41, with CIELAB for the paper's l-alpha-beta, as everyone does on
stained slides:

    lab' = (lab - mean_image) * std_reference / std_image + mean_reference

The paper's moments are those of the whole image (:func:`published_map`). On a smear the mean is
then a matter of how many cells there are, and the scale of how grey the background is.
:func:`guarded_map` takes the moments of the foreground, keeps the contrast of L* and returns the
background to the reference's white.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cellkit.stain import colour
from cellkit.stain.limits import Limits
from cellkit.stain.maps import LabMap
from cellkit.stain.regions import CannotNormalise, Regions

_MIN_STD = 1e-3  # of a CIELAB channel: one colour only


@dataclass(frozen=True)
class ReinhardState:
    """Moments of an image in CIELAB, ``(3,)`` each."""

    mean: np.ndarray  # of L*, a*, b*
    std: np.ndarray  # standard deviations
    white: np.ndarray  # background, grey levels of R, G, B


def fit(regions: Regions) -> ReinhardState:
    """Moments of the foreground; CannotNormalise if it has one colour only."""
    lab = colour.rgb_to_lab(regions.stained)
    mean, std = (moment.ravel() for moment in cv2.meanStdDev(lab[:, None]))
    if std.max() < _MIN_STD:
        raise CannotNormalise('the foreground has one colour only')
    return ReinhardState(mean, std, regions.white)


def counted(sample: np.ndarray) -> np.ndarray:
    """The paper's pixels of ``(h, w, 3)``: all of them."""
    return np.ones(sample.shape[:2], bool)


def published_map(source: ReinhardState, reference: ReinhardState) -> LabMap:
    """The formula of the paper; nothing limits the scale."""
    scale = reference.std / np.maximum(source.std, _MIN_STD)
    return LabMap(np.diag(scale), reference.mean - scale * source.mean)


def guarded_map(
    source: ReinhardState, reference: ReinhardState, limits: Limits, regions: Regions
) -> LabMap:
    """Foreground to the reference's foreground, background to its white, within limits.

    L* is scaled about the background so that contrast changes by a limited factor. For a* and b*
    the foreground's mean meets the reference's and the deviations take Reinhard's scale; a term
    in L* then brings the background to white, which a scale alone can't do:

        a' = mean_reference + scale (a - mean_image) + shear (L - mean_L)

    The moments say all: ``regions`` is for the methods that need a look at the pixels again.
    """
    white_in = colour.rgb_to_lab(source.white)
    white_out = colour.rgb_to_lab(limits.white_point(source.white, reference.white))
    depth = white_in[0] - source.mean[0]
    if depth <= 0:
        raise CannotNormalise('the foreground is brighter than the background')
    wanted = colour.rgb_to_lab(reference.white)[0] - reference.mean[0]
    scale = reference.std / np.maximum(source.std, _MIN_STD)
    matrix = np.diag(np.clip(scale, 1 / limits.stretch, limits.stretch))
    matrix[0, 0] = limits.clip_contrast(wanted / depth)
    for channel in (1, 2):
        tint = source.mean[channel] - white_in[channel]
        at_white = white_out[channel] + matrix[channel, channel] * tint
        shear = (at_white - reference.mean[channel]) / depth
        matrix[channel, 0] = np.clip(shear, -limits.shear, limits.shear)
    return LabMap(matrix, white_out - matrix @ white_in)
