"""Names of files as text that a table, JSON and a terminal can hold, and safe names for results."""

from __future__ import annotations

import re
import unicodedata

_HEX = re.compile(r'\\(?:\\|x([0-9A-F]{2})|u([0-9A-F]{4}))')
_ODD = frozenset({'Cc', 'Cs', 'Zl', 'Zp'})  # controls, bytes that are no text, line separators

_DEVICES = {'CON', 'PRN', 'AUX', 'NUL', 'CONIN$', 'CONOUT$'} | {
    f'{port}{number}' for port in ('COM', 'LPT') for number in '0123456789¹²³'
}
_MOST_BYTES = 200  # of 255, since what is written adds suffixes


def shown(name: object) -> str:
    r"""A name or path as text; :func:`original` is its inverse.

    A byte that is no UTF-8 becomes ``\xE9``, a control character or line separator ``\u000A``, and
    a backslash two. All other characters stay, odd blanks such as U+3000 too.
    """
    return ''.join(_escaped(c) for c in str(name))


def is_text(name: str) -> bool:
    """Whether a table and JSON can hold a name as it is; odd blanks are text."""
    return not any(unicodedata.category(c) in _ODD for c in name)


def _escaped(character: str) -> str:
    if character == '\\':
        return '\\\\'
    if is_text(character):
        return character
    code = ord(character)
    # Python reads a byte that is no text as one of these (surrogateescape).
    return f'\\x{code - 0xDC00:02X}' if 0xDC80 <= code <= 0xDCFF else f'\\u{code:04X}'


def original(text: str) -> str:
    """The name that :func:`shown` wrote as this text."""

    def character(found: re.Match) -> str:
        byte, code = found.groups()
        return chr(0xDC00 + int(byte, 16)) if byte else chr(int(code, 16)) if code else '\\'

    return _HEX.sub(character, text)


def suffix_of(name: str) -> str:
    """The suffix in lower case, whatever blanks, dots and invisible characters follow it.

    A name that was copied from a page or a dialogue may end in a no-break space or a direction
    mark.
    """
    stem, dot, suffix = _without_end(name).rpartition('.')
    return f'.{suffix.lower()}' if dot and stem else ''


def _without_end(name: str) -> str:
    end = len(name)
    while end and (name[end - 1] == '.' or unicodedata.category(name[end - 1])[0] in 'ZC'):
        end -= 1
    return name[:end]


def safe_part(name: str) -> str:
    """One part of a path as any disk takes it; several names may become one.

    What Windows refuses and what is no text becomes ``_``, accents are composed, the name is cut to
    200 bytes, and it ends in no dot or blank.
    """
    text = unicodedata.normalize('NFC', name)
    text = ''.join('_' if c in '<>:"/\\|?*' or not is_text(c) else c for c in text)
    text = _without_end(text.encode()[:_MOST_BYTES].decode(errors='ignore'))
    return f'_{text}' if not text or text.partition('.')[0].strip().upper() in _DEVICES else text


def disk_key(path: str) -> str:
    """The same for two paths that a disk may not tell apart: by case, or by how accents are put."""
    return unicodedata.normalize('NFC', unicodedata.normalize('NFD', path).casefold())
