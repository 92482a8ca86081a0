"""Finds overrides of another kind than the value that they replace: text for a number and so on."""

from collections.abc import Iterator, Mapping
from typing import Any

from custom_modules.engine.config_check.readers import readers_of
from custom_modules.engine.config_check.signatures import NUMBER, TEXT, kind_of, kinds_taken

# Kinds that are never meant for one another where no annotation says so.
APART = {TEXT, NUMBER, 'True or False'}


def _said(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _problem(path: str, key: str, before: Any, after: Any, parent: Mapping) -> str | None:
    was, now = kind_of(before), kind_of(after)
    if now is None or now == was or key == 'type':  # names of types are checked elsewhere
        return None
    takes = None
    for target in readers_of(path, parent):
        takes = kinds_taken(target, key)
        if takes is not None:
            break
    if takes is None:
        apart = (was in APART and now in APART) or (was == TEXT and now == 'a list')
        takes = {was} if apart else None
    if takes is None or now in takes:
        return None
    wanted = ' or '.join(sorted({*takes, *([was] if was else [])}))
    name = f'{path}.{key}' if path else key
    hint = ''
    if takes == {TEXT} and now == NUMBER:
        hint = f""", so write {name}="'{after}'\""""
    return f'`{name}={_said(after)}` is {now} where {wanted} is wanted{hint}'


def _pairs(before: Any, after: Any) -> Iterator[tuple[Any, Any, Any]]:
    if isinstance(after, Mapping):
        was = before if isinstance(before, Mapping) else {}
        yield from ((key, was.get(key), value) for key, value in after.items())
    elif isinstance(after, (list, tuple)) and isinstance(before, (list, tuple)):
        yield from ((k, *pair) for k, pair in enumerate(zip(before, after, strict=False)))


def find_other_kinds(written: Mapping, merged: Mapping, path: str = '') -> Iterator[str]:
    """One phrase for each override of a kind that its reader does not take.

    A parameter's annotation says what it takes; where there is none, the value that is replaced.
    None replaces anything, and a number any number.
    """
    for key, before, after in _pairs(written, merged):
        if before is after or (type(before) is type(after) and before == after):
            continue
        below = f'{path}.{key}' if path else str(key)
        if isinstance(merged, Mapping) and (
            problem := _problem(path, str(key), before, after, merged)
        ):
            yield problem
        else:
            yield from find_other_kinds(before, after, below)
