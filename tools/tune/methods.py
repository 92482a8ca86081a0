"""Samplers and pruners by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, GridSampler, RandomSampler, TPESampler

from cellkit.errors import UserError


class Method(NamedTuple):
    """A sampler or a pruner by name, and arguments of its class."""

    name: str
    arguments: Mapping[str, Any]


class Grid(GridSampler):
    """Optuna's, for trials that are asked for one by one: it ends no loop of Optuna's."""

    def after_trial(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    'grid': Grid,
    'random': RandomSampler,
    'tpe': TPESampler,
    'gp': GPSampler,
}
PRUNERS: dict[str, Callable[..., BasePruner]] = {
    'hyperband': HyperbandPruner,
    'median': MedianPruner,
    'none': NopPruner,
}
GIVEN = {'search_space', 'min_resource', 'max_resource', 'constraints_func', 'gamma', 'weights'}


def read_method(kind: str, given: Any, known: Mapping[str, Callable]) -> Method:
    """A sampler or pruner from its name, or from ``dict(name='tpe', …)`` with arguments.

    Raises:
        UserError: There is none of that name, or it has no such argument.
    """
    arguments = dict(given) if isinstance(given, Mapping) else {'name': given}
    name = arguments.pop('name', None)
    if name not in known:
        raise UserError(f'there is no {kind} {name!r}; name one of {", ".join(known)}')
    takes = set(inspect.signature(known[name]).parameters) - GIVEN
    for argument in arguments:
        if argument not in takes:
            raise UserError(
                f'the {kind} {name} takes no {argument}'
                + (f'; it takes {", ".join(sorted(takes))}' if takes else '')
            )
    return Method(name, arguments)


def build_sampler(method: Method, grid: Mapping[str, list[Any]] | None) -> BaseSampler:
    """The sampler; ``grid`` has the values by parameter, which only a grid needs."""
    if method.name == 'grid':
        return Grid(grid or {}, **method.arguments)
    return SAMPLERS[method.name](**method.arguments)


def build_pruner(method: Method, rungs: int) -> BasePruner:
    """The pruner, for trials of so many validations."""
    if method.name == 'hyperband':
        return HyperbandPruner(min_resource=1, max_resource=max(rungs, 1), **method.arguments)
    return PRUNERS[method.name](**method.arguments)
