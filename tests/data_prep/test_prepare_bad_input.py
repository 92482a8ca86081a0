"""Every kind of bad input through the real command: named, listed, and nothing lost."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data_prep import output, prepare


def run(data: Path, out: Path, *options: str) -> int:
    return prepare.main(['--data', str(data), '--out', str(out), '--workers', '1', *options])


def content(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob('*'))
        if path.is_file() and path.name != output.STAMP
    }


def cut(path: Path, keep: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


def no_mask(train: Path) -> None:
    (train / 'mask' / 'a00.png').unlink()


def no_image(train: Path) -> None:
    (train / 'original' / 'a00.png').unlink()


def other_size(train: Path) -> None:
    cv2.imwrite(str(train / 'mask' / 'a00.png'), np.eye(50, 60, dtype=np.uint8) * 255)


def truncated_png(train: Path) -> None:
    cut(train / 'original' / 'a00.png')


def truncated_mask(train: Path) -> None:
    cut(train / 'mask' / 'a00.png')


def png_without_its_end(train: Path) -> None:
    path = train / 'original' / 'a00.png'
    path.write_bytes(path.read_bytes()[:-12])


def flipped_byte(train: Path) -> None:
    path = train / 'original' / 'a00.png'
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)


def truncated_as(suffix: str) -> Callable[[Path], None]:
    def spoil(train: Path) -> None:
        path = train / 'original' / 'a00.png'
        picture = cv2.imread(str(path))
        path.unlink()
        cv2.imwrite(str(path.with_suffix(suffix)), picture)
        cut(path.with_suffix(suffix))

    spoil.__name__ = f'truncated_{suffix[1:]}'
    return spoil


def no_picture(train: Path) -> None:
    (train / 'original' / 'a00.png').write_text('<html>404 Not Found</html>')


def no_bytes(train: Path) -> None:
    (train / 'mask' / 'a00.png').write_bytes(b'')


def dangling_link(train: Path) -> None:
    (train / 'mask' / 'a00.png').unlink()
    (train / 'mask' / 'a00.png').symlink_to(train / 'gone.png')


def two_of_one_stem(train: Path) -> None:
    cv2.imwrite(
        str(train / 'original' / 'a00.jpg'), cv2.imread(str(train / 'original' / 'a00.png'))
    )


def with_mask(change: Callable[[np.ndarray], np.ndarray], suffix: str = '.png') -> Callable:
    def spoil(train: Path) -> None:
        path = train / 'mask' / 'a00.png'
        mask = change(cv2.imread(str(path), 0))
        path.unlink()
        cv2.imwrite(str(path.with_suffix(suffix)), mask)

    return spoil


def classes(mask: np.ndarray) -> np.ndarray:
    _, labels = cv2.connectedComponents(mask)
    return np.minimum(labels, 2).astype(np.uint8)


def photo(train: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    cv2.imwrite(str(train / 'mask' / 'a00.png'), noise)


def exchanged(train: Path) -> None:
    a, b = (train / 'mask' / name for name in ('a00.png', 'a01.png'))
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)


def specks(mask: np.ndarray) -> np.ndarray:
    mask = np.zeros_like(mask)
    mask[::20, ::20] = 255
    return mask


def turned_by_exif(orientation: int) -> Callable[[Path], None]:
    def spoil(train: Path) -> None:
        path = train / 'original' / 'a00.png'
        picture = Image.open(path)
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        picture.save(buffer, 'JPEG', exif=exif)
        path.unlink()
        path.with_suffix('.jpg').write_bytes(buffer.getvalue())

    return spoil


CASES = {
    'no mask': (no_mask, 'original/a00.png: has no mask; add train/mask/a00.png'),
    'no image': (no_image, 'mask/a00.png: has no image; add train/original/a00.png'),
    'other size': (
        other_size,
        'mask/a00.png: is 60x50 pixels but its image train/original/a00.png',
    ),
    'truncated PNG': (truncated_png, 'original/a00.png: is truncated or damaged'),
    'truncated mask': (truncated_mask, 'mask/a00.png: is truncated or damaged'),
    'PNG without its end': (png_without_its_end, 'original/a00.png: is truncated or damaged'),
    'flipped byte': (flipped_byte, 'original/a00.png: is truncated or damaged'),
    'truncated JPEG': (truncated_as('.jpg'), 'original/a00.jpg: is truncated or damaged'),
    'truncated TIFF': (truncated_as('.tif'), 'original/a00.tif: '),
    'truncated BMP': (truncated_as('.bmp'), 'original/a00.bmp: is truncated or damaged'),
    'no picture': (no_picture, "original/a00.png: can't be decoded as a picture; export"),
    'no bytes': (no_bytes, 'mask/a00.png: is empty (0 bytes); download or export it again'),
    'dangling link': (dangling_link, 'mask/a00.png: is a link to a file that is gone'),
    'two of one stem': (
        two_of_one_stem,
        'original/a00.jpg: has the same stem as a00.png; keep one',
    ),
    'black mask': (with_mask(np.zeros_like), 'mask/a00.png: is an empty mask (all black)'),
    'white mask': (with_mask(lambda m: m | 255), 'mask/a00.png: is white all over'),
    'smooth mask': (
        with_mask(lambda m: cv2.blur(m, (3, 3))),
        'mask/a00.png: has grey values between black and white (',
    ),
    'JPEG mask': (with_mask(lambda m: m, '.jpg'), 'mask/a00.jpg: has grey values'),
    'photo': (photo, 'mask/a00.png: is a picture in several colours, not a mask'),
    'classes': (with_mask(classes), 'mask/a00.png: has 2 values beside its background, 1 of them'),
    'inverted mask': (
        with_mask(lambda m: 255 - m),
        'mask/a00.png: has a foreground that is brighter than its background (correlation -',
    ),
    'mask upside down': (
        with_mask(lambda m: m[::-1]),
        'mask/a00.png: fits its picture far better upside down (correlation 0.',
    ),
    'exchanged masks': (
        exchanged,
        'mask/a00.png: fits train/original/a01.png far better than its own picture',
    ),
    'specks only': (with_mask(specks), 'mask/a00.png: holds no component of 100 pixels or more'),
    'turned image': (turned_by_exif(6), 'original/a00.jpg: is turned by its EXIF orientation (6)'),
    'upside-down image': (turned_by_exif(3), 'original/a00.jpg: is turned by its EXIF orientation'),
}


@pytest.mark.parametrize('case', CASES)
def test_bad_files_are_named_and_the_old_output_stays(make_set, tmp_path, capsys, case):
    spoil, message = CASES[case]
    data, out = make_set(train=5), tmp_path / 'bccd'
    assert run(data, out) == 0
    before = content(out)
    capsys.readouterr()

    spoil(data / 'train')
    assert run(data, out) == 2
    errors = capsys.readouterr().err
    lines = [line for line in errors.splitlines() if line.startswith('train/')]
    assert lines
    assert any(line.startswith(f'train/{message}') for line in lines)
    assert all(line.endswith('.') and '; ' in line for line in lines)
    assert '--skip-bad' in errors.splitlines()[-1]
    assert content(out) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ['bccd', 'smears']

    assert run(data, out, '--skip-bad') == 0
    report = json.loads((out / 'report' / 'report.json').read_text())
    skipped = [f'{s["file"]}: {s["what"]}; {s["remedy"]}.' for s in report['skipped']]
    assert sorted(skipped) == sorted(lines)
    split = json.loads((out / 'split.json').read_text())
    kept = sorted(Path(name).stem for name in split['train'] + split['val'])
    bad = {Path(s['file']).stem for s in report['skipped']}
    assert 'a00' in bad
    assert kept == sorted({'a00', 'a01', 'a02', 'a03', 'a04'} - bad)
    page = (out / 'report' / 'report.md').read_text()
    assert all(f'`{s["file"]}` {s["what"]}' in page for s in report['skipped'])


def test_all_problems_are_listed_in_one_run(make_set, tmp_path, capsys):
    data, out = make_set(train=8, test=4), tmp_path / 'bccd'
    (data / 'train' / 'mask' / 'a00.png').unlink()
    (data / 'test' / 'original' / 'b00.png').unlink()
    cut(data / 'train' / 'original' / 'a01.png')
    cut(data / 'train' / 'mask' / 'a01.png')
    (data / 'test' / 'mask' / 'b01.png').write_bytes(b'')
    assert run(data, out) == 2
    errors = capsys.readouterr().err.splitlines()
    files = [line.split(': ')[0] for line in errors if line.startswith(('train/', 'test/'))]
    assert files == [
        'test/mask/b00.png',
        'test/mask/b01.png',
        'train/mask/a01.png',
        'train/original/a00.png',
        'train/original/a01.png',
    ]
    assert errors[-1].startswith('prepare: 5 problems')
    assert not out.exists()


def test_grey_masks_can_be_allowed(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    with_mask(lambda m: m, '.jpg')(data / 'train')
    assert run(data, out, '--allow-grey') == 0


@pytest.mark.parametrize(
    'change',
    [
        lambda m: m.astype(np.uint16) * 257,
        lambda m: m.astype(np.uint16),
        lambda m: cv2.merge([np.zeros_like(m), np.zeros_like(m), m // 255 * 200]),
        lambda m: cv2.merge([m, m, m, np.full_like(m, 255)]),
        lambda m: m // 255 * 200,
    ],
    ids=['16 bit', '8 of 16 bit', 'one colour', 'alpha', '0 and 200'],
)
def test_masks_of_two_values_are_good_in_any_dress(make_set, tmp_path, change):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out) == 0
    before = [(out / 'annotations' / f'{p}.json').read_text() for p in ('train', 'val')]
    with_mask(change)(data / 'train')
    assert run(data, out) == 0
    after = [(out / 'annotations' / f'{p}.json').read_text() for p in ('train', 'val')]
    for a, b in zip(before, after, strict=True):
        assert json.loads(a)['annotations'] == json.loads(b)['annotations']


@pytest.mark.parametrize('mode', ['1', 'P'])
def test_masks_of_one_bit_and_palettes_are_good(make_set, tmp_path, mode):
    data, out = make_set(), tmp_path / 'bccd'
    path = data / 'test' / 'mask' / 'b00.png'
    Image.open(path).convert('L').convert(mode).save(path)
    assert run(data, out) == 0


def label_map(mask: np.ndarray) -> np.ndarray:
    return cv2.connectedComponents(mask)[1].astype(np.uint16)


def test_label_maps_give_the_same_cells_and_are_named(make_set, tmp_path, capsys):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out) == 0
    files = [out / 'annotations' / f'{part}.json' for part in ('train', 'val', 'test')]
    before = [json.loads(file.read_text())['annotations'] for file in files]
    with_mask(label_map)(data / 'train')
    path = data / 'test' / 'mask' / 'b00.png'
    cv2.imwrite(str(path), label_map(cv2.imread(str(path), 0)))
    capsys.readouterr()
    assert run(data, out) == 0
    assert '2 masks were read as label maps.' in capsys.readouterr().out
    assert [json.loads(file.read_text())['annotations'] for file in files] == before
    report = json.loads((out / 'report' / 'report.json').read_text())
    assert report['mask_forms'] == {'label maps': 2}
    assert {row['mask_form'] for row in report['images']} == {'', 'label maps'}
    assert '- 2 read as label maps' in (out / 'report' / 'report.md').read_text()


def test_a_class_map_needs_the_option(make_set, tmp_path, capsys):
    data, out = make_set(), tmp_path / 'bccd'
    with_mask(classes)(data / 'train')
    assert run(data, out) == 2
    assert run(data, out, '--masks', 'regions') == 0
    assert 'cells 9, 3, 6' in capsys.readouterr().out
    assert run(data, out, '--masks', 'colours') == 2
    assert '--masks is colours: it must be one of auto, binary, labels, regions' in (
        capsys.readouterr().err
    )


def test_inverted_masks_are_righted_by_the_option(make_set, tmp_path, capsys):
    data, out = make_set(), tmp_path / 'bccd'
    for path in data.glob('*/mask/*'):
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), 0))
    assert run(data, out) == 2
    assert 'it is inverted; exchange its two values, or pass --invert' in capsys.readouterr().err
    assert run(data, out, '--invert') == 0
    assert 'cells 9, 3, 6' in capsys.readouterr().out


def test_what_is_implausible_can_be_allowed_and_is_listed(make_set, tmp_path, capsys):
    data, out = make_set(), tmp_path / 'bccd'
    exchanged(data / 'train')
    assert run(data, out) == 2
    assert 'or go on with --allow-implausible' in capsys.readouterr().err
    assert run(data, out, '--allow-implausible') == 0
    said = capsys.readouterr().out
    assert '2 masks are doubtful:\n  train/mask/a00.png fits train/original/a01.png' in said
    report = json.loads((out / 'report' / 'report.json').read_text())
    assert [row['file'][-7:] for row in report['doubtful_masks']] == ['a00.png', 'a01.png']
    assert '## Doubtful masks: 2' in (out / 'report' / 'report.md').read_text()


def test_an_image_and_a_mask_turned_alike_are_good(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    for kind in ('original', 'mask'):
        path = data / 'train' / kind / 'a00.png'
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(path).save(path, exif=exif)
    assert run(data, out) == 0
    images = [
        image
        for part in ('train', 'val')
        for image in json.loads((out / 'annotations' / f'{part}.json').read_text())['images']
    ]
    (turned,) = [image for image in images if image['file_name'].endswith('a00.png')]
    assert (turned['width'], turned['height']) == (96, 128)  # as training sees it


@pytest.mark.parametrize(
    ('remove', 'message'),
    [
        ('test', 'has no test/original and no test/mask; --data must name the folder that holds'),
        ('train/mask', 'has no train/mask; --data must name the folder that holds'),
    ],
)
def test_a_missing_part_is_named(make_set, tmp_path, capsys, remove, message):
    data = make_set()
    shutil.rmtree(data / remove)
    assert run(data, tmp_path / 'bccd', '--skip-bad') == 2
    assert message in capsys.readouterr().err


def test_a_folder_above_or_below_gets_a_hint(make_set, tmp_path, capsys):
    data = make_set()
    for wrong in (data.parent, data / 'train'):
        assert run(wrong, tmp_path / 'bccd') == 2
        assert f'did you mean --data "{data}"?' in capsys.readouterr().err


def test_no_folder_at_all(tmp_path, capsys):
    assert run(tmp_path / 'nowhere', tmp_path / 'bccd') == 2
    assert 'nowhere: does not exist; --data must name' in capsys.readouterr().err


def test_empty_folders_are_named(make_set, tmp_path, capsys):
    data = make_set()
    for folder in ('train/mask', 'test/original'):
        for path in (data / folder).iterdir():
            path.unlink()
    assert run(data, tmp_path / 'bccd', '--skip-bad') == 2
    assert 'in train/mask and test/original; put the files there' in capsys.readouterr().err


def test_nothing_left_after_skipping(make_set, tmp_path, capsys):
    data, out = make_set(), tmp_path / 'bccd'
    for path in (data / 'test' / 'mask').iterdir():
        path.write_bytes(b'')
    assert run(data, out, '--skip-bad') == 2
    said = capsys.readouterr().err
    assert 'test: no usable pair is left' in said
    assert all(f'test/mask/b0{k}.png: is empty (0 bytes)' in said for k in (0, 1))
    assert not out.exists()


def test_one_field_cannot_be_split(make_set, tmp_path, capsys):
    data = make_set(train=3)
    for k in (1, 2):
        for kind in ('original', 'mask'):
            shutil.copy(data / 'train' / kind / 'a00.png', data / 'train' / kind / f'a0{k}.png')
    assert run(data, tmp_path / 'bccd') == 2
    said = capsys.readouterr().err
    assert 'train: its 3 images show one field' in said
    assert 'or pass --allow-duplicates' in said
    assert run(data, tmp_path / 'bccd', '--allow-duplicates') == 0
    report = json.loads((tmp_path / 'bccd' / 'report' / 'report.json').read_text())
    assert len(report['near_duplicates']) == 3


@pytest.mark.skipif(os.name != 'posix', reason='permissions of a POSIX file system')
def test_no_permission_to_write(make_set, tmp_path, capsys):
    data = make_set()
    locked = tmp_path / 'locked'
    locked.mkdir(mode=0o500)
    target = locked / 'bccd'
    if os.geteuid() == 0:  # root may write everywhere but there
        target = Path('/proc/1/bccd')
    assert run(data, target) == 2
    error = capsys.readouterr().err
    assert f"{target.parent}: can't be written" in error
    assert '--out' in error


def test_a_folder_of_something_else_is_not_replaced(make_set, tmp_path, capsys):
    data, out = make_set(), tmp_path / 'home'
    out.mkdir()
    (out / 'thesis.tex').write_text('years of work')
    assert run(data, out) == 2
    assert 'holds files that are no prepared data set' in capsys.readouterr().err
    assert (out / 'thesis.tex').read_text() == 'years of work'


def test_the_data_folder_is_not_replaced(make_set, capsys):
    data = make_set()
    for out in (data, data.parent):
        assert run(data, out) == 2
        assert 'holds the data itself' in capsys.readouterr().err
    assert (data / 'train' / 'original' / 'a00.png').is_file()


@pytest.mark.skipif(os.name != 'posix', reason='names of a POSIX file system')
def test_names_that_are_no_text_are_named_all_the_same(make_set, tmp_path, capsys):
    data, out = make_set(), tmp_path / 'bccd'
    for name in (b'\xff.png', b'\xff.txt'):
        Path(os.fsdecode(os.fsencode(data / 'train' / 'mask') + b'/' + name)).write_text('')
    assert run(data, out) == 2
    assert (
        r'\xFF.png: has a name that is no UTF-8 text or holds a control' in capsys.readouterr().err
    )
    assert run(data, out, '--skip-bad') == 0
    report = json.loads((out / 'report' / 'report.json').read_text())
    assert report['ignored_files'] == [r'train/mask/\xFF.txt']


def test_a_file_in_the_place_of_the_output_stays(make_set, tmp_path, capsys):
    out = tmp_path / 'bccd'
    out.write_text('mine')
    assert run(make_set(), out) == 2
    assert f'{out}: is a file; name a folder with --out' in capsys.readouterr().err
    assert out.read_text() == 'mine'


@pytest.mark.parametrize(
    'option',
    [
        ['--connectivity', '6'],
        ['--threshold', '300'],
        ['--val-fraction', '1'],
        ['--min-area', '0'],
        ['--workers', '0'],
    ],
)
def test_impossible_options_are_refused(make_set, tmp_path, capsys, option):
    assert run(make_set(), tmp_path / 'bccd', *option) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'prepare: {option[0]} is {option[1]}')
    assert error.count('\n') == 1
    assert not (tmp_path / 'bccd').exists()


def test_what_is_left_out_is_named(make_set, tmp_path, capsys):
    data, out = make_set(), tmp_path / 'bccd'
    image = (data / 'train' / 'original' / 'a00.png').read_bytes()
    for name in (
        'train/original/@eaDir/a00.png/SYNOPHOTO_THUMB_M.jpg', 'train/mask/Thumbs.db',
        'train/original/slide7/c.png', 'val/original/d.png', 'test/e.png', 'train/mask/f.czi',
        'test/original/notes.txt', 'test/original/scan',
    ):  # fmt: skip
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b'words' if name.endswith('.txt') else image)
    assert run(data, out) == 0
    said = capsys.readouterr().out
    assert 'Left out: 2 of the system or hidden (train/mask/Thumbs.db, train/original/@eaD' in said
    assert 'Left out: 3 pictures outside of those folders' in said
    assert '(test/e.png, train/original/slide7/c.png, val/original/d.png)' in said
    assert 'Left out: 1 in formats that are not read' in said
    assert 'Left out: 1 that are no pictures (test/original/notes.txt)' in said
    assert 'Left out: 1 pictures by their content' in said
    report = json.loads((out / 'report' / 'report.json').read_text())
    assert len(report['ignored_files']) == 8
    assert sum(part['images'] for part in report['parts'].values()) == 6


@pytest.mark.parametrize('suffix', ['.webp', '.jfif', '.JPE'])
def test_more_suffixes_are_taken(make_set, tmp_path, suffix):
    data, out = make_set(), tmp_path / 'bccd'
    path = data / 'train' / 'original' / 'a00.png'
    Image.open(path).save(path.with_suffix(suffix), 'WEBP' if suffix == '.webp' else 'JPEG')
    path.unlink()
    assert run(data, out) == 0
    assert (data / f'train/original/a00{suffix}').is_file()
    split = json.loads((out / 'split.json').read_text())
    assert f'train/original/a00{suffix}' in split['train'] + split['val']


def test_odd_blanks_in_names_are_text(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    for kind in ('original', 'mask'):
        (data / 'train' / kind / 'a00.png').rename(data / 'train' / kind / 'a\u3000b\xa0c.png')
    assert run(data, out) == 0
    split = json.loads((out / 'split.json').read_text())
    assert 'train/original/a\u3000b\xa0c.png' in split['train'] + split['val']


def test_an_error_of_a_library_is_a_problem_of_its_pair(make_set, tmp_path, capsys, monkeypatch):
    data, out = make_set(), tmp_path / 'bccd'
    convert = prepare.convert

    def trip(data, pair, **options):
        if pair.stem == 'a00':
            raise ZeroDivisionError('division by zero')
        return convert(data, pair, **options)

    monkeypatch.setattr(prepare, 'convert', trip)
    assert run(data, out) == 2
    said = 'train/original/a00.png: failed unexpectedly (ZeroDivisionError: division by zero)'
    assert said in capsys.readouterr().err
    assert run(data, out, '--skip-bad') == 0


@pytest.mark.skipif(os.name != 'posix', reason='names of a POSIX file system')
def test_a_data_folder_whose_name_is_no_text(make_set, tmp_path):
    data = make_set().rename(tmp_path / os.fsdecode(b'Bl\xe4tter\n'))
    out = tmp_path / os.fsdecode(b'fertig \xe4')
    assert run(data, out) == 0
    assert run(data, out) == 0
    assert (out / 'images' / 'train').is_dir()
