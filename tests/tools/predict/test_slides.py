"""Finding a user's pictures in files, folders and patterns."""

import os
from pathlib import Path

import pytest

from cellkit.errors import UserError
from tools.predict.slides import find_slides


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folder_with_all_below_it(tmp_path: Path) -> None:
    names = ['b.PNG', 'a.jpeg', 'sub/deep/c.Tiff', 'sub/d.bmp']
    touch(*(tmp_path / 'in' / name for name in names))
    touch(*(tmp_path / 'in' / name for name in ['.hidden.png', '.git/x.png', 'notes.txt', 'x.svs']))
    touch(tmp_path / 'in' / 'results' / 'overlays' / 'b.jpg')
    root, slides = find_slides([str(tmp_path / 'in')], skip=tmp_path / 'in' / 'results')
    assert root == tmp_path / 'in'
    assert [slide.shown for slide in slides] == ['a.jpeg', 'b.PNG', 'sub/d.bmp', 'sub/deep/c.Tiff']
    assert [slide.name for slide in slides] == ['a', 'b', 'sub/d', 'sub/deep/c']


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / 'real' / 'a.png')
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'link').symlink_to(tmp_path / 'real')
    (tmp_path / 'in' / 'loop').symlink_to(tmp_path / 'in')
    _, slides = find_slides([str(tmp_path / 'in')])
    assert [slide.shown for slide in slides] == ['link/a.png']


def test_files_patterns_and_blanks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(*(tmp_path / name for name in ['one/a.png', 'one/b.png', 'two words/a.tif', 'x.webp']))
    monkeypatch.chdir(tmp_path)
    root, slides = find_slides(['one/*.png', 'two words/a.tif'])
    assert root == tmp_path
    assert [slide.shown for slide in slides] == ['one/a.png', 'one/b.png', 'two words/a.tif']
    assert len(find_slides(['one/a.png one/b.png'])[1]) == 2
    assert len(find_slides(['one', 'one/a.png'])[1]) == 2  # each once
    assert find_slides(['two words'])[0] == tmp_path / 'two words'
    assert find_slides(['x.webp'])[1][0].path == tmp_path / 'x.webp'


def test_names_that_differ_by_suffix_or_case(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ['a.png', 'A.tif', 'b.png']))
    _, slides = find_slides([str(tmp_path)])
    assert sorted(slide.name for slide in slides) == ['A_tif', 'a_png', 'b']


@pytest.mark.parametrize('name', ['gone', 'gone.png', "it's gone", 'gone/*.png', 'one gone'])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match='no such file or folder'):
        find_slides([os.path.join(tmp_path, name)])


def test_no_name() -> None:
    with pytest.raises(UserError, match='no images were named'):
        find_slides([''])


def test_no_picture(tmp_path: Path) -> None:
    touch(tmp_path / 'notes.txt')
    with pytest.raises(UserError, match=r'no picture \(\.png'):
        find_slides([str(tmp_path)])
