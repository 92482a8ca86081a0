"""One picture in many encodings: training, preparation and prediction see the same pixels."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import custom_modules  # noqa: F401 - registers
from cellkit.errors import BadFile
from cellkit.files.depth import find_whites
from cellkit.smears.smear import draw_smear
from custom_modules.datasets.transforms.load_smear import LoadSmear
from data_prep.coco import coco_dict
from data_prep.convert import Converted, InstanceRule, convert_pair
from data_prep.pairs import Pair
from tools.predict.detector import Segmentation
from tools.predict.results import Results
from tools.predict.slides import Slide

SMEAR, CELLS = draw_smear(np.random.default_rng(3), (150, 200))
SMEAR[:24, :24] = 255  # what a camera of any depth reaches somewhere in a folder
RGB = cv2.GaussianBlur(SMEAR, (0, 0), 1.5)
GREY = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)
GREY_RGB = np.dstack([GREY] * 3)
CHW = RGB.transpose(2, 0, 1).copy()
BARS = np.zeros(GREY.shape, np.uint8)
BARS[:, 60:90], BARS[:, 90:] = 128, 255
ON_WHITE = np.rint(RGB * (BARS / 255.0)[..., None] + 255 * (1 - BARS / 255.0)[..., None])
BLACK_AND_WHITE = np.dstack([(GREY > 128) * 255] * 3)
CLEAR = np.zeros_like(GREY)


def deep(picture: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(picture / 255 * (2**bits - 1)).astype(np.uint16)


def floats(picture: np.ndarray, white: float = 1) -> np.ndarray:
    return (picture / 255 * white).astype(np.float32)


def tiff(picture: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, picture, **options)
    return file.getvalue()


def rgb_tiff(picture: np.ndarray, **options: Any) -> bytes:
    return tiff(picture, photometric='rgb', **options)


def pil(picture: np.ndarray | Image.Image, kind: str, mode: str = '', **options: Any) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def opencv(picture: np.ndarray, suffix: str) -> bytes:
    """Channels in the order in which they shall be in the file."""
    if picture.ndim == 3:
        picture = picture[..., [2, 1, 0, 3][: picture.shape[2]]]
    return cv2.imencode(suffix, np.ascontiguousarray(picture))[1].tobytes()


def tagged(picture: np.ndarray, bits: int, photometric: int, data: bytes, **more: int) -> bytes:
    """A TIFF of one strip by hand, for what no library writes."""
    height, width = picture.shape[:2]
    channels = picture.shape[2] if picture.ndim == 3 else 1
    depths = struct.pack(f'<{channels}H', *[bits] * channels)
    tags = {256: width, 257: height, 259: 1, 262: photometric, 277: channels, 278: height}
    tags |= {279: len(data)} | {int(key[1:]): value for key, value in more.items()}
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags |= {258: start if channels > 2 else bits, 273: start + len(depths)}
    entries = b''
    for tag, value in sorted(tags.items()):
        kind, count = {258: (3, channels), 530: (3, 2)}.get(tag, (4, 1))
        entries += struct.pack('<HHII', tag, kind, count, value)
    head = b'II*\0' + struct.pack('<IH', 8, len(tags)) + entries + bytes(4)
    return head + depths + data


def packed(picture: np.ndarray, bits: int) -> bytes:
    """Values without the bits between them, each row from a new byte on."""
    rows = picture.reshape(len(picture), -1).astype('>u2').view(np.uint8)
    unpacked = np.unpackbits(rows, axis=1).reshape(len(picture), -1, 16)[..., 16 - bits :]
    return np.packbits(unpacked.reshape(len(picture), -1), axis=1).tobytes()


def png_with(content: bytes, name: bytes, data: bytes) -> bytes:
    """Add a chunk after the header of a PNG."""
    chunk = struct.pack('>I', len(data)) + name + data
    return content[:33] + chunk + struct.pack('>I', zlib.crc32(name + data)) + content[33:]


def palette(colours: int = 256) -> Image.Image:
    return Image.fromarray(RGB).quantize(colours, dither=Image.Dither.NONE)


def exif(turn: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = turn
    return tags


def jpeg(picture: np.ndarray, **options: Any) -> bytes:
    return pil(picture, 'JPEG', quality=100, subsampling=0, **options)


def by_pillow(content: bytes) -> np.ndarray:
    """As another decoder has it: JPEG keeps colours to 4 levels at best."""
    return np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))


YCBCR = Image.fromarray(RGB).convert('YCbCr')
INK = 255 - np.dstack([RGB, np.full_like(GREY, 255)])
PALETTE_RGB = np.asarray(palette().convert('RGB'))
TURNED = np.ascontiguousarray(np.rot90(RGB))  # turn 6 puts it right


def tables(order: list[int]) -> np.ndarray:
    """ImageJ's colour tables of pure colours, (3, 3, 256)."""
    return np.eye(3, dtype=np.uint8)[order][..., None] * np.arange(256, dtype=np.uint8)


