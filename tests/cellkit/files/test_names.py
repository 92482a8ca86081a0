"""Names as text: nothing is lost, and a table can hold it."""

import csv
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.files.names import is_text, original, shown, suffix_of

bytes_of_names = st.binary(min_size=1).filter(lambda name: not set(name) & set(b'/\0'))


@given(bytes_of_names)
def test_shown_is_text_and_reversible(name: bytes) -> None:
    text = shown(os.fsdecode(name))
    assert os.fsencode(original(text)) == name
    assert is_text(text)
    assert json.loads(json.dumps(text).encode()) == text
    rows = list(csv.reader(io.StringIO(text + ',1\n'))) if not set(text) & set('",') else []
    assert all(row == [text, '1'] for row in rows)


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        (b'Bl\xe4tter.png', r'Bl\xE4tter.png'), (b'a\nb.png', r'a\u000Ab.png'),
        ('a\u2028b\x85.png'.encode(), r'a\u2028b\u0085.png'), (rb'a\xE4.png', r'a\\xE4.png'),
        ('Blätter　1\xa0.png'.encode(), 'Blätter　1\xa0.png'),
    ],
)  # fmt: skip
def test_what_is_escaped(name: bytes, text: str) -> None:
    assert shown(os.fsdecode(name)) == text
    assert original(text) == os.fsdecode(name)


@pytest.mark.parametrize('end', ['', ' ', '.', '\u3000', '\xa0', '\u200e', '\n', ' . '])
def test_the_suffix_whatever_follows(end: str) -> None:
    assert suffix_of(f'a.b.PNG{end}') == '.png'
    assert suffix_of(f'png{end}') == suffix_of(f'.png{end}') == ''
