"""Finding and reading pictures of all kinds."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from data_prep.reading import BadFile
from tools.errors import UserError
from tools.slides import find_slides, read_slide, to_8_bit

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (30, 40, 3), np.uint8)  # BGR
COLOUR[0, 0] = 255  # every depth's greatest value occurs
RGB = np.ascontiguousarray(COLOUR[..., ::-1])
GREY = COLOUR[..., 0]


def write(path: Path, kind: str) -> None:
    if kind == '8 bit':
        cv2.imwrite(str(path), COLOUR)
    elif kind == '16 bit':
        cv2.imwrite(str(path), COLOUR.astype(np.uint16) * 257)
    elif kind == '16 bit TIFF':
        tifffile.imwrite(path, RGB.astype(np.uint16) * 257, photometric='rgb')
    elif kind == 'float TIFF':
        tifffile.imwrite(path, (RGB / 255).astype(np.float32), photometric='rgb')
    elif kind == 'planar TIFF':
        tifffile.imwrite(path, RGB.transpose(2, 0, 1), photometric='rgb', planarconfig='separate')
    elif kind == 'opaque':
        cv2.imwrite(str(path), np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)]))


@pytest.mark.parametrize(
    ('kind', 'suffix'),
    [
        ('8 bit', 'png'), ('8 bit', 'bmp'), ('8 bit', 'TIF'), ('16 bit', 'png'), ('opaque', 'png'),
        ('16 bit TIFF', 'tif'), ('float TIFF', 'tiff'), ('planar TIFF', 'tif'),
    ],
)  # fmt: skip
def test_colour_of_any_depth(tmp_path: Path, kind: str, suffix: str) -> None:
    write(tmp_path / f'a.{suffix}', kind)
    picture, remark = read_slide(tmp_path / f'a.{suffix}')
    np.testing.assert_array_equal(picture, COLOUR)
    assert picture.dtype == np.uint8
    assert remark == ''


@pytest.mark.parametrize('kind', ['8 bit', '16 bit', 'float'])
def test_grey_becomes_three_channels(tmp_path: Path, kind: str) -> None:
    grey = GREY
    if kind == '16 bit':
        grey = grey.astype(np.uint16) * 257
    if kind == 'float':
        grey = (grey / 255).astype(np.float32)
    tifffile.imwrite(tmp_path / 'a.tif', grey)
    picture, _ = read_slide(tmp_path / 'a.tif')
    np.testing.assert_array_equal(picture, np.dstack([GREY] * 3))


@pytest.mark.parametrize('bits', [8, 10, 12, 14, 16])
def test_unused_upper_bits(bits: int) -> None:
    values = np.array([[0, 2**bits - 1, 2 ** (bits - 1)]], np.uint16)
    assert to_8_bit(values).tolist() == [[0, 255, 128]]


def test_floats() -> None:
    assert to_8_bit(np.array([[0, 0.5, 1, -1, np.nan]])).tolist() == [[0, 128, 255, 0, 0]]
    assert to_8_bit(np.array([[0.0, 128, 255]])).tolist() == [[0, 128, 255]]
    assert to_8_bit(np.array([[0, 50_000, 100_000]], np.int32)).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_transparency_is_laid_on_white(tmp_path: Path, suffix: str) -> None:
    alpha = np.zeros(GREY.shape, np.uint8)
    alpha[:, 10:20], alpha[:, 20:] = 128, 255
    rgba = np.dstack([RGB, alpha])
    if suffix == 'tif':
        tifffile.imwrite(tmp_path / 'a.tif', rgba, photometric='rgb', extrasamples=['unassalpha'])
    else:
        Image.fromarray(rgba).save(tmp_path / 'a.png')
    picture, _ = read_slide(tmp_path / f'a.{suffix}')
    assert (picture[:, :10] == 255).all()
    half = COLOUR[:, 10:20] * (128 / 255) + 255 * (127 / 255)
    np.testing.assert_allclose(picture[:, 10:20], half, atol=1)
    np.testing.assert_array_equal(picture[:, 20:], COLOUR[:, 20:])


def test_first_of_several_pages(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / 'a.tif', np.stack([RGB, 255 - RGB, RGB]), photometric='rgb')
    picture, remark = read_slide(tmp_path / 'a.tif')
    np.testing.assert_array_equal(picture, COLOUR)
    assert '3 pages' in remark


def test_turned_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / 'a.jpg', exif=exif)
    picture, _ = read_slide(tmp_path / 'a.jpg')
    assert picture.shape == (40, 30, 3)


def test_unreadable_files(tmp_path: Path) -> None:
    write(tmp_path / 'good.png', '8 bit')
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'good.png').read_bytes()[:900])
    (tmp_path / 'text.jpg').write_text('no picture')
    (tmp_path / 'empty.tif').touch()
    tifffile.imwrite(
        tmp_path / 'five.tif', np.ones((5, 9, 9), np.uint8), photometric='minisblack',
        planarconfig='separate',
    )  # fmt: skip
    for name in ('cut.png', 'text.jpg', 'empty.tif', 'five.tif', 'gone.png'):
        with pytest.raises(BadFile, match=rf'{name}: .*; .*\.$'):
            read_slide(tmp_path / name)


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