def without_photometric() -> bytes:
    content = rgb_tiff(RGB)
    at = content.index(struct.pack('<HHI', 262, 3, 1))
    return content[:at] + struct.pack('<H', 263) + content[at + 2 :]  # a tag of no meaning


def with_nan() -> np.ndarray:
    picture = floats(RGB)
    picture[5, 5, 0] = np.nan
    return picture


def with_black() -> np.ndarray:
    picture = RGB.copy()
    picture[5, 5, 0] = 0
    return picture


def with_hot_pixel() -> np.ndarray:
    picture = deep(RGB, 12)
    picture[7, 7] = 65535
    return picture


def pyramid() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tif:
        options = dict(photometric='rgb', tile=(64, 64))
        tif.write(RGB, subifds=1, **options)
        tif.write(RGB[::2, ::2], subfiletype=1, **options)
    return file.getvalue()


def thumbnail_first() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tif:
        tif.write(RGB[::4, ::4], photometric='rgb', subfiletype=1)
        tif.write(RGB, photometric='rgb')
    return file.getvalue()


def three_pages() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tif:
        for plane in CHW:
            tif.write(plane, photometric='minisblack', metadata=None)
    return file.getvalue()


def two_pictures() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tif:
        tif.write(RGB, photometric='rgb', metadata=None)
        tif.write(GREY[:50, :50], photometric='minisblack', metadata=None)
    return file.getvalue()


class Case(NamedTuple):
    """What is in a file, and what must come of it: pixels, perhaps with a remark; or an error."""

    content: Callable[[], bytes]
    expected: np.ndarray = RGB
    remark: str = ''
    error: str = ''


PAGES = r'has \d+ pages, of which only the first was read'
THREE = 'three .*, which were read as red, green and blue'
ONE_ALPHA = 'transparency of one value all over'

