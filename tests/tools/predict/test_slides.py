"""Finding a user's pictures in files, folders and patterns."""

import json
import os
import unicodedata
from pathlib import Path, PurePosixPath

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
    root, slides, _ = find_slides([str(tmp_path / 'in')])
    assert root == tmp_path / 'in'
    assert [slide.shown for slide in slides] == ['a.jpeg', 'b.PNG', 'sub/d.bmp', 'sub/deep/c.Tiff']
    assert [slide.name for slide in slides] == ['a', 'b', 'sub/d', 'sub/deep/c']


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / 'real' / 'a.png')
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'link').symlink_to(tmp_path / 'real')
    (tmp_path / 'in' / 'loop').symlink_to(tmp_path / 'in')
    _, slides, _ = find_slides([str(tmp_path / 'in')])
    assert [slide.shown for slide in slides] == ['link/a.png']


def test_files_patterns_and_blanks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(*(tmp_path / name for name in ['one/a.png', 'one/b.png', 'two words/a.tif', 'x.webp']))
    monkeypatch.chdir(tmp_path)
    root, slides, _ = find_slides(['one/*.png', 'two words/a.tif'])
    assert root == tmp_path
    assert [slide.shown for slide in slides] == ['one/a.png', 'one/b.png', 'two words/a.tif']
    assert len(find_slides(['one/a.png one/b.png'])[1]) == 2
    assert len(find_slides(['one', 'one/a.png'])[1]) == 2  # each once
    assert find_slides(['two words'])[0] == tmp_path / 'two words'
    assert find_slides(['x.webp'])[1][0].path == tmp_path / 'x.webp'


def test_names_that_differ_by_suffix_or_case(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ['a.png', 'A.tif', 'b.png']))
    _, slides, _ = find_slides([str(tmp_path)])
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


def taken(*names: str) -> list[str]:
    return [slide.shown for slide in find_slides(list(names)).slides]


@pytest.mark.parametrize(
    'of_the_system',
    [
        '@eaDir/a.png/SYNOPHOTO_THUMB_XL.jpg', '#recycle/a.png', '$RECYCLE.BIN/S-1-5/a.png',
        'System Volume Information/a.png', '__MACOSX/._a.png', 'lost+found/a.png', '.Trash/a.png',
        'sub/@eadir/a.png', '@Recycle/a.png', 'Thumbs.db', 'sub/.DS_Store', '._a.png',
    ],
)  # fmt: skip
def test_what_is_the_systems_is_left_out_and_said(tmp_path: Path, of_the_system: str) -> None:
    touch(tmp_path / 'a.png', tmp_path / of_the_system)
    found = find_slides([str(tmp_path)])
    assert [slide.shown for slide in found.slides] == ['a.png']
    (said,) = found.left_out
    assert said.startswith('left out: 1 of the system or hidden (')


def test_masks_beside_their_images_are_left_out(tmp_path: Path) -> None:
    for part in ('train', 'test'):
        touch(*(tmp_path / part / kind / 'a.png' for kind in ('original', 'mask')))
    touch(tmp_path / 'lone' / 'mask' / 'b.png')
    assert taken(str(tmp_path)) == [
        'lone/mask/b.png',
        'test/original/a.png',
        'train/original/a.png',
    ]
    (said,) = find_slides([str(tmp_path)]).left_out
    assert said.startswith('left out: 2 masks beside their images; ')
    assert 'train/mask/a.png' in said
    mask = tmp_path / 'train' / 'mask'
    assert taken(str(mask)) == ['a.png']  # named itself
    assert taken(str(mask / 'a.png')) == ['a.png']
    assert taken(str(tmp_path / 'train' / '*')) == ['a.png']
    assert taken(str(mask), str(mask.parent / 'original')) == ['a.png']  # as a shell expands it


@pytest.mark.parametrize('place', ['out', 'deep/er/week 1', '.'])
def test_pictures_of_earlier_results_are_left_out(tmp_path: Path, place: str) -> None:
    out = tmp_path / 'in' / place
    touch(tmp_path / 'in' / 'a.png')
    touch(*(out / folder / 'sub' / 'a.png' for folder in ('overlays', 'labels')))
    settings = {'images': ['/in/a.png'], 'score_threshold': 0.5, 'scale': 1.0}
    (out / 'settings.json').write_text(json.dumps(settings))
    assert taken(str(tmp_path / 'in')) == ['a.png']
    assert 'left out: 2 pictures of earlier results' in find_slides([str(tmp_path)]).left_out[0]
    for folder in (out / 'overlays', out / 'labels'):
        with pytest.raises(UserError, match='no picture') as caught:
            find_slides([str(folder)])
        assert 'left out: 1 pictures of earlier results' in caught.value.details[0]
    assert len(taken(str(out / 'labels' / 'sub' / 'a.png'))) == 1  # a file that is named
    (out / 'settings.json').write_text('{"a program": "of another kind"}')
    assert len(taken(str(tmp_path))) == 3


def test_pictures_that_the_project_drew_are_left_out(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / name
            for name in [
                'set/split.json', 'set/annotations/train.json', 'set/report/contact_sheet.png',
                'set/stain/reference.png', 'set/images/train/original/a.png',
                'set/images/train/mask/a.png', 'run/report.html', 'run/image_a.jpg',
                'run/figure_loss.png', 'run/b.png',
            ]
        )
    )  # fmt: skip
    assert taken(str(tmp_path)) == ['run/b.png', 'set/images/train/original/a.png']
    assert len(find_slides([str(tmp_path)]).left_out) == 3


