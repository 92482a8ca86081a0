"""The methods by name, and what each is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cellkit.stain import density, macenko, reinhard, vahadane
from cellkit.stain.density import DensityState
from cellkit.stain.limits import Limits
from cellkit.stain.maps import ColourMap
from cellkit.stain.regions import Regions
from cellkit.stain.reinhard import ReinhardState

State = ReinhardState | DensityState


@dataclass(frozen=True)
class Method:
    """A method of stain normalisation."""

    state: type[State]
    fit: Callable[[Regions], State]  # raises CannotNormalise
    counted: Callable[[np.ndarray], np.ndarray]  # sample to (h, w) bool, what the paper counts
    published_map: Callable[[State, State], ColourMap]  # of image and reference, the paper's
    guarded_map: Callable[[State, State, Limits, Regions], ColourMap]  # within limits


_BY_NAME = {
    'reinhard': Method(
        ReinhardState, reinhard.fit, reinhard.counted, reinhard.published_map, reinhard.guarded_map
    ),
    'macenko': Method(
        DensityState, macenko.fit, density.counted, density.published_map, density.guarded_map
    ),
    'vahadane': Method(
        DensityState, vahadane.fit, density.counted, vahadane.SparseMap, density.guarded_map
    ),
}
METHODS: tuple[str, ...] = tuple(_BY_NAME)


def find_method(name: str) -> Method:
    """The method of a name; a ValueError if there is none."""
    if name not in _BY_NAME:
        raise ValueError(f'stain method {name!r} is unknown: give one of {METHODS}')
    return _BY_NAME[name]