CASES = {
    # plain files
    'png': Case(lambda: opencv(RGB, '.png')),
    'bmp': Case(lambda: opencv(RGB, '.bmp')),
    'jpg': Case(lambda: jpeg(RGB), by_pillow(jpeg(RGB))),
    'progressive.jpg': Case(lambda: jpeg(RGB, progressive=True), by_pillow(jpeg(RGB))),
    'grey.jpg': Case(lambda: pil(GREY, 'JPEG', quality=100), GREY_RGB),
    'grey.png': Case(lambda: opencv(GREY, '.png'), GREY_RGB),
    'grey.bmp': Case(lambda: opencv(GREY, '.bmp'), GREY_RGB),
    'png named.jpg': Case(lambda: opencv(RGB, '.png')),
    'tif named.png': Case(lambda: rgb_tiff(RGB)),
    'gamma.png': Case(lambda: png_with(opencv(RGB, '.png'), b'gAMA', struct.pack('>I', 100000))),
    # PNG of other kinds
    '16.png': Case(lambda: opencv(deep(RGB, 16), '.png')),
    '12 in 16.png': Case(lambda: opencv(deep(RGB, 12), '.png')),
    '16 grey.png': Case(lambda: opencv(deep(GREY, 16), '.png'), GREY_RGB),
    '16 alpha.png': Case(lambda: opencv(deep(np.dstack([RGB, BARS]), 16), '.png'), ON_WHITE),
    '16 opaque.png': Case(
        lambda: opencv(np.dstack([deep(RGB, 16), np.full(GREY.shape, 65535, np.uint16)]), '.png')
    ),
    'alpha.png': Case(lambda: pil(np.dstack([RGB, BARS]), 'PNG'), ON_WHITE),
    'alpha zero.png': Case(lambda: pil(np.dstack([RGB, CLEAR]), 'PNG'), RGB, ONE_ALPHA),
    'alpha constant.png': Case(lambda: pil(np.dstack([RGB, CLEAR + 77]), 'PNG'), RGB, ONE_ALPHA),
    'grey alpha zero.png': Case(
        lambda: pil(np.dstack([GREY, CLEAR]), 'PNG'), GREY_RGB, ONE_ALPHA
    ),
    'palette.png': Case(lambda: pil(palette(), 'PNG'), PALETTE_RGB),
    'palette opaque tRNS.png': Case(
        lambda: pil(palette(), 'PNG', transparency=bytes([255] * 256)), PALETTE_RGB
    ),
    'palette clear tRNS.png': Case(
        lambda: pil(palette(), 'PNG', transparency=bytes(256)), PALETTE_RGB, ONE_ALPHA
    ),
    '1 bit.png': Case(lambda: pil(GREY > 128, 'PNG'), BLACK_AND_WHITE),
    'exif.png': Case(lambda: pil(TURNED, 'PNG', exif=exif(6))),
    # JPEG of other kinds
    'exif.jpg': Case(
        lambda: jpeg(TURNED, exif=exif(6)), np.rot90(by_pillow(jpeg(TURNED)), -1)
    ),
    'cmyk.jpg': Case(
        lambda: pil(Image.fromarray(INK, 'CMYK'), 'JPEG', quality=100, subsampling=0)
    ),
    # WebP, GIF, JPEG 2000, portable maps
    'webp': Case(lambda: pil(RGB, 'WEBP', lossless=True)),
    'alpha.webp': Case(lambda: pil(np.dstack([RGB, BARS]), 'WEBP', lossless=True), ON_WHITE),
    'gif': Case(lambda: pil(palette(), 'GIF'), PALETTE_RGB),
    'jp2': Case(lambda: pil(RGB, 'JPEG2000')),
    'ppm': Case(lambda: pil(RGB, 'PPM')),
    'alpha.bmp': Case(lambda: opencv(np.dstack([RGB, CLEAR]), '.bmp'), RGB, f'{ONE_ALPHA}|^$'),
    # TIFF: compressions and layouts
    'tif': Case(lambda: rgb_tiff(RGB)),
    'lzw.tif': Case(lambda: rgb_tiff(RGB, compression='lzw', predictor=True)),
    'deflate.tif': Case(lambda: rgb_tiff(RGB, compression='zlib')),
    'packbits.tif': Case(lambda: rgb_tiff(RGB, compression='packbits')),
    'zstd.tif': Case(lambda: rgb_tiff(RGB, compression='zstd')),
    'jpeg.tif': Case(lambda: pil(RGB, 'TIFF', compression='jpeg', quality=100)),
    'ycbcr.tif': Case(
        lambda: tagged(RGB, 8, 6, YCBCR.tobytes(), t530=0x10001), np.asarray(YCBCR.convert('RGB'))
    ),
    'tiles.tif': Case(lambda: rgb_tiff(RGB, tile=(64, 64))),
    'tiles planar.tif': Case(lambda: rgb_tiff(CHW, tile=(64, 64), planarconfig='separate')),
    'no photometric.tif': Case(without_photometric),
    'big.tif': Case(lambda: rgb_tiff(RGB, bigtiff=True)),
    'big endian.tif': Case(lambda: rgb_tiff(deep(RGB, 16), byteorder='>')),
    'planar.tif': Case(lambda: rgb_tiff(CHW, planarconfig='separate')),
    '16 planar.tif': Case(lambda: rgb_tiff(CHW.astype(np.uint16) * 257, planarconfig='separate')),
    'pyramid.tif': Case(pyramid),
    'thumbnail first.tif': Case(thumbnail_first),
    'exif.tif': Case(lambda: rgb_tiff(TURNED, extratags=[(274, 3, 1, 6)])),
    # TIFF: depths
    **{
        f'{bits} in 16.tif': Case(lambda bits=bits: rgb_tiff(deep(RGB, bits)))
        for bits in (8, 10, 12, 14, 16)
    },
    '12 packed.tif': Case(lambda: tagged(RGB, 12, 2, packed(deep(RGB, 12), 12))),
    '12 packed grey.tif': Case(lambda: tagged(GREY, 12, 1, packed(deep(GREY, 12), 12)), GREY_RGB),
    '4 bits.tif': Case(
        lambda: tagged(GREY, 4, 1, packed(deep(GREY, 4), 4)), np.dstack([deep(GREY, 4) * 17] * 3)
    ),
    '1 bit.tif': Case(lambda: tiff(GREY > 128, photometric='minisblack'), BLACK_AND_WHITE),
    '12 tag.tif': Case(lambda: rgb_tiff(deep(RGB, 12) // 2, extratags=[(281, 3, 3, (4095,) * 3)]),
                       np.rint(deep(RGB, 12) // 2 * (255 / 4095))),
    'ome bits.ome.tif': Case(
        lambda: rgb_tiff(deep(RGB, 12) // 2, ome=True, metadata={'SignificantBits': 12}),
        np.rint(deep(RGB, 12) // 2 * (255 / 4095)),
    ),
    'float.tif': Case(lambda: rgb_tiff(floats(RGB))),
    'float beyond 1.tif': Case(lambda: rgb_tiff(floats(RGB) * 1.004)),
    'float 255.tif': Case(lambda: rgb_tiff(floats(RGB, 255))),
    'float 65535.tif': Case(lambda: rgb_tiff(floats(RGB, 65535))),
    'float64.tif': Case(lambda: rgb_tiff(floats(RGB).astype(np.float64))),
    'float16.tif': Case(lambda: rgb_tiff(floats(RGB).astype(np.float16))),
    'float grey.tif': Case(lambda: tiff(floats(GREY)), GREY_RGB),
    'nan.tif': Case(lambda: rgb_tiff(with_nan()), with_black(), '1 values that are no numbers'),
    'pfm': Case(lambda: cv2.imencode('.pfm', floats(RGB[..., ::-1]))[1].tobytes()),
    '32 bits.tif': Case(lambda: rgb_tiff(deep(RGB, 16).astype(np.uint32))),
    # TIFF: colours
    'grey.tif': Case(lambda: tiff(GREY), GREY_RGB),
    'min is white.tif': Case(lambda: tiff(255 - GREY, photometric='miniswhite'), GREY_RGB),
    '16 min is white.tif': Case(
        lambda: tiff(65535 - deep(GREY, 16), photometric='miniswhite'), GREY_RGB
    ),
    '1 bit min is white.tif': Case(
        lambda: tiff(GREY <= 128, photometric='miniswhite'), BLACK_AND_WHITE
    ),
    'palette.tif': Case(lambda: pil(palette(), 'TIFF'), PALETTE_RGB),
    'cmyk.tif': Case(lambda: tiff(INK, photometric='separated')),
    'cmyk planar.tif': Case(
        lambda: tiff(INK.transpose(2, 0, 1).copy(), photometric='separated',
                     planarconfig='separate')
    ),
    '16 cmyk.tif': Case(lambda: tiff(deep(INK, 16), photometric='separated')),
    'alpha.tif': Case(
        lambda: rgb_tiff(np.dstack([RGB, BARS]), extrasamples=['unassalpha']), ON_WHITE
    ),
    'alpha multiplied.tif': Case(
        lambda: rgb_tiff(np.dstack([np.rint(RGB * (BARS / 255)[..., None]).astype(np.uint8), BARS]),
                         extrasamples=['assocalpha']), ON_WHITE
    ),
    '16 alpha.tif': Case(
        lambda: rgb_tiff(deep(np.dstack([RGB, BARS]), 16), extrasamples=['unassalpha']), ON_WHITE
    ),
    '12 alpha.tif': Case(
        lambda: rgb_tiff(deep(np.dstack([RGB, BARS]), 12), extrasamples=['unassalpha']), ON_WHITE
    ),
    'alpha planar.tif': Case(
        lambda: rgb_tiff(np.dstack([RGB, BARS]).transpose(2, 0, 1).copy(),
                         planarconfig='separate', extrasamples=['unassalpha']), ON_WHITE
    ),
    'alpha zero.tif': Case(
        lambda: rgb_tiff(np.dstack([RGB, CLEAR]), extrasamples=['unassalpha']), RGB, ONE_ALPHA
    ),
    'alpha not multiplied.tif': Case(
        lambda: rgb_tiff(np.dstack([RGB, BARS]), extrasamples=['assocalpha']), ON_WHITE
    ),
    'alpha zero multiplied.tif': Case(
        lambda: rgb_tiff(np.dstack([RGB, CLEAR]), extrasamples=['assocalpha']), RGB, ONE_ALPHA
    ),
    'extra channel.tif': Case(
        lambda: rgb_tiff(np.dstack([RGB, CLEAR, BARS]), extrasamples=['unspecified'] * 2), RGB,
        'has 2 channels beside its colours, left out',
    ),
    'grey alpha.tif': Case(
        lambda: tiff(np.dstack([GREY, CLEAR]), photometric='minisblack', planarconfig='contig',
                     extrasamples=['unassalpha']), GREY_RGB, ONE_ALPHA,
    ),
    # TIFF: pages and axes
    'pages.tif': Case(lambda: rgb_tiff(np.stack([RGB, 255 - RGB])), RGB, PAGES),
    'grey pages.tif': Case(lambda: tiff(np.stack([GREY, 255 - GREY])), GREY_RGB, PAGES),
    'channels first.tif': Case(lambda: tiff(CHW, photometric='minisblack'), RGB, THREE),
    'three pages.tif': Case(three_pages, RGB, THREE),
    'grey samples.tif': Case(
        lambda: tiff(RGB, photometric='minisblack', planarconfig='contig'), RGB, THREE
    ),
    'row a page.tif': Case(lambda: tiff(floats(RGB), photometric='minisblack'), RGB, 'page a row'),
    'imagej.tif': Case(lambda: tiff(RGB, imagej=True)),
    'imagej channels.tif': Case(
        lambda: tiff(CHW, imagej=True, metadata={'axes': 'CYX'}), RGB, THREE
    ),
    'imagej blue first.tif': Case(
        lambda: tiff(CHW[::-1].copy(), imagej=True,
                     metadata={'axes': 'CYX', 'LUTs': list(tables([2, 1, 0]))}),
        RGB, THREE,
    ),
    'imagej grey tables.tif': Case(
        lambda: tiff(CHW, imagej=True,
                     metadata={'axes': 'CYX', 'LUTs': [tables([0, 1, 2]).sum(axis=0)] * 3}),
        RGB, THREE,
    ),
    'imagej hyperstack.tif': Case(
        lambda: tiff(np.stack([CHW, CHW // 2]), imagej=True, metadata={'axes': 'ZCYX'}), RGB,
        PAGES,
    ),
    'imagej z of three.tif': Case(
        lambda: tiff(np.stack([GREY] * 3), imagej=True, metadata={'axes': 'ZYX'}), GREY_RGB, PAGES
    ),
    'ome planes.ome.tif': Case(
        lambda: tiff(CHW, ome=True, photometric='minisblack', metadata={'axes': 'CYX'}), RGB, THREE
    ),
    'ome stack.ome.tif': Case(
        lambda: rgb_tiff(np.stack([RGB, RGB // 2]), ome=True, metadata={'axes': 'TYXS'}), RGB,
        PAGES,
    ),
    'two pictures.tif': Case(two_pictures, RGB, 'holds 2 pictures, of which only'),
    'animation.gif': Case(
        lambda: pil(palette(), 'GIF', save_all=True, append_images=[palette(8)]), PALETTE_RGB,
        PAGES,
    ),
    # errors
    'five channels.tif': Case(
        lambda: tiff(np.stack([GREY] * 5), photometric='minisblack', imagej=True,
                     metadata={'axes': 'CYX'}), error='has 5 channels and is no colour picture',
    ),
    'cyan magenta yellow.tif': Case(
        lambda: tiff(CHW, imagej=True,
                     metadata={'axes': 'CYX', 'LUTs': list(255 - tables([0, 1, 2]))}),
        error='colours other than red, green and blue',
    ),
    'fluorescence.ome.tif': Case(
        lambda: tiff(CHW, ome=True, photometric='minisblack',
                     metadata={'axes': 'CYX', 'Channel': {'EmissionWavelength': [450, 520, 600]}}),
        error='is a fluorescence picture',
    ),
    'lab.tif': Case(lambda: tiff(RGB, photometric='cielab'), error='colours of a kind'),
    'complex.tif': Case(lambda: tiff(floats(GREY).astype(np.complex64)), error='complex numbers'),
    'signed.tif': Case(
        lambda: tiff(deep(GREY, 12).astype(np.int16)), error='signed whole numbers'
    ),
    'minus.tif': Case(lambda: rgb_tiff(floats(RGB) * 2 - 1), error='has values from -'),
    'hot pixel.tif': Case(lambda: rgb_tiff(with_hot_pixel()), error='nearly black when read as 16'),
    'cut.tif': Case(lambda: rgb_tiff(RGB)[:50_000], error='is truncated or damaged'),
    'cut imagej.tif': Case(
        lambda: tiff(CHW, imagej=True, metadata={'axes': 'CYX'})[:-9000], error='pages are missing'
    ),
    'cut pages.tif': Case(
        lambda: tiff(CHW, photometric='minisblack')[:-9000], error='is truncated or damaged'
    ),
    'cut lzw.tif': Case(
        lambda: rgb_tiff(RGB, compression='lzw')[:20_000], error='is truncated or damaged'
    ),
    'cut 16.png': Case(lambda: opencv(deep(RGB, 16), '.png')[:-9000], error='truncated|decoded'),
    'cut.webp': Case(lambda: pil(RGB, 'WEBP', lossless=True)[:-9000], error='truncated|decoded'),
    'text.tif': Case(lambda: b'no picture', error="can't be decoded as a picture"),
}  # fmt: skip


class Screen:
    """In a detector's place: keeps what it is shown."""

    scale, tile, device, limit = 1, None, 'cpu', 300

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, picture: np.ndarray, *_: object) -> Segmentation:
        self.seen.append(picture)
        return Segmentation(np.zeros(picture.shape[:2], np.int32), np.zeros(0), 1.0, False)


def predicted(file: Path, out: Path) -> tuple[list[np.ndarray], list[str], list[str]]:
    """What prediction sees, its remarks on the picture and what it says of it."""
    screen, results = Screen(), Results(out, [Slide(file, file.name, file.stem)])
    results.fill(screen)
    notes = [note for note in results.notes if note.startswith(f'{file} ')]
    return screen.seen, notes, results.problems


def test_there_are_enough() -> None:
    assert sum(not case.error for case in CASES.values()) >= 90


@pytest.mark.parametrize('name', CASES)
def test_a_picture_is_the_same_in_all_ways(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    file = tmp_path / (name if '.' in name else f'a.{name}')
    file.write_bytes(case.content())
    mask = tmp_path / 'mask.png'
    cv2.imwrite(str(mask), (CELLS > 0).astype(np.uint8) * 255)
    seen, notes, problems = predicted(file, tmp_path / 'out')
    pair = Pair('train', 'a', file.name, mask.name)
    prepared = convert_pair(
        tmp_path, pair, InstanceRule(min_area=20), whites=find_whites([file]).whites
    )
    if case.error:
        for (told,) in (problems, prepared):
            assert file.name in str(told)
            assert re.search(case.error, str(told))
        with pytest.raises(BadFile, match=f'{file.name}: .*; '):
            LoadSmear().transform({'img_path': str(file)})
        return
    assert not problems
    assert isinstance(prepared, Converted), prepared
    (image,) = coco_dict([prepared], {file.name: 1}, {})['images']
    white = {'white': image['white']} if 'white' in image else {}
    trained = LoadSmear().transform({'img_path': str(file), **white})
    (shown,) = seen
    np.testing.assert_array_equal(shown, trained['img'])
    assert shown.dtype == np.uint8
    assert trained['img_shape'] == trained['ori_shape'] == shown.shape[:2]
    assert (image['height'], image['width']) == shown.shape[:2]
    np.testing.assert_allclose(shown[..., ::-1], case.expected, atol=2)
    remarks = ' '.join(prepared.remarks)
    assert remarks == ' '.join(notes).replace(f'{file} ', '')
    assert re.search(case.remark, remarks) if case.remark else remarks == ''
