"""Seeded split of image groups by their names alone, whatever the file order or the machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain

TOLERANCE = 0.02


def split_groups(
    groups: Sequence[Sequence[str]], fraction: float, seed: int
) -> tuple[list[str], list[str]]:
    """Split names into two sides, a group never torn apart.

    Groups are taken in the order of SHA-256 of the seed and their first name; each goes to the
    second side if that brings its size nearer to the wanted one, and, so that a large group doesn't
    spoil it, not beyond it by more than 2 % of all names.

    Args:
        groups: Names that must stay together; names are unique over all groups.
        fraction: Wanted share of the second side, between 0 and 1.
        seed: Another seed gives another split.

    Returns:
        The names of the first and of the second side, sorted. Where there are two groups or more,
        neither side is empty.
    """

    def key(group: list[str]) -> str:
        return hashlib.sha256(f'{seed}:{group[0]}'.encode()).hexdigest()

    ordered = sorted(map(sorted, groups), key=key)
    total = sum(len(group) for group in ordered)
    wanted = fraction * total
    first, second, taken = [], [], 0
    for group in ordered:
        beyond = taken + len(group) - wanted
        if abs(beyond) < abs(taken - wanted) and beyond <= max(0.5, TOLERANCE * total):
            second.append(group)
            taken += len(group)
        else:
            first.append(group)
    for empty, full in ((first, second), (second, first)):
        if not empty and len(full) > 1:
            empty.append(full.pop(full.index(min(full, key=len))))
    return sorted(chain.from_iterable(first)), sorted(chain.from_iterable(second))
