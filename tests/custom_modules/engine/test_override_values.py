"""What is typed is what is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.errors import UserError
from custom_modules.engine.override_values import read_otherwise, read_value


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('5e-4', 5e-4), ('-3', -3), ('0.5', 0.5), ('1_000', 1000), ('5e-4x', '5e-4x'), ('', ''),
        ('yes', True), ('On', True), ('TRUE', True), ('no', False), ('off', False),
        ('None', None), ('null', None), ('nothing', 'nothing'),
        ('my runs/x', 'my runs/x'), ('a,b/c, d', 'a,b/c, d'), ('C:\\data', 'C:\\data'),
        ('a=b', 'a=b'), ("'5'", '5'), ('"no"', 'no'),
        ('(3,4)', (3, 4)), ('[1, 2]', [1, 2]), ('[]', []), ('()', ()), ('1,2', (1, 2)),
        ('[a,b]', ['a', 'b']), ('[val_loss, "x, y", (no, 2)]', ['val_loss', 'x, y', (False, 2)]),
        ('[[1,a],[b]]', [[1, 'a'], ['b']]), ("{'a': 1}", {'a': 1}),
    ],
)  # fmt: skip
def test_values(text: str, value: object) -> None:
    found = read_value(text)
    assert found == value
    assert type(found) is type(value)


@given(st.recursive(
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
))  # fmt: skip
def test_what_python_writes_is_read_again(value: object) -> None:
    assert read_value(repr(value)) == value


@given(st.from_regex(r'[a-z]{2,8}[ ,][ a-z,./-]{0,20}[a-z]', fullmatch=True))
def test_paths_stay_as_they_are(text: str) -> None:
    assert read_value(f'runs/{text}') == f'runs/{text}'


def test_an_open_bracket_is_told() -> None:
    with pytest.raises(UserError, match=r'\[a,b: the bracket is not closed; write \]'):
        read_value('[a,b')


def test_mims_command_line_is_read_again() -> None:
    options = ['--cfg-options', 'a.b=off', 'c=my runs/x,y', 'd=1', 'e=[1,2]', 'work_dir=a b']
    line = ['train.py', 'config.py', '--resume', *options, '--amp', 'f=off']
    assert read_otherwise(line) == {'a.b': False, 'c': 'my runs/x,y', 'work_dir': 'a b'}
    assert 'work_dir' not in read_otherwise([*line, '--work-dir', 'x'])
