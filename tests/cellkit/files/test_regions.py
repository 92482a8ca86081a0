"""Regions of a TIFF have the pixels of the picture that is read whole."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from cellkit.errors import BadFile
from cellkit.files import regions
from cellkit.files.depth import find_whites
from cellkit.files.pictures import read_picture
from cellkit.files.regions import has_regions, open_regions
from cellkit.tiles import Window

SIZE = (150, 210)
WAYS = {
    'tiles': dict(tile=(64, 48)),
    'big': dict(tile=(64, 48), compression='zlib', bigtiff=True),
    'jpeg': dict(tile=(64, 64), compression='jpeg', photometric='ycbcr'),
    'rgb jpeg': dict(tile=(64, 64), compression='jpeg', photometric='rgb'),
    'jpeg2000': dict(tile=(64, 64), compression='jpeg2000'),
    'strips': dict(rowsperstrip=7, compression='lzw', predictor=True),
    'one strip': dict(rowsperstrip=1000),
    'ome': dict(tile=(64, 64), compression='zlib', ome=True),
}


def picture(channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (10, 14, channels), np.uint8)
    return cv2.resize(small, SIZE[::-1]).reshape(*SIZE, -1)


def check(path: Path) -> None:
    whole = read_picture(path)
    with open_regions(path) as opened:
        assert opened.size == whole.pixels.shape[:2]
        assert opened.remarks == whole.remarks
        rng = np.random.default_rng(1)
        corners = [(0, 0, *SIZE[::-1]), (0, 0, 1, 1), (209, 149, 210, 150)]
        for _ in range(20):
            x1, y1 = rng.integers(0, SIZE[1]), rng.integers(0, SIZE[0])
            corners.append((x1, y1, rng.integers(x1, SIZE[1]) + 1, rng.integers(y1, SIZE[0]) + 1))
        for x1, y1, x2, y2 in corners:
            part = opened.read(Window(x1, y1, x2, y2))
            assert np.array_equal(part, whole.pixels[y1:y2, x1:x2])


@pytest.mark.parametrize('cache', [1, regions.CACHE])
@pytest.mark.parametrize('way', WAYS)
def test_pixels(tmp_path: Path, monkeypatch, way: str, cache: int) -> None:
    monkeypatch.setattr(regions, 'CACHE', cache)
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, picture(), **{'photometric': 'rgb'} | WAYS[way])
    assert has_regions(path, 0)
    check(path)


@pytest.mark.parametrize('photometric', ['minisblack', 'miniswhite'])
def test_grey(tmp_path: Path, photometric: str) -> None:
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, picture(1)[..., 0], photometric=photometric, tile=(32, 32))
    check(path)


@pytest.mark.parametrize('subifds', [True, False])
def test_pyramid(tmp_path: Path, subifds: bool) -> None:
    path, values = tmp_path / 'a.tif', picture()
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        options = dict(tile=(64, 64), photometric='rgb', compression='zlib')
        tif.write(values, subifds=1 if subifds else 0, **options)
        tif.write(values[::2, ::2], subfiletype=1, **options)
    assert has_regions(path, 0)
    check(path)


@pytest.mark.parametrize(
    ('values', 'options'),
    [
        (picture().astype(np.uint16), {'photometric': 'rgb'}),
        (picture(4), {'photometric': 'rgb', 'extrasamples': ['unassalpha']}),
        (picture(), {'photometric': 'rgb', 'extratags': [(274, 3, 1, 6, True)]}),
        (np.stack([picture()] * 2), {'photometric': 'rgb'}),
        (np.moveaxis(picture(), 2, 0), {'photometric': 'rgb', 'planarconfig': 'separate'}),
    ],
    ids=['16 bits', 'transparent', 'turned', 'pages', 'planes'],
)
def test_what_must_be_seen_whole(tmp_path: Path, values: np.ndarray, options: dict) -> None:
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, values, **options)
    assert not has_regions(path, 0)


def test_only_large_tiffs(tmp_path: Path) -> None:
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, picture(), photometric='rgb')
    assert not has_regions(path)
    assert has_regions(path, SIZE[0] * SIZE[1] - 1)
    assert not has_regions(path, SIZE[0] * SIZE[1])
    (tmp_path / 'b.png').write_bytes(cv2.imencode('.png', picture())[1].tobytes())
    (tmp_path / 'c.tif').write_bytes(b'II*\0')
    assert not any(has_regions(tmp_path / name, 0) for name in ('b.png', 'c.tif', 'none.tif'))


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / 'a.tif'
    content = io.BytesIO()
    tifffile.imwrite(content, picture(), photometric='rgb', tile=(64, 64), compression='zlib')
    whole = content.getvalue()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(BadFile, match='truncated or damaged'), open_regions(path):
        pass
    with tifffile.TiffFile(io.BytesIO(whole)) as tif:
        at = tif.pages.first.dataoffsets[-1]
    path.write_bytes(whole[:at] + b'\0' * 20 + whole[at + 20 :])
    with open_regions(path) as opened, pytest.raises(BadFile, match='damaged'):
        opened.read(Window(0, 0, *SIZE[::-1]))


def test_depth_is_told_without_reading_the_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, picture(), photometric='rgb')

    def read_bytes(*_: object) -> bytes:
        raise AssertionError('the whole file was read')

    monkeypatch.setattr('cellkit.files.depth.read_bytes', read_bytes)
    assert find_whites([path]).said == ()