def test_other_formats_are_named(tmp_path: Path) -> None:
    names = ['a.czi', 'b.ND2', 'c.heic', 'd.gif', 'e.webp', 'f.JFIF', 'g.zarr/0', 'notes.txt']
    touch(*(tmp_path / name for name in names))
    found = find_slides([str(tmp_path)])
    assert [slide.shown for slide in found.slides] == ['e.webp', 'f.JFIF']
    (said,) = found.left_out
    assert said.startswith('left out: 5 in formats that are not read; export them as TIFF or PNG')
    assert taken(str(tmp_path / 'a.czi')) == ['a.czi']  # its reader says what is wrong
    assert taken(str(tmp_path / '*.gif')) == ['d.gif']
    assert taken(str(tmp_path / '*')) == ['e.webp', 'f.JFIF']


def test_a_picture_without_a_good_name_is_named(tmp_path: Path) -> None:
    for name in ('scan', 'a.png~', 'a.jpg.download'):
        (tmp_path / name).write_bytes(b'\x89PNG\r\n\x1a\n')
    touch(*(tmp_path / name for name in ['b.png ', 'c.tif.', 'd.JPG\u3000', 'e.png\u200e']))
    found = find_slides([str(tmp_path)])
    assert len(found.slides) == 4
    assert found.left_out[0].startswith('left out: 3 pictures by their content, not by their name')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='pipes of a POSIX file system')
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path / 'a.png')
    os.mkfifo(tmp_path / 'b.png')
    for names in ([tmp_path], [tmp_path / 'a.png', tmp_path / 'b.png']):
        found = find_slides([str(name) for name in names])
        assert [slide.shown for slide in found.slides] == ['a.png']
        assert found.left_out[0].startswith('left out: 1 that are no regular files')


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / 'a.png', tmp_path / 'locked' / 'b.png')
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith('locked'):
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    found = find_slides([str(tmp_path)])
    assert [slide.shown for slide in found.slides] == ['a.png']
    assert "left out: 1 that can't be read; check their permissions" in found.left_out[0]


def test_blanks_and_brackets_in_what_is_named(tmp_path: Path) -> None:
    touch(
        *(tmp_path / name for name in ['two words [1]/a.tif', 'two words [1]/b c.tif', 'x/d.png'])
    )
    folder = f'{tmp_path}/two words [1]'
    for name in (f' {tmp_path}/x ', f"'{folder}'", f'{folder}/*.tif', f'"{folder}/b c.tif"'):
        assert taken(name) in (['d.png'], ['a.tif', 'b c.tif'], ['b c.tif'])
    assert len(taken(f'"{folder}" {tmp_path}/x')) == 3


@pytest.mark.parametrize(
    'files',
    [
        ['a.png', 'a.tif', 'a_png.jpg'],
        ['a.png', 'a.tif', 'a_png.jpg', 'A_PNG.bmp', 'a_png_2.bmp'],
        ['x/a.png', 'X/A.PNG', 'x/A.tif'],
        ['é.png', 'e\u0301.png'],
        ['a.png', 'a .tif', 'a..bmp', 'a\u3000.jpg'],
        ['CON.png', 'con.tif', '_CON.png', 'aux/b.png', 'COM1.x.png'],
        ['a.tif', 'a.png/x.png', 'a.png/x.jpg', 'a.geojson/y.png'],
        ['b?.png', 'b*.png', 'b_.png', 'b\n.png', b'b\xe9.png'],
        ['n' * 250 + '.png', 'n' * 249 + 'm.png', 'ä' * 120 + '.png', 'ä' * 121 + '.png'],
        ['straße.png', 'STRASSE.png'],
    ],
    ids=str,
)
def test_names_are_unique_on_any_disk(tmp_path: Path, files: list[str | bytes]) -> None:
    touch(*(tmp_path / os.fsdecode(file) for file in files))
    slides = find_slides([str(tmp_path)]).slides
    assert len(slides) == len(files)
    made = [f'{slide.name}.png' for slide in slides]
    folders = [str(above) for name in made for above in PurePosixPath(name).parents]
    keys = [unicodedata.normalize('NFC', name.casefold()) for name in made]
    assert len(set(keys)) == len(files)
    assert not set(keys) & {unicodedata.normalize('NFC', folder.casefold()) for folder in folders}
    for name in made:
        assert name.encode()
        for part in name.split('/'):
            assert len(part.encode()) < 230
            assert not set(part) & set('<>:"\\|?*\n')
            assert part.split('.')[0].strip().lower() not in ('con', 'aux', 'com1')
            assert not part.removesuffix('.png').endswith(('.', ' ', '\u3000'))
    assert len({slide.shown for slide in slides}) == len(files)
    assert [find_slides([str(tmp_path)]).slides] == [slides]


def test_a_plain_name_stays(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ['a_png.jpg', 'a.png', 'a.tif', '2024.05.11/Über 1.png']))
    names = {slide.shown: slide.name for slide in find_slides([str(tmp_path)]).slides}
    assert names == {
        'a_png.jpg': 'a_png', 'a.png': 'a_png_2', 'a.tif': 'a_tif',
        '2024.05.11/Über 1.png': '2024.05.11/Über 1',
    }  # fmt: skip
