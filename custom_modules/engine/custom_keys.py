"""Names in ``paramwise_cfg.custom_keys`` that no parameter of the model has."""

import difflib
from collections.abc import Iterable, Mapping

from cellkit.errors import UserError


def check_custom_keys(paramwise: Mapping | None, parameters: Iterable[str]) -> None:
    """Look for each key among the names of the parameters, of which it must be a part.

    Args:
        paramwise: ``optim_wrapper.paramwise_cfg``.
        parameters: Names of all parameters of the model.

    Raises:
        UserError: A key is part of no name; it is named with the nearest that is.
    """
    names = list(parameters)
    parts = sorted({part for name in names for part in _parts(name)}, key=len)
    for key in (paramwise or {}).get('custom_keys') or {}:
        if not any(key in name for name in names):
            near = difflib.get_close_matches(key, parts, n=1, cutoff=0.0)
            hint = f', the nearest is {near[0]}' if near else ''
            raise UserError(
                f'optim_wrapper.paramwise_cfg.custom_keys.{key}: no parameter of the model has '
                f'this in its name{hint}; correct it or leave it out'
            )


def _parts(name: str) -> list[str]:
    """A name's steps, and its beginnings."""
    steps = name.split('.')
    return [*steps, *('.'.join(steps[:k]) for k in range(2, len(steps)))]
