"""Pixel sizes come from the files where the user gives none."""

import json
from pathlib import Path

import cv2
import pytest
import tifffile

from tools.predict import predict


@pytest.fixture
def pictures(lab) -> None:
    """One that tells its size, one that can't."""
    lab.run()
    lab.write('in/b.png')
    picture = cv2.imread('in/b.png')
    options = {'resolution': (20_000, 20_000), 'resolutionunit': 'CENTIMETER'}
    tifffile.imwrite('in/a.tif', picture, photometric='rgb', **options)


def test_of_files(lab, pictures: None) -> None:
    results = predict('in', out='out', formats='ome')
    (note,) = results.notes
    assert note.startswith('0.5 µm a pixel, as its resolution tags in a.tif has it')
    first, second = lab.table('out/counts.csv')
    assert float(first['mean_area_um2']) == pytest.approx(
        float(first['mean_area_px']) / 4, rel=1e-3
    )
    assert second['mean_area_um2'] == ''
    assert {row['area_um2'] == '' for row in results.cells} == {False}
    assert [row['area_um2'] is None for row in results.cells] == [False] * 3 + [True] * 3
    settings = json.loads(Path('out/settings.json').read_bytes())
    assert settings['pixel_sizes_um_of_files'] == {'a.tif': 0.5}
    assert 'PhysicalSizeX="0.5"' in tifffile.TiffFile('out/ome/a.ome.tif').ome_metadata
    assert 'PhysicalSizeX' not in tifffile.TiffFile('out/ome/b.ome.tif').ome_metadata


def test_the_users_own_goes_first(lab, pictures: None) -> None:
    results = predict('in', out='out', pixel_size=2)
    assert results.notes == []
    for row in lab.table('out/cells.csv'):
        assert float(row['area_um2']) == 4 * float(row['area_px'])


def test_none(lab) -> None:
    lab.run()
    lab.write('in/b.png')
    results = predict('in', out='out')
    assert 'mean_area_um2' not in results.counts[0]
