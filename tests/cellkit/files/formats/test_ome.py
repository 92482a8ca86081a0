"""OME-TIFF label images, read back with tifffile and OpenCV."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings

from cellkit.errors import BadFile
from cellkit.files.formats import ome
from tests.cellkit.files.formats.label_maps import EXAMPLE, label_maps


@settings(max_examples=30, deadline=None)
@given(label_maps)
def test_any_label_map_comes_back(label_map) -> None:
    plane, pixel_size = ome.read(ome.write(label_map, 'a'), 'a.ome.tif')
    assert plane.dtype == np.uint16
    assert pixel_size is None
    np.testing.assert_array_equal(plane, label_map)


def test_pixel_size_and_name() -> None:
    content = ome.write(EXAMPLE, 'Blut & 1', 0.088)
    assert content == ome.write(EXAMPLE, 'Blut & 1', 0.088)
    with tifffile.TiffFile(io.BytesIO(content)) as picture:
        assert picture.is_ome
        assert picture.series[0].axes == 'YX'
        pixels = tifffile.xml2dict(picture.ome_metadata)['OME']['Image']
        assert pixels['Name'] == 'Blut & 1'
        assert (pixels['Pixels']['PhysicalSizeX'], pixels['Pixels']['PhysicalSizeYUnit']) == (
            0.088,
            'µm',
        )
        top, below = picture.pages[0].tags['XResolution'].value
        assert 1e4 / (top / below) == pytest.approx(0.088, rel=1e-4)
    assert ome.read(content, 'a')[1] == 0.088
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, EXAMPLE)


def test_more_cells_than_16_bits_hold() -> None:
    label_map = np.arange(300 * 300).reshape(300, 300)
    plane, _ = ome.read(ome.write(label_map, 'a'), 'a')
    assert plane.dtype == np.uint32
    np.testing.assert_array_equal(plane, label_map)


def test_bad_files_are_told() -> None:
    colour = io.BytesIO()
    tifffile.imwrite(colour, np.zeros((4, 4, 3), np.uint8))
    for content, what in ((b'abc', "can't be read as TIFF"), (colour.getvalue(), 'no label image')):
        with pytest.raises(BadFile, match=f'^a.tif: .*{what}'):
            ome.read(content, 'a.tif')
