"""Finds settings that nothing would ever read.

MMEngine merges any ``--cfg-options`` key into the config, so that a misspelt one is silently
ignored. Here every key that is not in the config file as written must be something that can be
read: a parameter of the class it configures, or one of the few settings that are looked up by name.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from custom_modules.engine.config_check.readers import (
    EVERYWHERE,
    TOP_LEVEL,
    accepted_at,
    is_free,
    types_at,
)


def _nearest(word: str, words: set[str], cutoff: float = 0.6) -> str | None:
    found = difflib.get_close_matches(word, sorted(words), n=1, cutoff=cutoff)
    return found[0] if found else None


def _join(*parts: Any) -> str:
    return '.'.join(str(part) for part in parts if part != '')


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """Keys and values of a dict, indices and values of a list, nothing of anything else."""
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def _leaves(value: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """All dotted paths of a config and what stands there, dicts and lists included."""
    if path:
        yield path, value
    for key, item in _items(value):
        yield from _leaves(item, _join(path, key))


def _common_ending(one: str, other: str) -> int:
    """Number of last steps that two dotted paths share."""
    pairs = zip(reversed(one.split('.')), reversed(other.split('.')), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _suggestion(path: str, key: str, rest: str, names: set[str], config: Mapping) -> str:
    """Names the nearest real key: beside the wrong one, else anywhere in the config."""
    if near := _nearest(key, names - EVERYWHERE) or _nearest(key, EVERYWHERE, 0.75):
        return f'the nearest is `{_join(path, near, rest)}`'
    typed = _join(path, key, rest)
    live = {name: value for name, value in config.items() if name in TOP_LEVEL}
    everywhere = [leaf for leaf, _ in _leaves(live) if not typed.startswith(leaf)]
    alike = max((_common_ending(typed, leaf) for leaf in everywhere), default=0)
    if alike:  # the right name in the wrong place
        places = [leaf for leaf in everywhere if _common_ending(typed, leaf) == alike]
        return f'it exists as {" and ".join(f"`{place}`" for place in places[:3])}'
    if near := _nearest(typed, set(everywhere), 0.75):
        return f'the nearest is `{near}`'
    known = sorted(names - EVERYWHERE)
    return f'known there: {", ".join(known[:12])}{", …" if len(known) > 12 else ""}'


def _first_leaf(value: Any) -> str:
    """The rest of the dotted key that was typed: the path to the first leaf of a new dict."""
    path = ''
    while isinstance(value, Mapping) and value:
        key, value = next(iter(value.items()))
        path = _join(path, key)
    return path


def _unread(written: Any, merged: Any, path: str, roots: tuple[Mapping, Mapping]) -> Iterator[str]:
    if not isinstance(merged, Mapping):
        before = dict(_items(written))
        for index, item in _items(merged):
            yield from _unread(before.get(index), item, _join(path, index), roots)
        return
    whole = not isinstance(written, Mapping)
    before = {} if whole else written
    retyped = bool(path) and 'type' in merged and merged['type'] != before.get('type')
    if retyped and merged['type'] not in (known := types_at(path)):
        # Inside a file a name like no other may be known to a part alone.
        near = _nearest(str(merged['type']), known, 0.8 if whole else 0.0)
        if near is None:
            return
        yield f'`{path}.type`: nothing is called {merged["type"]}, the nearest is `{near}`'
        return
    added = set(merged) if retyped else set(merged) - set(before)
    accepted = accepted_at(path, merged, roots[1]) if added else None
    for key, value in merged.items():
        if key in added:
            if accepted is None:  # a dict that nothing is known about: keys must have been there
                names, free = EVERYWHERE.union(before), whole or is_free(path)
            else:
                names = accepted.names
                free = accepted.any_other and _nearest(key, names, 0.8) is None
            fresh_hook = path == 'default_hooks' and isinstance(value, Mapping) and 'type' in value
            if key not in names and not free and not fresh_hook:
                rest = _first_leaf(value)
                names = names.union(before if path else ())
                hint = _suggestion(path, key, rest, names, roots[0])
                yield f'nothing reads `{_join(path, key, rest)}`, {hint}'
                continue
        yield from _unread(before.get(key), value, _join(path, key), roots)


def _used_up(written: Mapping, merged: Mapping) -> Iterator[str]:
    """Overrides of names that only serve inside the config file, such as ``max_iters``."""
    for name in sorted(set(written) - TOP_LEVEL):
        if merged.get(name) != written[name]:
            yield used_up_problem(name, written)


def used_up_problem(name: str, written: Mapping) -> str:
    """What to tell of a variable that the config file has already used: what to set instead."""
    value = written[name]
    live = {key: value for key, value in written.items() if key in TOP_LEVEL}
    used = [path for path, leaf in _leaves(live) if type(leaf) is type(value) and leaf == value]
    if not used and isinstance(value, (list, tuple)):  # a list whose items went into another one
        used = [path for path, leaf in _leaves(live) if value and leaf == value[0]]
    instead = [f'`{path}`' for path in used[:3]]
    if name == 'data_root':
        instead.append('the environment variable DATA_ROOT')
    hint = f': set {" or ".join(instead)} instead' if instead else ''
    return f'`{name}` only serves inside the config file and is already used there{hint}'


def unread_name(name: str, value: Any, config: Mapping) -> str:
    """What to tell of a top-level name that nothing reads."""
    rest = _first_leaf(value)
    hint = _suggestion('', name, rest, TOP_LEVEL, config)
    return f'nothing reads `{_join(name, rest)}`, {hint}'


def nearest_setting(name: str) -> str | None:
    """The top-level setting that a name is nearly, if it is."""
    return _nearest(name, TOP_LEVEL, 0.9)


def find_unread_overrides(written: Mapping, merged: Mapping) -> list[str]:
    """One phrase for each setting that is not in the config as written and that nothing reads.

    It names the key and the nearest real one. ``merged`` is ``written`` after the overrides.
    """
    return [*_unread(written, merged, '', (written, merged)), *_used_up(written, merged)]


def find_unread_inside(config: Mapping) -> list[str]:
    """The same of all that stands below a config's top-level settings, as its file has them."""
    live = [key for key in config if key in TOP_LEVEL]
    found = [_unread(None, config[key], key, (config, config)) for key in live]
    return [problem for problems in found for problem in problems]
