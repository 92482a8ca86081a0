"""A folder as a lab's network disk may hold it: the tables are whole for all that can be read."""

import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import pytest

from cellkit.files.names import original
from tools.predict import look, predict
from tools.predict import results as writer
from tools.predict.__main__ import main

GOOD = [
    b'plain.png', b'PLAIN.TIF', b'plain_png.jpg', b'two words.png', b' leading.png',
    b'trailing .png',
    b'a.b.c.png', b'dots...png', b'50%.png', b'#1.png', b"it's.png", b'"quoted".png', b'a,b;c.png',
    b'=1+1.png', b'-rf.png', b'--out.png', b'a*b?.png', b'[1].png', b'a|b<c>.png', b'co:lon.png',
    b'back\\slash.png', rb'\xE4.png', b'\xe4.png', b'Bl\xe4tter \xff.png', b'new\nline.png',
    b'tab\t.png', b'bell\x07.png', b'esc\x1b[31m.png', 'Blätter.png'.encode(),
    'Bla\u0308tter.png'.encode(), 'ＦＵＬＬ\u3000width.png'.encode(), 'no\xa0break.png'.encode(),
    'rtl\u202egnp.png'.encode(), 'zero\u200bwidth.png'.encode(), 'line\u2028sep.png'.encode(),
    'bom\ufeff.png'.encode(), '🔬.png'.encode(), b'CON.png', b'nul.tif', b'LPT1.x.png',
    b'n' * 250 + b'.png', b'n' * 249 + b'm.png', 'ä'.encode() * 120 + b'.png',
    b'ends.png ', b'ends.png.', 'ends.png\u200e'.encode(), b'photo.JFIF', b'web.webp',
    b'folder.png/x.png', b'folder.bmp', b'Sub/x.png', b'sub/x.png', b'sub/X.tif',
    b'l\xe4b/deep/x.png', b'original/x.png',
]  # fmt: skip
BAD = [b'empty.png', b'cut.png', b'words.jpg', b'gone.png', b'b\xe4d\n.tif']
NO_SLIDES = [
    b'@eaDir/plain.png/SYNOPHOTO_THUMB_M.jpg', b'#recycle/old.png', b'$RECYCLE.BIN/a.png',
    b'System Volume Information/a.png', b'__MACOSX/._plain.png', b'lost+found/a.png',
    b'.Trashes/a.png', b'Thumbs.db', b'.DS_Store', b'._plain.png', b'mask/x.png', b'scan.czi',
    b'phone.HEIC', b'unnamed', b'pipe.png', b'notes.txt', b'desktop.ini',
]  # fmt: skip


def fill(lab, folder: str) -> None:
    """The folder; every good picture holds three cells."""
    lab.write('one.png')
    for suffix in ('webp', 'jpg', 'tif', 'bmp'):
        cv2.imwrite(f'one.{suffix}', lab.picture(*lab.three_cells))
    for name in [*GOOD, *NO_SLIDES]:
        path = Path(os.fsdecode(os.fsencode(folder) + b'/' + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = {'.webp': 'webp', '.jfif': 'jpg', '.tif': 'tif'}.get(path.suffix.lower(), 'png')
        shutil.copy(f'one.{suffix}', path)
    (Path(folder) / 'notes.txt').write_text('no picture')
    (Path(folder) / 'pipe.png').unlink()
    os.mkfifo(Path(folder) / 'pipe.png')
    content = {b'empty.png': b'', b'cut.png': Path('one.png').read_bytes()[:60]}
    for name in BAD:
        path = Path(os.fsdecode(os.fsencode(folder) + b'/' + name))
        path.write_bytes(content.get(name, b'no picture'))
    (Path(folder) / 'gone.png').unlink()
    (Path(folder) / 'gone.png').symlink_to('nowhere.png')


@pytest.mark.skipif(sys.platform != 'linux', reason='names that other systems refuse')
def test_a_hostile_folder(lab, capsys: pytest.CaptureFixture) -> None:
    lab.run()
    fill(lab, 'in')
    good = {os.fsdecode(name) for name in GOOD}
    assert len({*GOOD, *BAD, *NO_SLIDES}) >= 75
    for _ in range(2):  # the second time its own results lie among the slides
        assert main(['in', '--out', 'in/results of a run']) == 1
        told = capsys.readouterr()
        out = Path('in/results of a run')
        counts, cells = lab.table(out / 'counts.csv'), lab.table(out / 'cells.csv')
        assert {original(row['image']) for row in counts} == good
        assert len(counts) == len(good)
        assert [row['cells'] for row in counts] == ['3'] * len(good)
        assert len(cells) == 3 * len(good)
        assert {row['image'] for row in cells} == {row['image'] for row in counts}
        coco = json.loads((out / 'predictions.json').read_text())
        assert {item['file_name'] for item in coco['images']} == {row['image'] for row in counts}
        assert len({item['image_id'] for item in coco['annotations']}) == len(good)
        labels = {row['labels'] for row in counts}
        assert len(labels) == len(good)
        assert labels == {
            path.relative_to(out).as_posix()
            for path in (out / 'labels').rglob('*')
            if path.is_file()
        }
        for label in labels:
            assert cv2.imread(str(out / label), cv2.IMREAD_UNCHANGED).max() == 3
        problems = told.err.splitlines()
        assert problems[0] == f'predict: {len(BAD)} images could not be done:'
        assert len(problems) == 1 + len(BAD)
        assert any(r'b\xE4d\u000A.tif: can' in problem for problem in problems)
        assert f'{len(good)} of {len(good) + len(BAD)} images' in told.out
        for said in (
            'of the system or hidden', '1 masks beside', '2 in formats that are not read',
            '1 pictures by their content', '1 that are no regular files',
        ):  # fmt: skip
            assert said in told.out
    assert f'left out: {2 * len(good)} pictures of earlier results' in told.out


def test_a_write_that_fails_costs_one_image(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run()
    for name in ('a', 'b', 'c'):
        lab.write(f'in/{name}.png')
    write_whole = writer.write_whole

    def full(path: Path, content: bytes) -> None:
        if path.name == 'b.png':
            raise OSError(28, 'No space left on device', str(path))
        write_whole(path, content)

    monkeypatch.setattr(writer, 'write_whole', full)
    results = predict('in', out='out')
    assert [row['image'] for row in lab.table('out/counts.csv')] == ['a.png', 'c.png']
    (problem,) = results.problems
    assert "b.png: its results can't be written (No space left on device); free space" in problem
    assert not Path('out/overlays/b.jpg').exists()  # its row is missing


def test_an_error_of_a_library_costs_one_image(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run()
    for name in ('a', 'b'):
        lab.write(f'in/{name}.png')
    read_picture = look.read_picture

    def trip(path: Path, *whites: object) -> object:
        if path.name == 'a.png':
            raise ZeroDivisionError('division by zero')
        return read_picture(path, *whites)

    monkeypatch.setattr(look, 'read_picture', trip)
    results = predict('in', out='out')
    assert [row['image'] for row in lab.table('out/counts.csv')] == ['b.png']
    assert 'a.png: failed unexpectedly (ZeroDivisionError: division by zero)' in results.problems[0]


def test_a_spreadsheet_shows_umlauts(lab) -> None:
    """It takes a table for UTF-8 by its byte-order mark."""
    lab.run()
    lab.write('in/Blätter.png')
    predict('in', out='out')
    for table in ('counts', 'cells'):
        assert Path(f'out/{table}.csv').read_bytes().startswith(b'\xef\xbb\xbfimage,')
