"""Which files are left to OpenCV; what the others become: tests/test_picture_matrix.py."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from cellkit.files.raster import is_8_bit, is_plain

GREY = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)
RGB = np.dstack([GREY, GREY[::-1], GREY])
RGBA = np.dstack([RGB, GREY])
DEEP = RGB.astype(np.uint16) * 257


def opencv(suffix: str, picture: np.ndarray) -> bytes:
    return cv2.imencode(suffix, picture)[1].tobytes()


def pillow(kind: str, picture: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, kind, **options)
    return file.getvalue()


BMP_32 = pillow('BMP', RGBA)


@pytest.mark.parametrize(
    ('content', 'plain', 'shallow'),
    [
        (opencv('.png', RGB), True, True),
        (opencv('.png', GREY), True, True),
        (opencv('.jpg', RGB), True, True),
        (opencv('.jpg', GREY), True, True),
        (opencv('.bmp', RGB), True, True),
        (pillow('JPEG', RGB, progressive=True, exif=b'Exif\0\0' + bytes(40)), True, True),
        (pillow('PNG', RGB, 'P'), True, True),
        (pillow('PNG', RGB, '1'), True, True),
        (opencv('.png', RGBA), False, True),
        (opencv('.png', DEEP), False, False),
        (pillow('PNG', RGB, 'P', transparency=3), False, True),
        (pillow('JPEG', RGB, 'CMYK'), False, True),
        (pillow('WEBP', RGB), False, True),
        (BMP_32, True, True),
        (BMP_32[:30] + b'\3' + BMP_32[31:], False, True),  # with masks
        (opencv('.pgm', DEEP[..., 0]), False, False),
        (opencv('.png', RGB)[:20], True, True),
        (opencv('.jpg', RGB)[:20], False, True),
        (b'BM', False, True),
        (b'', False, False),
    ],
)
def test_what_opencv_reads_as_it_is_meant(content: bytes, plain: bool, shallow: bool) -> None:
    assert is_plain(content) == plain
    assert is_8_bit(content) == shallow
