"""All that is not TIFF: which pictures OpenCV reads exactly as they are meant, and the others."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
from PIL import Image

from cellkit.files.stored import NotASmear, Stored

PNG = b'\x89PNG\r\n\x1a\n'
JPEG = b'\xff\xd8\xff'
_ORIENTATION = 0x0112
_WITH_ALPHA = 4  # bit of a PNG's colour type
_DEEP = ('I', 'F')  # modes of Pillow that begin so have more than 8 bits


def is_plain(content: bytes) -> bool:
    """Whether it is 8 bits of grey or colour in a JPEG, PNG or BMP, and nothing beside them."""
    if content.startswith(PNG):
        _, _, depth, colours = struct.unpack_from('>IIBB', content.ljust(26, b'\0'), 16)
        chunks = _png_chunks(content)
        return depth <= 8 and colours in (0, 2, 3) and not chunks & {b'tRNS', b'acTL'}
    if content.startswith(JPEG):
        return _is_plain_jpeg(content)
    if content.startswith(b'BM') and len(content) > 34:
        bits, packing = struct.unpack_from('<HI', content, 28)
        return bits != 32 or packing == 0  # without masks the fourth byte means nothing
    return False


def is_8_bit(content: bytes) -> bool:
    """Whether a file that is no TIFF has 8 bits at most, told without decoding."""
    if content.startswith(PNG):
        return content[24:25] != b'\x10'
    if content.startswith((JPEG, b'BM', b'GIF8')):
        return True
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return not picture.mode.startswith(_DEEP)
    except (OSError, ValueError, SyntaxError):
        return False


def read_raster(content: bytes) -> Stored:
    """What a file holds that is no TIFF: of several pictures the first.

    Raises:
        NotASmear: It is no picture, or one whose values mean no light.
        Exception: Of many kinds, from the decoders, on damaged files.
    """
    try:
        opened = Image.open(io.BytesIO(content))
    except Image.UnidentifiedImageError:
        return _by_opencv(content)  # PFM, Radiance, Sun raster
    with opened as picture:
        frames = getattr(picture, 'n_frames', 1)
        is_png, has_exif = picture.format == 'PNG', b'eXIf' in content
        turn = 1
        if has_exif or not is_png:
            turn = int(picture.getexif().get(_ORIENTATION, 1))
        if is_png and (content[24] == 16 or content[25] & _WITH_ALPHA):
            if not has_exif:  # which had it decoded
                picture.verify()  # checksums: OpenCV makes do with what is there
            stored = _by_opencv(content)  # Pillow keeps 8 bits of colours, and is slower
        else:
            stored = _by_pillow(picture)
    stored.turn = turn if 1 <= turn <= 8 else 1
    if frames > 1:
        stored.remarks.append(f'has {frames} pages, of which only the first was read')
    return stored


def _by_pillow(picture: Image.Image) -> Stored:
    if picture.mode.startswith(_DEEP):
        values = np.asarray(picture)
        return Stored(values.astype(np.uint32) if values.dtype.kind == 'i' else values)
    if picture.mode in ('LAB', 'HSV'):
        raise NotASmear(f'has colours of a kind that is not read here ({picture.mode})')
    if picture.has_transparency_data:
        rgba = np.asarray(picture.convert('RGBA'))
        return Stored(rgba[..., :3], 255, rgba[..., 3])
    return Stored(np.asarray(picture.convert('RGB')), 255)


def _by_opencv(content: bytes) -> Stored:
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise NotASmear("can't be decoded as a picture")
    white = 255 if values.dtype == np.uint8 else None
    if values.ndim == 2:
        return Stored(values, white)
    alpha = values[..., 3] if values.shape[2] == 4 else None
    return Stored(np.ascontiguousarray(values[..., 2::-1]), white, alpha)


def _png_chunks(content: bytes) -> set[bytes]:
    """Names of the chunks before the pixels."""
    found: set[bytes] = set()
    at = len(PNG)
    while at + 8 <= len(content) and b'IDAT' not in found:
        size, name = struct.unpack_from('>I4s', content, at)
        found.add(name)
        at += size + 12
    return found


def _is_plain_jpeg(content: bytes) -> bool:
    """By its frame header: one or three components of 8 bits, and one picture."""
    at = 2
    while at + 10 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return content[at + 4] == 8 and content[at + 9] in (1, 3)
        if marker == 0xE2 and content[at + 4 : at + 8] == b'MPF\0':
            return False
        at += 2 + int.from_bytes(content[at + 2 : at + 4], 'big')
    return False
