"""ImageJ selections: what roifile reads, every kind of area, and that everything comes back."""

from __future__ import annotations

import contextlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from shapely import Polygon

from cellkit.drawn import cells_of
from cellkit.errors import BadFile
from cellkit.files.formats import imagej
from tests.cellkit.files.formats.label_maps import EXAMPLE, filled, label_maps, map_of


def zipped(*rois: ImagejRoi) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as archive:
        for k, roi in enumerate(rois):
            archive.writestr(f'{k}.roi', roi.tobytes())
    return content.getvalue()


@settings(max_examples=150, deadline=None)
@given(label_maps)
def test_any_label_map_comes_back(label_map) -> None:
    found = imagej.read(imagej.write(label_map), 'a.zip')
    np.testing.assert_array_equal(map_of(found, label_map.shape), filled(label_map))


def test_what_roifile_reads() -> None:
    content = imagej.write(EXAMPLE)
    assert content == imagej.write(EXAMPLE)
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.namelist() == [f'cell-000{k}.roi' for k in (1, 2, 3, 4)]
    ring, pieces, pixel, plain = (ImagejRoi.frombytes(archive.read(n)) for n in archive.namelist())
    assert (ring.name, plain.name) == ('cell-0001', 'cell-0004')
    for traced in (pixel, plain):
        assert traced.roitype == ROI_TYPE.TRACED
    assert Polygon(plain.coordinates()).area == 4
    assert Polygon(plain.coordinates()).centroid.coords[0] == (7.25, 2.75)
    assert (plain.left, plain.top, plain.right, plain.bottom) == (6, 1, 8, 4)
    outer, hole = ring.coordinates(multi=True)
    assert Polygon(outer, [hole]).area == 8
    assert [Polygon(part).area for part in pieces.coordinates(multi=True)] == [1, 1, 1]


def test_a_cell_far_out_keeps_its_place() -> None:
    label_map = np.zeros((4, 40_000), np.int32)
    label_map[1:3, 39_990:39_995] = 1
    np.testing.assert_array_equal(
        map_of(imagej.read(imagej.write(label_map), 'a'), label_map.shape), label_map
    )


def area_of(roi: ImagejRoi) -> np.ndarray:
    return map_of(imagej.read(roi.tobytes(), 'a.roi'), (40, 40)).astype(bool)


def test_kinds_of_areas() -> None:
    square = np.array([[3, 3], [13, 3], [13, 8], [3, 8]])
    assert area_of(ImagejRoi.frompoints(square)).sum() == 50
    fine = ImagejRoi.frompoints(square + 0.4)
    fine.version = 228
    ((ring,),) = imagej.read(fine.tobytes(), 'a.roi')[0]
    np.testing.assert_allclose(ring, square + 0.4, atol=1e-6)
    box = dict(left=4, top=2, right=10, bottom=5)
    assert np.argwhere(area_of(ImagejRoi(roitype=ROI_TYPE.RECT, **box))).max(0).tolist() == [4, 9]
    oval = area_of(ImagejRoi(roitype=ROI_TYPE.OVAL, left=5, top=5, right=25, bottom=25))
    y, x = np.mgrid[:40, :40]
    np.testing.assert_array_equal(oval, np.hypot(x + 0.5 - 15, y + 0.5 - 15) < 10)
    fine = ImagejRoi(
        version=228,
        roitype=ROI_TYPE.OVAL,
        options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION,
        **dict(left=5, top=6, right=15, bottom=12, xd=5.5, yd=6.5, widthd=9, heightd=5),
    )
    inside = np.hypot((x + 0.5 - 10) / 4.5, (y + 0.5 - 9) / 2.5) < 1
    assert np.count_nonzero(area_of(fine) != inside) <= 2
    turned = ImagejRoi.frompoints(square)
    turned.subtype = ROI_SUBTYPE.ROTATED_RECT
    assert area_of(turned).sum() == 50


def test_what_has_no_area_is_empty() -> None:
    points = np.array([[3, 3], [13, 3], [13, 8]])
    rois = []
    for kind in (ROI_TYPE.POINT, ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE, ROI_TYPE.ANGLE):
        rois.append(ImagejRoi.frompoints(points))
        rois[-1].roitype = kind
    rois.append(ImagejRoi(roitype=ROI_TYPE.LINE, x2=9, y2=9))
    text = ImagejRoi(roitype=ROI_TYPE.RECT, subtype=ROI_SUBTYPE.TEXT, right=9, bottom=9, text='a')
    cells = cells_of(imagej.read(zipped(*rois, text), 'a'), (20, 20))
    assert cells.left_out == {'no_area': 6}


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'no zip',
        b'Iout' + bytes(10),
        imagej.write(EXAMPLE)[:200],
        ImagejRoi.frompoints([[1, 1], [5, 1], [5, 5]]).tobytes()[:68],
    ],
)
def test_bad_files_are_told(content: bytes) -> None:
    with pytest.raises(BadFile, match=r'^mask/a.zip: is no selection of ImageJ'):
        imagej.read(content, 'mask/a.zip')


CHANGES = st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 1, 127, 255])), max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 1, 2]), CHANGES, st.integers(0, 400))
def test_damaged_selections_are_read_or_told(kind, changes, cut) -> None:
    archive = zipfile.ZipFile(io.BytesIO(imagej.write(EXAMPLE)))
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, right=5, bottom=6, version=228).tobytes()
    raw = bytearray([oval, *(archive.read(name) for name in archive.namelist()[:2])][kind][:cut])
    for place, value in changes:
        if place < len(raw):
            raw[place] = value
    with contextlib.suppress(BadFile):
        cells_of(imagej.read(bytes(raw), 'a.roi'), (10, 10))


def test_a_zip_of_something_else_is_told() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as archive:
        archive.writestr('instances_default.json', '{}')
    with pytest.raises(BadFile, match=r'a.zip: holds no .roi'):
        imagej.read(content.getvalue(), 'a.zip')
    assert imagej.read(zipped(), 'a.zip') == []
