"""One mask in many forms: the same cells to the pixel, or an error that says how to go on."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cellkit.errors import BadFile
from cellkit.files.masks import Mask, read_mask
from cellkit.instances import label_cells, label_instances


def draw_labels() -> np.ndarray:
    """Twelve cells in reading order, apart from each other, one of them cut by the border."""
    labels = np.zeros((120, 160), np.uint8)
    for k in range(12):
        x, y = 15 + 40 * (k % 4) + k // 4, 5 + 45 * (k // 4) + 2 * (k % 4)
        cv2.ellipse(labels, (x, y), (9 + k % 5, 12), 20 * k, 0, 360, k + 1, -1)
    return label_cells(labels, 1)[0].astype(np.uint8)


LABELS = draw_labels()
BINARY = (LABELS > 0).astype(np.uint8) * 255
COLOURS = np.random.default_rng(3).integers(30, 256, (13, 3)).astype(np.uint8)
COLOURS[0] = 0
COLOURED = COLOURS[LABELS]
PAGES = np.stack([(k == LABELS) * np.uint8(255) for k in range(1, 13)])


def png(array: np.ndarray) -> bytes:
    return cv2.imencode('.png', array)[1].tobytes()


def pillow(picture: Image.Image, kind: str = 'PNG', **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    content = io.BytesIO()
    tifffile.imwrite(content, array, **options)
    return content.getvalue()


def palette(indices: np.ndarray, colours: np.ndarray, kind: str = 'PNG', **options) -> bytes:
    picture = Image.fromarray(indices, 'L')
    picture.putpalette(colours.ravel().tolist())
    return pillow(picture, kind, **options)


def with_alpha(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([colour] * (3 if colour.ndim == 2 else 1) + [alpha])


def cells_of(mask: Mask, min_area: int = 1) -> np.ndarray:
    """What preparation makes of it."""
    if mask.cells.dtype == bool:
        return label_instances(mask.cells, min_area=min_area)[0]
    return label_cells(mask.cells, min_area)[0]


ONES = BINARY // 255
SIX = np.array([5, 1, 2, 250, 9, 77], np.int64)
FORMS: dict[str, Callable[[], bytes]] = {
    '0 and 255': lambda: png(BINARY),
    '0 and 255 in three channels': lambda: png(cv2.merge([BINARY] * 3)),
    '0 and 1': lambda: png(ONES),
    '0 and 1 as BMP': lambda: pillow(Image.fromarray(ONES), 'BMP'),
    '1 and 2': lambda: png(ONES + 1),
    '100 and 200': lambda: png(ONES * 100 + 100),
    '16 bit, 0 and 65535': lambda: png(BINARY.astype(np.uint16) * 257),
    '16 bit, 0 and 300': lambda: png(ONES.astype(np.uint16) * 300),
    '1 bit PNG': lambda: pillow(Image.fromarray(BINARY).convert('1')),
    '1 bit BMP': lambda: pillow(Image.fromarray(BINARY).convert('1'), 'BMP'),
    '1 bit TIFF': lambda: pillow(Image.fromarray(BINARY).convert('1'), 'TIFF'),
    '1 bit fax TIFF': lambda: pillow(
        Image.fromarray(BINARY).convert('1'), 'TIFF', compression='group4'
    ),
    '1 bit TIFF, 0 is white': lambda: tiff(BINARY == 0, photometric='miniswhite'),
    '8 bit TIFF, 0 is white': lambda: tiff(255 - BINARY, photometric='miniswhite'),
    'TIFF as OpenCV writes it': lambda: cv2.imencode('.tif', BINARY)[1].tobytes(),
    'big TIFF, deflate, tiles': lambda: tiff(
        BINARY, bigtiff=True, compression='zlib', tile=(64, 64), byteorder='>'
    ),
    'floats 0 and 1': lambda: tiff(ONES.astype(np.float32)),
    'floats 0 and 255': lambda: tiff(BINARY.astype(np.float64)),
    'signed 32 bit, 0 and 1': lambda: tiff(ONES.astype(np.int32)),
    'one colour': lambda: png(np.dstack([0 * BINARY, 0 * BINARY, ONES * 200])),
    'one mixed colour': lambda: png(np.dstack([ONES * 20, ONES * 130, ONES * 200])),
    'planes of a TIFF': lambda: tiff(
        np.stack([BINARY] * 3), photometric='rgb', planarconfig='separate'
    ),
    'palette black and white': lambda: palette(ONES, np.array([[0, 0, 0], [255, 255, 255]])),
    'palette white and black': lambda: palette(1 - ONES, np.array([[255, 255, 255], [0, 0, 0]])),
    'palette black and red': lambda: palette(ONES, np.array([[0, 0, 0], [200, 0, 0]])),
    'everything in alpha': lambda: png(with_alpha(0 * BINARY, BINARY)),
    'everything in alpha, on white': lambda: png(with_alpha(0 * BINARY + 255, BINARY)),
    'alpha of 255': lambda: png(with_alpha(BINARY, 0 * BINARY + 255)),
    'alpha of 0': lambda: png(with_alpha(BINARY, 0 * BINARY)),
    'alpha as the mask': lambda: png(with_alpha(BINARY, BINARY)),
    'grey and alpha': lambda: pillow(Image.merge('LA', [Image.fromarray(BINARY)] * 2)),
    'RGBA TIFF': lambda: tiff(
        with_alpha(0 * BINARY, BINARY), photometric='rgb', extrasamples=['unassalpha']
    ),
    'label map, 8 bit': lambda: png(LABELS),
    'label map, 8 bit in three channels': lambda: png(cv2.merge([LABELS] * 3)),
    'label map, 8 bit BMP': lambda: pillow(Image.fromarray(LABELS), 'BMP'),
    'label map, 16 bit': lambda: png(LABELS.astype(np.uint16)),
    'label map, 16 bit above a byte': lambda: png(LABELS.astype(np.uint16) * 1000),
    'label map, signed 32 bit': lambda: tiff(LABELS.astype(np.int32) * 70001),
    'label map, unsigned 32 bit': lambda: tiff(LABELS.astype(np.uint32)),
    'label map, 64 bit': lambda: tiff(LABELS.astype(np.int64)),
    'label map of floats': lambda: tiff(LABELS.astype(np.float32)),
    'label map scaled to 0..1': lambda: tiff(LABELS.astype(np.float32) / 12),
    'label map scaled to 0..255': lambda: png(LABELS * 21),
    'label map with gaps': lambda: png(
        np.concatenate([[0], SIX, SIX + 700]).astype(np.uint16)[LABELS]
    ),
    'label map, 0 is white': lambda: tiff(255 - LABELS, photometric='miniswhite'),
    'label map that only says that 0 is white': lambda: tiff(LABELS, photometric='miniswhite'),
    'label map, 4 bit': lambda: palette(LABELS, np.repeat(np.arange(16), 3) * 17, bits=4),
    'coloured cells': lambda: png(COLOURED),
    'coloured cells, 16 bit': lambda: png(COLOURED.astype(np.uint16) * 257),
    'coloured cells, BMP': lambda: pillow(Image.fromarray(COLOURED), 'BMP'),
    'coloured cells, TIFF': lambda: tiff(COLOURED, photometric='rgb', compression='lzw'),
    'coloured cells, planes': lambda: tiff(
        COLOURED.transpose(2, 0, 1).copy(), photometric='rgb', planarconfig='separate'
    ),
    'coloured cells on nothing': lambda: png(with_alpha(COLOURED, BINARY)),
    'palette of colours': lambda: palette(LABELS, COLOURS),
    'palette of colours, black at 12': lambda: palette(12 - LABELS, COLOURS[::-1].copy()),
    'palette of few colours': lambda: palette(LABELS, COLOURS[[0] + [1, 2, 3] * 4]),
    'palette TIFF': lambda: palette(LABELS, COLOURS, 'TIFF'),
    'one page a cell': lambda: tiff(PAGES, photometric='minisblack'),
    'one page a cell, 0 and 1': lambda: tiff(PAGES // 255, photometric='minisblack'),
    'one page a cell, 1 bit': lambda: tiff(PAGES > 0, photometric='minisblack'),
    'one page a cell and an empty one': lambda: tiff(
        np.concatenate([PAGES, 0 * PAGES[:1]]), photometric='minisblack'
    ),
    'one page a cell, ImageJ': lambda: tiff(PAGES, imagej=True),
    'one page a cell, in colour': lambda: tiff(
        np.where(PAGES[..., None] > 0, COLOURS[1:, None, None], 0), photometric='rgb'
    ),
    'palette of colours, the rest transparent': lambda: palette(LABELS, COLOURS, transparency=0),
    'grey with a transparent shade': lambda: pillow(Image.fromarray(BINARY), transparency=0),
    'one channel a cell': lambda: tiff(
        PAGES.transpose(1, 2, 0).copy(), photometric='minisblack', planarconfig='contig'
    ),
}


@pytest.mark.parametrize('form', FORMS)
def test_the_same_cells_in_every_form(form: str) -> None:
    np.testing.assert_array_equal(cells_of(read_mask(FORMS[form](), 'a')), LABELS)


@pytest.mark.parametrize(
    ('form', 'words'),
    [
        ('0 and 255', ''),
        ('0 and 1', 'masks of 0 and 1'),
        ('label map, 16 bit', 'label maps'),
        ('coloured cells', 'coloured cells'),
        ('palette of few colours', 'palette pictures'),
        ('one page a cell', 'pages, one a cell'),
        ('everything in alpha', 'alpha channels'),
        ('1 bit TIFF, 0 is white', 'masks where 0 is white'),
    ],
)
def test_the_form_is_said(form: str, words: str) -> None:
    assert read_mask(FORMS[form](), 'a').form == words


def jpeg(array: np.ndarray, quality: int = 90) -> bytes:
    return cv2.imencode('.jpg', array, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


CLASSES = png(np.where(LABELS > 0, LABELS % 3 + 1, 0).astype(np.uint8))
SMOOTH = cv2.GaussianBlur(BINARY, (0, 0), 1.5)
REFUSED: dict[str, tuple[bytes, str]] = {
    'black': (png(0 * BINARY), r'is an empty mask \(all black\); draw'),
    'white': (png(0 * BINARY + 255), 'is white all over; draw'),
    'smooth': (png(SMOOTH), r'has grey values between black and white \(\d+ pixels, \d+ values\)'),
    'JPEG': (jpeg(BINARY), 'has grey values between black and white .* pass --allow-grey'),
    'smooth alpha': (png(with_alpha(0 * SMOOTH, SMOOTH)), 'has grey values between'),
    'grey palette': (palette(SMOOTH, np.repeat(np.arange(256), 3)), 'has grey values between'),
    'smooth floats': (tiff(SMOOTH / np.float32(255)), 'is a mask of float32 values that are nei'),
    'smooth colours': (png(cv2.blur(COLOURED, (3, 3))), 'is a picture in several colours, not a m'),
    'classes': (CLASSES, 'has 3 values beside its background, 3 of .* --masks regions if each'),
    'classes in colour': (png(COLOURS[np.where(LABELS, LABELS % 3 + 1, 0)]), 'has 3 values beside'),
    'no background': (png(LABELS + 1), 'has 13 values and no 0, so its background'),
    'watershed lines': (tiff(LABELS.astype(np.int32) - 1), r'has values below 0 \(its least is -1'),
    'NaN': (tiff(np.where(LABELS, 1, np.nan)), 'has values that are no numbers'),
    'JPEG of a label map': (jpeg(LABELS * 20), 'has even regions of grey .* lose cells; export'),
    'smooth label map': (png(cv2.blur(LABELS * 20, (3, 3))), 'has even regions of grey'),
    'hidden foreground': (png(with_alpha(BINARY, 255 - BINARY)), 'has an alpha channel that hides'),
    'pages of many cells': (
        tiff(np.stack([BINARY, 255 - BINARY]), photometric='minisblack'),
        'has 2 pages, 1 of them with several separate regions.*--masks',
    ),
    'the whole and its cells': (
        tiff(np.concatenate([PAGES[:1] * 0 + 255 * (LABELS == 2), PAGES])),
        'has 13 pages that overlap, so that little is left of page',
    ),
    'pages of labels': (
        tiff(np.stack([LABELS, LABELS]), photometric='minisblack'),
        'has several pages, and page 1 of 2 is not two values',
    ),
    'pages of two sizes': (
        pillow(
            Image.fromarray(BINARY),
            'TIFF',
            save_all=True,
            append_images=[Image.fromarray(BINARY[:50])],
        ),
        'has 2 pages of different sizes or kinds',
    ),
    'pages of colours': (
        tiff(np.stack([COLOURED, 0 * COLOURED]), photometric='rgb'),
        'has several pages, and page 1 of 2 is not two values',
    ),
    'many channels': (
        tiff(np.dstack([COLOURED, BINARY, BINARY]), photometric='rgb'),
        'has 5 channels; export',
    ),
    'truncated TIFF': (tiff(BINARY)[:9000], "can't be read whole as TIFF"),
    'truncated LZW': (tiff(COLOURED, compression='lzw')[:1500], "can't be read whole as TIFF"),
}


@pytest.mark.parametrize('case', REFUSED)
def test_what_is_not_clearly_one_thing_is_refused(case: str) -> None:
    content, what = REFUSED[case]
    with pytest.raises(BadFile, match=f'^m.png: {what}'):
        read_mask(content, 'm.png')


@pytest.mark.parametrize('case', ['JPEG of a label map', 'smooth label map', 'classes'])
@pytest.mark.parametrize('threshold', [5, 60, 127])
def test_no_threshold_loses_cells(case: str, threshold: int) -> None:
    with pytest.raises(BadFile):
        read_mask(REFUSED[case][0], 'm.png', threshold=threshold, allow_grey=True)


@pytest.mark.parametrize('case', ['smooth', 'JPEG', 'smooth alpha', 'grey palette'])
def test_grey_is_cut_at_the_threshold_on_request(case: str) -> None:
    content = REFUSED[case][0]
    mask = read_mask(content, 'a', allow_grey=True)
    assert mask.cells.dtype == bool
    assert mask.form.endswith('grey masks, cut at 127')
    assert np.mean(mask.cells != (LABELS > 0)) < 0.01
    assert cells_of(mask).max() == 12
    with pytest.raises(BadFile, match='none on one side of 255'):
        read_mask(content, 'a', allow_grey=True, threshold=255)


def test_a_class_map_is_read_as_the_option_says() -> None:
    np.testing.assert_array_equal(cells_of(read_mask(CLASSES, 'a', 'regions')), LABELS)
    np.testing.assert_array_equal(read_mask(CLASSES, 'a', 'binary').cells, LABELS > 0)
    assert cells_of(read_mask(CLASSES, 'a', 'labels')).max() == 3


def test_pages_are_read_as_the_option_says() -> None:
    left = np.where(np.arange(160) < 80, BINARY, 0).astype(np.uint8)
    content = tiff(np.stack([left, BINARY - left]), photometric='minisblack')
    with pytest.raises(BadFile, match='several separate regions'):
        read_mask(content, 'a')
    np.testing.assert_array_equal(read_mask(content, 'a', 'binary').cells, LABELS > 0)
    regions = cells_of(read_mask(content, 'a', 'regions'))
    np.testing.assert_array_equal(regions > 0, LABELS > 0)
    assert regions.max() >= 12
    assert cells_of(read_mask(content, 'a', 'labels')).max() == 2


def test_the_smaller_of_two_cells_lies_on_top() -> None:
    pages = np.zeros((2, 40, 60), np.uint8)
    pages[0, 5:30, 20:35], pages[1, 5:35, 5:23] = 255, 255
    for order in (pages, pages[::-1]):
        mask = read_mask(tiff(order.copy(), photometric='minisblack'), 'a')
        assert sorted(np.bincount(mask.cells.ravel())[1:]) == [25 * 15, 30 * 18 - 25 * 3]
        assert mask.remark == 'its pages overlap in 75 pixels, which go to the smaller cell'


def test_touching_cells_and_cells_in_pieces_are_as_labelled() -> None:
    labels = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((12, 12), int)).astype(np.uint8)
    labels = np.pad(labels, 3)
    labels[10:18, 20:28], labels[-12:, -12:-4] = 25, 0
    labels[-8:-3, -8:-3] = 25
    mask = read_mask(png(labels), 'a')
    assert mask.remark == '1 of its labels lie in several regions, each still one cell'
    for k in range(1, 26):
        (number,) = np.unique(cells_of(mask)[labels == k])
        np.testing.assert_array_equal(cells_of(mask) == number, labels == k)


def test_a_label_with_few_pixels_is_a_speck() -> None:
    labels = LABELS.copy()
    labels[60:65, 30:35][labels[60:65, 30:35] == 0] = 13
    few = int((labels == 13).sum())
    assert few > 0
    found, specks = label_cells(read_mask(png(labels), 'a').cells, few + 1)
    np.testing.assert_array_equal(found, LABELS)
    assert [speck.area for speck in specks] == [few]


def test_more_labels_than_a_byte_counts() -> None:
    labels = np.kron(np.arange(400).reshape(20, 20), np.pad(np.ones((6, 6), int), 1))
    for content in (png(labels.astype(np.uint16)), tiff(labels.astype(np.float32))):
        assert read_mask(content, 'a').cells.max() == 399


def test_masks_of_two_values_can_be_inverted() -> None:
    mask = read_mask(png(255 - BINARY), 'a', invert=True)
    np.testing.assert_array_equal(mask.cells, LABELS > 0)
    assert mask.form == 'inverted masks'
    np.testing.assert_array_equal(cells_of(read_mask(png(LABELS), 'a', invert=True)), LABELS)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_the_orientation_is_obeyed_as_pillow_does(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = pillow(Image.fromarray(LABELS), kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    mask = read_mask(content, 'a')
    np.testing.assert_array_equal(mask.cells, upright)
    assert mask.orientation == orientation


@given(st.data(), st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]))
@settings(max_examples=30, deadline=None)
def test_any_numbers_number_cells(data: st.DataObject, dtype: type) -> None:
    top = 255 if dtype is np.uint8 else 65535
    numbers = data.draw(st.lists(st.integers(1, top), min_size=12, max_size=12, unique=True))
    stored = np.array([0, *numbers], dtype)[LABELS]
    np.testing.assert_array_equal(cells_of(read_mask(tiff(stored), 'a')), LABELS)
