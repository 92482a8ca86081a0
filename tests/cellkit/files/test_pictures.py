"""Pictures are read strictly; for those of all kinds see tests/test_picture_matrix.py."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from cellkit.errors import BadFile
from cellkit.files.pictures import check_file, decode_picture, read_bytes, read_picture

COLOUR = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)  # BGR
MASK = np.zeros((30, 40), np.uint8)
MASK[5:20, 5:20] = 255


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode('.png', picture)[1].tobytes()


def turned(orientation: int, kind: str = 'JPEG') -> bytes:
    exif, content = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(COLOUR).save(content, kind, exif=exif)
    return content.getvalue()


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF'])
@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_the_orientation_is_found_without_decoding(kind: str, orientation: int) -> None:
    assert check_file(turned(orientation, kind), 'a') == orientation


def test_no_orientation_or_a_wrong_one_is_upright() -> None:
    assert check_file(png(COLOUR), 'a.png') == 1
    assert check_file(turned(0), 'a.jpg') == 1
    assert check_file(turned(9), 'a.jpg') == 1


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP'])
@pytest.mark.parametrize('share', [0.5, 0.9])
def test_a_truncated_file_is_named(kind: str, share: float) -> None:
    content = turned(1, kind)
    content = content[: int(len(content) * share)]
    sentence = r'^x/a: is truncated or damaged \(.*\); download or export'
    with pytest.raises(BadFile, match=sentence):
        check_file(content, 'x/a')
    with pytest.raises(BadFile, match=sentence):  # as in training
        decode_picture(content, 'x/a', check=False)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP'])
def test_what_follows_a_whole_picture_does_no_harm(kind: str) -> None:
    content = turned(1, kind)
    pixels = decode_picture(content, 'a', check=False).pixels
    np.testing.assert_array_equal(decode_picture(content + b'x', 'a', check=False).pixels, pixels)


def test_a_plain_picture_is_opencv_s() -> None:
    """To the byte, so that no value of an earlier run moves."""
    for content in (png(COLOUR), turned(1), turned(6), turned(6, 'PNG')):
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        for check in (True, False):
            np.testing.assert_array_equal(
                decode_picture(content, 'a', check=check).pixels, expected
            )
    assert decode_picture(turned(6), 'a').pixels.shape == (40, 30, 3)
    assert decode_picture(turned(6), 'a').turn == 6


@pytest.mark.parametrize('orientation', range(1, 9))
def test_all_that_is_turned_is_turned_alike(orientation: int) -> None:
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, COLOUR, photometric='rgb', extratags=[(0x0112, 3, 1, orientation)])
    expected = decode_picture(turned(orientation, 'PNG'), 'a')
    found = decode_picture(tiff.getvalue(), 'a')
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert found.turn == expected.turn == orientation


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.png').write_text('no picture')
    with pytest.raises(BadFile, match=r'^gone.png: can.t be read \(No such file'):
        read_bytes(tmp_path, 'gone.png')
    with pytest.raises(BadFile, match=r'^empty.png: is empty \(0 bytes\); '):
        read_bytes(tmp_path, 'empty.png')
    with pytest.raises(BadFile, match=r'gone.png: is not there; '):
        read_picture(tmp_path / 'gone.png')
    with pytest.raises(BadFile, match=r"text.png: can't be decoded as a picture; "):
        read_picture(tmp_path / 'text.png')
