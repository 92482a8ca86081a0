"""Stain normalisation and augmentation of blood smears: plain numpy and OpenCV.

>>> normalizer = StainNormalizer("macenko")
>>> state = normalizer.fit(reference_rgb)
>>> result = normalizer.transform(image_rgb)
>>> result.image, result.applied, result.reason

:mod:`cellkit.files.stain_states` keeps states in files.
"""

from cellkit.stain.guard import Guard, Quality
from cellkit.stain.limits import Limits
from cellkit.stain.methods import METHODS, State
from cellkit.stain.normalizer import StainNormalizer, StainResult
from cellkit.stain.regions import CannotNormalise

__all__ = [
    'METHODS',
    'CannotNormalise',
    'Guard',
    'Limits',
    'Quality',
    'StainNormalizer',
    'StainResult',
    'State',
]
