"""The values of ``KEY=VALUE`` texts: one reading for make, mim and Python."""

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.config import DictAction

from cellkit.errors import UserError

WORDS = {
    'true': True, 'yes': True, 'on': True, 'false': False, 'no': False, 'off': False,
    'none': None, 'null': None, '~': None,
}  # fmt: skip
BRACKETS = {'(': ')', '[': ']', '{': '}'}


def read_value(text: str) -> Any:
    """The value that a text stands for.

    Numbers and quoted texts are read as Python reads them; ``true``, ``yes``, ``on``, ``false``,
    ``no``, ``off``, ``none`` and ``null`` in any case are what they say; brackets make lists,
    tuples and dicts, whose texts need no quotation marks. Anything else is the text as it is,
    blanks and commas included.

    Raises:
        UserError: A bracket is not closed.
    """
    stripped = text.strip()
    if stripped.lower() in WORDS:
        return WORDS[stripped.lower()]
    try:
        return ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    if stripped[:1] in BRACKETS and stripped[:1] != '{':
        if not stripped.endswith(BRACKETS[stripped[0]]):
            raise UserError(f'{text}: the bracket is not closed; write {BRACKETS[stripped[0]]}')
        items = [read_value(item) for item in _items(stripped[1:-1])]
        return tuple(items) if stripped[0] == '(' else items
    return text


def _items(text: str) -> list[str]:
    """What stands between the commas that stand in no bracket or quotation marks."""
    found, depth, quote, start = [], 0, '', 0
    for k, letter in enumerate(text):
        if quote:
            quote = '' if letter == quote else quote
        elif letter in '"\'':
            quote = letter
        elif letter in BRACKETS:
            depth += 1
        elif letter in BRACKETS.values():
            depth -= 1
        elif letter == ',' and not depth:
            found.append(text[start:k])
            start = k + 1
    found.append(text[start:])
    if not found[-1].strip():  # a comma may end a list, and a list may be empty
        found.pop()
    return [item.strip() for item in found]


def read_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Values by dotted key.

    Raises:
        UserError: A text has no equals sign, or a bracket is not closed.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition('=')
        if not equals:
            raise UserError(f'the setting {text} has no value; write KEY=VALUE')
        found[key.strip()] = read_value(value)
    return found


def read_otherwise(arguments: Sequence[str]) -> dict[str, Any]:
    """What a command line of MMDetection's scripts has that MMEngine reads in another way.

    MMEngine takes blanks out, makes lists at commas, and does not know ``off``.
    """
    texts: list[str] = []
    inside = False
    for argument in arguments:
        if argument.startswith('--'):
            inside = argument == '--cfg-options'
        elif inside and '=' in argument:
            texts.append(argument)
    theirs = {}
    for text in texts:
        key, _, value = text.partition('=')
        try:
            theirs[key] = DictAction._parse_iterable(value)
        except (AssertionError, SyntaxError):
            theirs[key] = value
    ours = read_overrides(texts)
    if '--work-dir' in arguments:  # it comes after the others, and wins
        ours.pop('work_dir', None)
    return {key: value for key, value in ours.items() if repr(value) != repr(theirs.get(key))}
