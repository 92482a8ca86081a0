"""What a class or a function reads: its parameters, and the keys that it looks up by name."""

import dis
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from numbers import Number
from typing import Any, NamedTuple

from mmengine.hooks import CheckpointHook, EMAHook
from torch import nn

NUMBER, TEXT, LIST = 'a number', 'text', 'a list'
KINDS = {bool: 'True or False', int: NUMBER, float: NUMBER, str: TEXT, bytes: TEXT}

# What MMEngine takes besides what it says.
ALSO = {'loss_scale': {NUMBER, 'a dict'}}

# Constructors that keep whatever else they get for a call that takes none of it: the save of a
# checkpoint fails on it an epoch in. Or hand it to a class that is asked too.
NOTHING_ELSE = (CheckpointHook, EMAHook)


class Accepted(NamedTuple):
    """What a dict of the config may hold: the names, and whether others can be read as well."""

    names: set[str]
    any_other: bool = False


def _instructions(function: Any) -> list[dis.Instruction]:
    code = getattr(inspect.unwrap(function), '__code__', None)
    return list(dis.get_instructions(code)) if code else []


def _looked_up(instructions: list[dis.Instruction], k: int) -> str | None:
    """The key that is taken from what instruction ``k`` loads: ``x.get('key')``, ``x['key']``."""
    window = instructions[k + 1 : k + 4]
    if window and window[0].argval in ('get', 'pop', 'setdefault'):
        window = window[1:]
    elif len(window) < 2 or window[1].opname != 'BINARY_SUBSCR':
        return None
    key = next((i.argval for i in window if i.opname == 'LOAD_CONST'), None)
    return key if isinstance(key, str) else None


def _of_keywords(function: Any, name: str) -> tuple[set[str], bool]:
    """Keys that a function takes from its ``**name``, and whether it uses it in another way."""
    instructions = _instructions(function)
    loads = [
        k for k, i in enumerate(instructions) if i.opname.startswith('LOAD') and i.argval == name
    ]
    keys = [_looked_up(instructions, k) for k in loads]
    return {key for key in keys if key}, None in keys or not instructions


def accepted_by(target: Any) -> Accepted:
    """Parameters that a class or a function takes.

    ``**kwargs`` of a constructor is followed along the method resolution order, as
    ``super().__init__(**kwargs)`` would pass them on, if the constructor uses it at all.
    """
    constructors = [target]
    if inspect.isclass(target):  # the last one is object
        constructors = [vars(c)['__init__'] for c in target.__mro__[:-1] if '__init__' in vars(c)]
    names: set[str] = set()
    for constructor in constructors:
        if constructor is nn.Module.__init__:  # takes anything, and then raises
            return Accepted(names)
        try:
            parameters = inspect.signature(constructor).parameters.values()
        except ValueError:  # written in C
            return Accepted(names, True)
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        names |= {p.name for p in named} - {'self'}
        rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        if rest is None:
            return Accepted(names)
        keys, used = _of_keywords(constructor, rest)
        names |= keys
        if not used:
            return Accepted(names)
    return Accepted(names, bool(constructors) and target not in NOTHING_ELSE)


def _methods(target: type) -> Iterator[Any]:
    """The functions of a class that run: a parent's only where the child's calls it."""
    done: set[str] = set()
    for parent in target.__mro__[:-1]:
        for name, function in vars(parent).items():
            if name in done or not inspect.isfunction(function):
                continue
            yield function
            if 'super' not in inspect.unwrap(function).__code__.co_names:
                done.add(name)


@cache
def keys_taken_from(target: type, attribute: str) -> frozenset[str]:
    """Keys that the methods of a class take from ``self.attribute``, a dict."""
    found = set()
    for function in _methods(target):
        instructions = _instructions(function)
        for k, instruction in enumerate(instructions):
            if instruction.opname == 'LOAD_ATTR' and instruction.argval == attribute:
                found.add(_looked_up(instructions, k))
    return frozenset(key for key in found if key)


def kind_of(value: Any) -> str | None:
    """True or False, a number, text, a list or a dict; None for anything else."""
    if isinstance(value, Mapping):
        return 'a dict'
    if isinstance(value, (list, tuple)):
        return LIST
    return KINDS.get(type(value))


def _kinds(annotation: Any) -> set[str] | None:
    """Kinds that an annotation allows, None if it may be any."""
    if annotation is None or annotation is type(None):
        return set()
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        parts = [_kinds(part) for part in typing.get_args(annotation)]
        return None if None in parts else set().union(*parts)
    if origin is typing.Literal:
        return {kind for value in typing.get_args(annotation) if (kind := kind_of(value))}
    plain = origin or annotation
    if not inspect.isclass(plain) or plain is object:
        return None
    if plain in KINDS:
        return {KINDS[plain]}
    if issubclass(plain, Number):  # mmpretrain's way to say it
        return {NUMBER}
    if issubclass(plain, Mapping):
        return {'a dict'}
    if plain in (list, tuple) or issubclass(Sequence, plain):
        return {LIST}
    return None if issubclass(plain, types.FunctionType) else {plain.__name__}


@cache
def kinds_taken(target: Any, name: str) -> frozenset[str] | None:
    """Kinds of value that a parameter takes by its annotation, None if it does not say."""
    constructors = [target]
    if inspect.isclass(target):
        constructors = [vars(c)['__init__'] for c in target.__mro__[:-1] if '__init__' in vars(c)]
    for constructor in constructors:
        try:
            parameters = inspect.signature(constructor).parameters
        except ValueError:
            return None
        if name not in parameters:
            continue
        annotation = parameters[name].annotation
        if annotation is inspect.Parameter.empty:
            return None
        try:
            if isinstance(annotation, str):
                annotation = eval(annotation, dict(inspect.unwrap(constructor).__globals__))
            kinds = _kinds(annotation)
        except (NameError, TypeError, AttributeError, SyntaxError):
            return None
        return frozenset(kinds | ALSO.get(name, set())) if kinds else None
    return None
