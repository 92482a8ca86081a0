"""One rule for all pictures of a folder, from their greatest value."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from cellkit.errors import BadFile
from cellkit.files import depth
from cellkit.files.depth import find_whites
from cellkit.files.pictures import read_picture, stored_picture
from cellkit.files.stored import UNKNOWN, Whites

BRIGHT = np.full((20, 30, 3), 3000, np.uint16)
BRIGHT[4, 4] = 4000


def write(folder: Path, **pictures: np.ndarray) -> list[Path]:
    for name, picture in pictures.items():
        tifffile.imwrite(folder / f'{name}.tif', picture, photometric='rgb')
    return [folder / f'{name}.tif' for name in pictures]


def test_the_brightest_picture_decides_for_all(tmp_path: Path) -> None:
    """A dim picture of a 12-bit camera would pass for one of 10 bits by itself."""
    dim = BRIGHT // 4
    files = write(tmp_path, bright=BRIGHT, dim=dim + 50)
    whites, said = find_whites(files)
    assert whites == Whites(4095.0, None)
    assert said == ('2 pictures of more than 8 bits: values up to 4000, read as 12 bits',)
    bright, dimmed = (read_picture(file, whites) for file in files)
    assert bright.remarks == ()
    (remark,) = dimmed.remarks
    assert remark.startswith('is dark when read as 12 bits: 99 % of its pixels lie below 803; keep')
    assert bright.white == dimmed.white == 4095
    assert bright.pixels[0, 0, 0] == round(3000 * 255 / 4095)
    assert dimmed.pixels[0, 0, 0] == round(800 * 255 / 4095)


def test_a_picture_alone_says_what_it_takes_for_white(tmp_path: Path) -> None:
    (file,) = write(tmp_path, a=BRIGHT)
    assert read_picture(file).remarks == ('has values up to 4000 and is read as 12 bits',)


def test_integers_and_floats_have_rules_of_their_own(tmp_path: Path) -> None:
    files = write(tmp_path, deep=BRIGHT, share=(BRIGHT / 4095).astype(np.float32))
    whites, said = find_whites(files)
    assert whites == Whites(4095.0, 1.0)
    assert said[1] == '1 picture of floats: values up to 0.976801, read as 0 to 1'
    deep, share = (read_picture(file, whites).pixels for file in files)
    np.testing.assert_array_equal(deep, share)


def test_a_picture_of_another_camera_is_an_error(tmp_path: Path) -> None:
    """A black picture would give a wrong count that looks right."""
    files = write(tmp_path, deep=BRIGHT * 16, other=BRIGHT)
    whites, _ = find_whites(files)
    assert whites.integers == 65535
    with pytest.raises(BadFile, match=r'other.tif: is nearly black when read as 16 bits: .*; keep'):
        read_picture(files[1], whites)


def test_one_burnt_in_pixel_is_told(tmp_path: Path) -> None:
    spoilt = BRIGHT.copy()
    spoilt[0, 0] = 65535
    (file,) = write(tmp_path, a=spoilt)
    with pytest.raises(BadFile, match=r'nearly black when read as 16 bits: 99 % .* below'):
        read_picture(file)


def test_values_beyond_the_known_white_are_told(tmp_path: Path) -> None:
    """The file was exchanged after the folder's rule had been found."""
    (file,) = write(tmp_path, a=BRIGHT)
    picture = read_picture(file, Whites.of(1023))
    assert picture.remarks == ('has values up to 4000, cut off at 1023',)
    assert picture.pixels.min() == 255


def test_pictures_of_8_bits_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.full((20, 30, 3), 200, np.uint8)
    files = write(tmp_path, a=picture)
    for suffix in ('png', 'jpg', 'bmp', 'webp'):
        files.append(tmp_path / f'a.{suffix}')
        cv2.imwrite(str(files[-1]), picture)
    decoded = []
    monkeypatch.setattr(
        depth, 'stored_picture', lambda *a: decoded.append(a[1]) or stored_picture(*a)
    )
    assert find_whites(files) == (UNKNOWN, ())
    assert not decoded
    cv2.imwrite(str(tmp_path / 'b.png'), BRIGHT)
    assert find_whites([*files, tmp_path / 'b.png']).whites.integers == 4095
    assert decoded == [str(tmp_path / 'b.png')]


def test_what_can_not_be_read_is_left_to_the_reader(tmp_path: Path) -> None:
    files = write(tmp_path, a=BRIGHT, cut=BRIGHT)
    files[1].write_bytes(files[1].read_bytes()[:300])
    (tmp_path / 'text.tif').write_text('no picture')
    (tmp_path / 'folder.tif').mkdir()
    os.mkfifo(tmp_path / 'pipe.tif')
    files += [
        tmp_path / 'pipe.tif',
        tmp_path / 'text.tif',
        tmp_path / 'folder.tif',
        tmp_path / 'gone.tif',
    ]
    assert find_whites(files).said[0].startswith('1 picture of more than 8 bits')
