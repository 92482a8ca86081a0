"""A folder is replaced whole or not at all; through the command: test_prepare.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cellkit.errors import UserError
from data_prep import output
from data_prep.output import input_fingerprint, replacing

OURS = {'marked', 'pages'}


def test_only_what_is_ours_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / 'book'
    for text in ('old', 'new'):
        with replacing(out, 'book', 'marked', OURS) as fresh:
            assert fresh.parent == out.parent
            (fresh / 'marked').touch()
            (fresh / 'pages').mkdir()
            (fresh / 'pages' / text).touch()
        (out / 'notes').touch()
    assert sorted(p.name for p in out.iterdir()) == ['marked', 'notes', 'pages']
    assert os.listdir(out / 'pages') == ['new']
    assert os.listdir(tmp_path) == ['book']
    assert out.stat().st_mode & 0o777 == 0o755


def test_a_folder_without_the_mark_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'thesis.tex').touch()
    with (
        pytest.raises(UserError, match='holds files that are no book; name another folder'),
        replacing(tmp_path, 'book', 'marked', OURS),
    ):
        pytest.fail('the folder was given')
    assert os.listdir(tmp_path) == ['thesis.tex']


@pytest.mark.parametrize('error', [KeyboardInterrupt(), ValueError(), UserError('no paper')])
def test_a_block_that_raises_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def stop_half_way() -> None:
        with replacing(tmp_path / 'book') as fresh:
            (fresh / 'half').touch()
            raise error

    with pytest.raises(type(error)):
        stop_half_way()
    assert not os.listdir(tmp_path)


def test_a_change_of_data_options_or_code_is_noticed(make_set, tmp_path, monkeypatch) -> None:
    data = make_set(train=2, test=1)
    seen = {input_fingerprint(data, {'seed': 0})}

    def is_new(options: dict) -> bool:
        before = len(seen)
        seen.add(input_fingerprint(data, options))
        return len(seen) > before

    assert not is_new({'seed': 0})
    assert is_new({'seed': 1})
    os.utime(data / 'train' / 'mask' / 'a00.png', ns=(1, 1))
    assert not is_new({'seed': 0})  # a copy of the data is the same data
    masks = [data / 'train' / 'mask' / name for name in ('a00.png', 'a01.png')]
    contents = [mask.read_bytes().ljust(9999, b'\0') for mask in masks]
    for mask, content in zip(masks, contents, strict=True):
        mask.write_bytes(content)
        os.utime(mask, ns=(1, 1))
    assert is_new({'seed': 0})
    for mask, content in zip(masks, reversed(contents), strict=True):
        mask.write_bytes(content)
        os.utime(mask, ns=(1, 1))
    assert is_new({'seed': 0})  # exchanged: of one size and time
    (data / 'test' / 'original' / 'b00.png').rename(data / 'test' / 'original' / 'b01.png')
    assert is_new({'seed': 0})
    (data / 'test' / 'mask' / 'gone.png').symlink_to('nowhere')
    assert is_new({'seed': 0})
    (data / 'test' / 'mask' / '@eaDir').mkdir()
    assert is_new({'seed': 0})
    read_bytes = Path.read_bytes

    def change(module: str) -> None:
        changed = Path(output.__file__).parents[1] / module
        monkeypatch.setattr(
            Path, 'read_bytes', lambda path: read_bytes(path) + b' ' * (path == changed)
        )

    for module in ('data_prep/split.py', 'cellkit/rle.py', 'cellkit/files/pictures.py'):
        change(module)
        assert is_new({'seed': 0}), module
