"""Pictures of all kinds, read as the model was trained to see one."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from cellkit.errors import BadFile
from cellkit.files.pictures import read_slide, to_8_bit

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
        with pytest.raises(BadFile, match=rf'{name}: .*; .*[^.]$'):
            read_slide(tmp_path / name)
