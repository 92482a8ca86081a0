"""Pictures are read strictly; those of all kinds that a user brings: see test_read_slide.py."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cellkit.errors import BadFile
from cellkit.files.pictures import check_file, decode_image, read_bytes, read_image

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


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_a_truncated_file_is_named(kind: str) -> None:
    content = turned(1, kind)
    with pytest.raises(BadFile, match=r'^x/a: is truncated or damaged \(.*\); download or export'):
        check_file(content[: len(content) // 2], 'x/a')


def test_an_image_is_read_as_training_sees_it() -> None:
    np.testing.assert_array_equal(decode_image(png(COLOUR), 'a'), COLOUR)
    deep = COLOUR.astype(np.uint16) * 256 + 255
    np.testing.assert_array_equal(decode_image(png(deep), 'a'), COLOUR)  # the upper 8 bits
    clear = np.dstack([COLOUR, np.zeros_like(MASK)])
    np.testing.assert_array_equal(decode_image(png(clear), 'a'), COLOUR)
    assert decode_image(turned(6), 'a').shape == (40, 30, 3)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.png').write_text('no picture')
    with pytest.raises(BadFile, match=r'^gone.png: can.t be read \(No such file'):
        read_bytes(tmp_path, 'gone.png')
    with pytest.raises(BadFile, match=r'^empty.png: is empty \(0 bytes\); '):
        read_bytes(tmp_path, 'empty.png')
    with pytest.raises(BadFile, match=r'gone.png: is not there; '):
        read_image(tmp_path / 'gone.png')
    with pytest.raises(BadFile, match=r"text.png: can't be decoded as a picture; "):
        read_image(tmp_path / 'text.png')
