"""Files are there whole or not at all, and the same content gives the same bytes."""

import hashlib
import json
import math
from pathlib import Path

import pytest

from cellkit.errors import UserError
from cellkit.files import writing
from cellkit.files.writing import (
    csv_text,
    read_object,
    sha256_of,
    sha256_of_code,
    write_between_marks,
    write_json,
    write_whole,
)


def test_folders_are_made_and_text_is_utf_8(tmp_path: Path) -> None:
    file = tmp_path / 'a' / 'b.txt'
    write_whole(file, 'µm²\n')
    assert file.read_bytes() == 'µm²\n'.encode()
    write_whole(file, b'\xff')
    assert file.read_bytes() == b'\xff'


@pytest.mark.parametrize('error', [OSError('disk full'), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    file = tmp_path / 'a.txt'
    write_whole(file, 'old')

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(writing.os, 'replace', fail)
    with pytest.raises(type(error)):
        write_whole(file, 'new')
    assert file.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [file]


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    file = tmp_path / 'a.json'
    write_json(file, {'a': [1, math.nan, (math.inf, 2.5)], 'ü': None})
    assert json.loads(file.read_text()) == {'a': [1, None, [None, 2.5]], 'ü': None}
    assert 'ü' in file.read_text(encoding='utf-8')
    assert file.read_bytes().endswith(b'\n')


def test_csv_quotes_what_needs_it() -> None:
    assert csv_text(('a', 'b'), [('x, y', 1), ('"', 2.5)]) == '\ufeffa,b\n"x, y",1\n"""",2.5\n'


def test_text_goes_between_the_marks_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    page.write_text('head\n<!-- x:begin -->\nold\n<!-- x:end -->\ntail\n')
    for _ in range(2):
        write_between_marks(page, 'new', 'x')
    assert page.read_text() == 'head\n<!-- x:begin -->\nnew\n<!-- x:end -->\ntail\n'
    with pytest.raises(UserError, match=r'page\.md lacks the lines <!-- y:begin -->'):
        write_between_marks(page, 'new', 'y')
    with pytest.raises(UserError, match='lacks the lines'):
        write_between_marks(tmp_path / 'none.md', 'new', 'x')


def test_the_checksum_is_of_the_whole_file(tmp_path: Path) -> None:
    file = tmp_path / 'large'
    content = bytes(range(256)) * 5000  # more than one chunk
    assert len(content) > writing.CHUNK
    file.write_bytes(content)
    assert sha256_of(file) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize('text', ['{', '[["a", 1]]', '3', ''])
def test_what_is_no_object_reads_as_an_empty_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / 'a.json'
    assert read_object(file) == {}
    file.write_text(text)
    assert read_object(file) == {}
    write_json(file, {'a': 1})
    assert read_object(file) == {'a': 1}


def test_code_is_told_apart_wherever_it_changes(tmp_path: Path) -> None:
    package = tmp_path / 'package'
    for name in ('__init__.py', 'one.py', 'below/two.py'):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(name)
    alone, whole = str(package / 'one.py'), str(package / '__init__.py')
    before = sha256_of_code(alone), sha256_of_code(whole), sha256_of_code(whole, alone)
    assert len(set(before)) == 3
    (package / 'notes.txt').write_text('no code')
    assert sha256_of_code(whole) == before[1]
    (package / 'below/two.py').write_text('other')
    assert sha256_of_code(alone) == before[0]
    assert sha256_of_code(whole) != before[1]
