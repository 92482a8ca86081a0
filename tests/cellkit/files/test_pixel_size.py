"""Pixel sizes as microscopes' programs write them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from cellkit.files.pixel_size import PixelSize, pixel_size_of

PICTURE = np.zeros((20, 30, 3), np.uint8)


def told(path: Path, **options: object) -> PixelSize | None:
    tifffile.imwrite(path, PICTURE, photometric='rgb', **options)
    return pixel_size_of(path)


def ome(x: float, y: float, unit: str | None = None) -> dict:
    sizes = {'PhysicalSizeX': x, 'PhysicalSizeY': y}
    units = {'PhysicalSizeXUnit': unit, 'PhysicalSizeYUnit': unit} if unit else {}
    return {'ome': True, 'metadata': {'axes': 'YXS', **sizes, **units}}


def resolution(value: float, unit: str, **options: object) -> dict:
    return {'resolution': (value, value), 'resolutionunit': unit, **options}


def imagej(unit: str) -> dict:
    return {'imagej': True, 'resolution': (8, 8), 'metadata': {'unit': unit}}


@pytest.mark.parametrize(
    ('options', 'value', 'source'),
    [
        (ome(0.25, 0.25), 0.25, 'OME'),
        (ome(250, 250, 'nm'), 0.25, 'OME'),
        (ome(0.25, 0.2501, 'µm'), 0.25005, 'OME'),
        (imagej('um'), 0.125, 'ImageJ'),
        (imagej('micron'), 0.125, 'ImageJ'),
        (imagej('\\u00B5m'), 0.125, 'ImageJ'),
        ({'description': 'Aperio Image Library\n46x32|AppMag = 40|MPP = 0.2527'}, 0.2527, 'Aperio'),
        (resolution(40_000, 'CENTIMETER'), 0.25, 'its resolution tags'),
        (resolution(101_600, 'INCH'), 0.25, 'its resolution tags'),
    ],
)  # fmt: skip
def test_told(tmp_path: Path, options: dict, value: float, source: str) -> None:
    found = told(tmp_path / 'a.tif', **options)
    assert found.value == pytest.approx(value, rel=1e-4)
    assert found.source == source


@pytest.mark.parametrize(
    'options',
    [
        {},
        resolution(72, 'INCH'),
        resolution(300, 'INCH'),
        resolution(1, 'NONE'),
        imagej('pixel'),
        ome(1, 2),
        ome(0, 0),
        ome(250, 250, 'furlong'),
        {'resolution': (40_000, 80_000), 'resolutionunit': 'CENTIMETER'},
    ],
)
def test_not_plausible(tmp_path: Path, options: dict) -> None:
    assert told(tmp_path / 'a.tif', **options) is None


def test_no_tiff(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), PICTURE)
    (tmp_path / 'b.tif').write_bytes(b'II*\0')
    assert [pixel_size_of(tmp_path / name) for name in ('a.png', 'b.tif', 'c.tif')] == [None] * 3
