"""Read pictures: one reader for training, preparation, stain and prediction.

Plain JPEG, PNG and BMP are OpenCV's, which turns them by their EXIF orientation. It guesses at
all others, so those are read by their own tags (:mod:`~cellkit.files.tiff`,
:mod:`~cellkit.files.raster`). A truncated file gives OpenCV a picture with a grey rest and no
error, so Pillow checks the file first.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cellkit.errors import BadFile
from cellkit.files.raster import is_plain, read_raster
from cellkit.files.stored import UNKNOWN, NotASmear, Picture, Stored, Whites, to_picture
from cellkit.files.tiff import MAGIC, read_tiff

SUFFIXES: tuple[str, ...] = (
    '.png', '.jpg', '.jpeg', '.jpe', '.jfif', '.tif', '.tiff', '.bmp', '.webp',
)  # fmt: skip
"""Names of pictures end so, in any case."""

Image.MAX_IMAGE_PIXELS = None  # a scanned slide is not an attack

_ORIENTATION = 0x0112


def read_bytes(data: Path, file: str) -> bytes:
    """Read a file of the data folder, or raise BadFile."""
    try:
        content = (data / file).read_bytes()
    except OSError as error:
        raise BadFile(file, f"can't be read ({error.strerror})", 'check its permissions') from error
    if not content:
        raise BadFile(file, 'is empty (0 bytes)', 'download or export it again')
    return content


def check_file(content: bytes, file: str) -> int:
    """EXIF orientation of a picture, 1 (upright) to 8; a BadFile if it is truncated or damaged."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.format == 'PNG':
                picture.verify()  # checksums of all chunks, without decoding
            else:
                picture.load()
        if content.startswith(b'\x89PNG') and b'eXIf' not in content:
            return 1  # the fast way
        with Image.open(io.BytesIO(content)) as picture:
            orientation = int(picture.getexif().get(_ORIENTATION, 1))
    except Image.UnidentifiedImageError:
        return 1  # some TIFFs are for OpenCV alone
    except Exception as error:  # Pillow raises many kinds on damaged files
        what = f'is truncated or damaged ({error})'
        raise BadFile(file, what, 'download or export it again') from error
    return orientation if 1 <= orientation <= 8 else 1


def _has_its_end(content: bytes) -> bool:
    """Whether a JPEG, PNG or BMP is as long as it says, or ends as those do."""
    if content.startswith(b'BM'):
        return len(content) >= int.from_bytes(content[2:6], 'little')
    return content.endswith((b'IEND\xaeB`\x82', b'\xff\xd9'))


def decode(content: bytes, file: str, flags: int) -> np.ndarray:
    """Decode a picture with OpenCV, or raise BadFile."""
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None:
        raise BadFile(file, "can't be decoded as a picture", 'export it again as PNG')
    return picture


def read_picture(path: Path, whites: Whites = UNKNOWN) -> Picture:
    """Read a picture as training, preparation and prediction all see it.

    Raises:
        BadFile: As :func:`decode_picture`, or the file can't be read.
    """
    file = str(path)
    if not path.is_file():
        raise BadFile(file, 'is not there', 'check its path')
    return decode_picture(read_bytes(Path(), file), file, whites)


def decode_picture(
    content: bytes, file: str, whites: Whites = UNKNOWN, check: bool = True
) -> Picture:
    """Decode a picture by what the file says of itself; docs/data.md tells the rules.

    Args:
        content: The file's bytes.
        file: Its name, for messages.
        whites: What is white in its folder (:func:`cellkit.files.depth.find_whites`); where that is
            not known, the picture's own values decide, and a remark says so.
        check: Look for damage that would only leave a part of the picture grey. It takes time, so
            that without it only files that don't end as a whole one does are looked at, and the
            turn isn't known for pictures of 8 bits.

    Raises:
        BadFile: It is damaged, no picture, or one that can't be shown truly in three colours.
    """
    if is_plain(content):
        turn = check_file(content, file) if check or not _has_its_end(content) else 1
        return Picture(decode(content, file, cv2.IMREAD_COLOR), turn=turn)
    return to_picture(stored_picture(content, file), whites, file)


def stored_picture(content: bytes, file: str) -> Stored:
    """The values that a file holds, before they are scaled to 8 bits; raises BadFile."""
    try:
        return read_tiff(content) if content.startswith(MAGIC) else read_raster(content)
    except NotASmear as error:
        raise BadFile(file, str(error), 'export it again as 8-bit RGB PNG') from error
    except Exception as error:  # decoders raise many kinds on damaged files
        what = f'is truncated or damaged ({error})'
        raise BadFile(file, what, 'download or export it again') from error
