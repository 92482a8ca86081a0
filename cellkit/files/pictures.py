"""Read pictures strictly, and exactly as the training pipeline will see them.

MMDetection's loader decodes with OpenCV's ``IMREAD_COLOR``, which turns an image by its EXIF
orientation, keeps the upper 8 of 16 bits and drops transparency. A truncated file gives it a
picture with a grey rest and no error, so Pillow checks the file first.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from cellkit.errors import BadFile

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


def decode(content: bytes, file: str, flags: int) -> np.ndarray:
    """Decode a picture with OpenCV, or raise BadFile."""
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None:
        raise BadFile(file, "can't be decoded as a picture", 'export it again as PNG')
    return picture


def decode_image(content: bytes, file: str) -> np.ndarray:
    """Decode a smear image as training sees it: ``(H, W, 3)`` uint8 BGR, turned by its EXIF tag."""
    return decode(content, file, cv2.IMREAD_COLOR)


def decode_mask(content: bytes, file: str, threshold: int, allow_grey: bool = False) -> np.ndarray:
    """Decode a mask of two values to one channel, ``(H, W)`` uint8.

    Args:
        content: The file's bytes: one channel, equal channels, a palette or one colour on black;
            8 or 16 bit (16 bit is scaled to 8 bit when it goes beyond 255).
        file: Its name, for the message.
        threshold: Foreground is greater than this.
        allow_grey: Take values between the two as they are, for the threshold to cut.

    Raises:
        BadFile: Grey values, several colours, or nothing on one side of the threshold.
    """
    mask = decode(content, file, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    if mask.dtype == np.uint16:
        mask = (mask >> 8 if mask.max() > 255 else mask).astype(np.uint8)
    if mask.dtype != np.uint8:
        what = f'is a mask of {mask.dtype} values'
        raise BadFile(file, what, 'export it as 8-bit PNG of 0 and 255')
    channels = cv2.split(mask)
    if all(np.array_equal(channels[0], c) for c in channels[1:]):
        channels = channels[:1]
    mask = functools.reduce(cv2.max, channels)
    histogram = _histogram(mask)
    values = np.flatnonzero(histogram)
    if values[-1] == 0:
        raise BadFile(file, 'is an empty mask (all black)', 'draw its cells or remove the pair')
    if values[-1] <= threshold:
        what = f'has no value above {threshold} (its greatest is {values[-1]})'
        raise BadFile(file, what, f'scale it to 0 and 255 or pass --threshold {values[-1] // 2}')
    if values[0] > threshold:
        raise BadFile(file, 'is white all over', 'draw its background black or remove the pair')
    if len(channels) > 1 and not _one_colour(channels, histogram):
        what = 'is a picture in several colours, not a mask'
        raise BadFile(file, what, 'export it as PNG of 0 and 255')
    if not allow_grey and (len(values) > 2 or values[0] != 0):
        grey = histogram[1 : values[-1]].sum()
        what = f'has grey values between black and white ({grey} pixels, {len(values)} values)'
        remedy = 'export it as PNG without smoothing or scaling, or pass --allow-grey to cut it at'
        raise BadFile(file, what, f'{remedy} {threshold}')
    return mask


def _histogram(channel: np.ndarray) -> np.ndarray:
    return cv2.calcHist([channel], [0], None, [256], [0, 256]).ravel().astype(np.int64)


def _one_colour(channels: Sequence[np.ndarray], histogram: np.ndarray) -> bool:
    """Whether all foreground pixels have one colour: each channel is 0 or constant on them."""
    foreground = histogram[1:].sum()
    counts = [_histogram(channel)[1:] for channel in channels]
    return all(used.max() == used.sum() and used.sum() in (0, foreground) for used in counts)


def read_slide(path: Path) -> tuple[np.ndarray, str]:
    """Read a picture as the model was trained to see one.

    8-bit colour is taken as training takes it. Grey becomes three equal channels. Values of more
    than 8 bits are scaled from the smallest of 10, 12, 14 and 16 bits that holds the greatest one,
    since cameras often leave the upper bits unused; floats up to 1 are scaled by 255. What is
    transparent is laid on white. Of several pages the first is read.

    Returns:
        (H, W, 3) uint8 BGR, turned by its EXIF tag; and a remark for the user, often empty.

    Raises:
        BadFile: The file can't be read; the message says what to do.
    """
    file = str(path)
    content = read_bytes(Path(), file)
    check_file(content, file)
    pages, transparent = _look_inside(content)
    if transparent:
        picture = _on_white(content)
    else:
        # Grey and colour of any depth; the flag for colour alone fails on 32-bit grey.
        picture = to_8_bit(decode(content, file, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH))
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    return picture, f'has {pages} pages, of which only the first was read' if pages > 1 else ''


def _look_inside(content: bytes) -> tuple[int, bool]:
    """Number of pages and whether anything is transparent, without decoding."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return getattr(picture, 'n_frames', 1), picture.has_transparency_data
    except (Image.UnidentifiedImageError, OSError):
        return 1, False


def to_8_bit(picture: np.ndarray) -> np.ndarray:
    """Scale integers or floats to uint8 of the same shape, as :func:`read_slide` says.

    What is below 0, infinite or NaN counts as 0.
    """
    if picture.dtype == np.uint8:
        return picture
    values = np.nan_to_num(picture.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    top = float(values.max(initial=0))
    if picture.dtype.kind == 'f' and top <= 1:
        full = 1.0
    else:
        bits = next((b for b in (8, 10, 12, 14, 16) if top < 2**b), None)
        full = 2.0**bits - 1 if bits else top
    return np.rint(values * (255 / full)).astype(np.uint8)


def _on_white(content: bytes) -> np.ndarray:
    """Decode with Pillow, 8 bits a channel: OpenCV multiplies a TIFF's colours by their alpha."""
    with Image.open(io.BytesIO(content)) as picture:
        picture = ImageOps.exif_transpose(picture).convert('RGBA')
    white = Image.new('RGBA', picture.size, 'white')
    return cv2.cvtColor(np.asarray(Image.alpha_composite(white, picture)), cv2.COLOR_RGBA2BGR)


def read_image(path: Path) -> np.ndarray:
    """Read a smear image as training sees it, ``(H, W, 3)`` uint8 BGR, or raise BadFile."""
    file = str(path)
    if not path.is_file():
        raise BadFile(file, 'is not there', 'check its path or run `make prepare` again')
    return decode_image(read_bytes(Path(), file), file)
