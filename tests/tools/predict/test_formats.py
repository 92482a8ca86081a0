"""The files of each picture, read back with other libraries: the same cells in all of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from pycocotools.coco import COCO
from roifile import roiread
from shapely import Polygon
from shapely.geometry import shape

from cellkit.errors import BadFile, UserError
from cellkit.instances import label_instances
from cellkit.smears.smear import draw_smear
from tools.predict import predict
from tools.predict.detector import Segmentation
from tools.predict.formats import ALWAYS, DEFAULT, FORMATS, MOST_CELLS, Found, chosen_formats
from tools.predict.outcome import outcome_of
from tools.predict.results import Results
from tools.predict.slides import Slide

PIXEL_SIZE = 0.25


@pytest.fixture
def label_map(lab) -> np.ndarray:
    """A smear whose cells have holes, all its files in ``out``; returns its label map."""
    image, mask = draw_smear(np.random.default_rng(3), (240, 320), cells=12)
    mask = mask > 0
    mask[::9, ::7] = False
    label_map = label_instances(mask, min_area=20)[0]
    slide = Slide(Path('a b.png'), 'a b.png', 'a b')
    found = Segmentation(label_map, np.linspace(0.5, 0.99, label_map.max()), 1.0, False)
    results = Results(Path('out'), [slide], PIXEL_SIZE, tuple(FORMATS))
    outcome = outcome_of('a b.png', image[..., ::-1], found, results.formats, PIXEL_SIZE)
    results.add(slide, outcome)
    results.write({})
    return label_map


def test_all_formats_hold_the_same_cells(label_map) -> None:
    """Area, place and score, cell by cell; coordinates to half a pixel."""
    table = pd.read_csv('out/cells.csv')
    num = int(label_map.max())
    assert table.cell.tolist() == list(range(1, num + 1))
    png = cv2.imread('out/labels/a b.png', cv2.IMREAD_UNCHANGED)
    ome = tifffile.imread('out/ome/a b.ome.tif')
    for plane in (png, ome):
        np.testing.assert_array_equal(plane, label_map)
    with tifffile.TiffFile('out/ome/a b.ome.tif') as picture:
        pixels = tifffile.xml2dict(picture.ome_metadata)['OME']['Image']['Pixels']
    assert pixels['PhysicalSizeX'] == pixels['PhysicalSizeY'] == PIXEL_SIZE

    coco = COCO('out/predictions.json')
    features = json.loads(Path('out/geojson/a b.geojson').read_text())['features']
    rois = roiread('out/rois/a b.zip')
    assert len(coco.anns) == len(features) == len(rois) == num
    for cell, feature, roi in zip(table.itertuples(), features, rois, strict=True):
        mask = label_map == cell.cell
        np.testing.assert_array_equal(coco.annToMask(coco.anns[cell.cell]), mask)
        rings = roi.coordinates(multi=True)
        for area in (shape(feature['geometry']), _even_odd(rings)):
            assert area.is_valid
            assert area.area == cell.area_px == mask.sum()
            x1, y1, x2, y2 = area.bounds
            assert (x1, y1, x2 - x1, y2 - y1) == (cell.x, cell.y, cell.width, cell.height)
            # Corners count from 0, centres of pixels in the table too: half a pixel apart.
            assert area.centroid.x - 0.5 == pytest.approx(cell.centroid_x, abs=0.006)
            assert area.centroid.y - 0.5 == pytest.approx(cell.centroid_y, abs=0.006)
        measured = feature['properties']['measurements']
        assert measured['Score'] == cell.score
        assert measured['Area px^2'] == cell.area_px
        assert measured['Area µm^2'] == pytest.approx(cell.area_um2)
        assert measured['Touches border'] == cell.touches_border
        assert feature['properties']['name'] == f'cell {cell.cell}'
        assert roi.name == f'cell-{cell.cell:04d}'


def _even_odd(rings) -> Polygon:
    area = Polygon()
    for ring in rings:
        area = area.symmetric_difference(Polygon(ring))
    return area


def test_detections_differ_by_their_type_alone(label_map) -> None:
    annotations, detections = (
        Path(f'out/{folder}/a b.geojson').read_text() for folder in ('geojson', 'detections')
    )
    assert annotations.replace('"annotation"', '"detection"') == detections


def test_without_a_pixel_size_nothing_is_in_micrometres() -> None:
    cell = {
        'area': 4, 'equivalent_diameter': 2.26, 'eccentricity': 0.0, 'circularity': 1.0,
        'touches_border': True, 'score': 0.9,
    }  # fmt: skip
    found = Found('a', np.zeros((9, 9, 3), np.uint8), np.ones((2, 2), int), [cell], 1.0, None)
    (feature,) = json.loads(FORMATS['geojson'].encode(found))['features']
    assert not any('µ' in name for name in feature['properties']['measurements'])
    assert 'Physical' not in FORMATS['ome'].encode(found).decode('latin-1')


def test_more_cells_than_16_bits_hold() -> None:
    cells = [{}] * (MOST_CELLS + 1)
    found = Found('a.png', np.zeros((4, 4, 3)), np.zeros((4, 4), np.int32), cells, 1.0, None)
    with pytest.raises(
        BadFile, match=r'a\.png: has more than 65535 cells; cut it .* --formats ome'
    ):
        FORMATS['labels'].encode(found)
    FORMATS['ome'].encode(found)


def test_which_formats_are_chosen() -> None:
    assert chosen_formats(None) == DEFAULT == ('overlay', 'labels')
    assert chosen_formats('rois, GeoJSON') == ('geojson', 'rois')
    assert chosen_formats(['ome', 'csv']) == ('ome',)
    assert chosen_formats('all') == tuple(FORMATS)
    assert not {*FORMATS} & {*ALWAYS}
    for wrong in ('qupath', 'geojson,svg', '', []):
        with pytest.raises(UserError, match=r'--formats: .*choose from overlay, labels, ome'):
            chosen_formats(wrong)


def test_only_what_is_chosen_is_written(lab) -> None:
    lab.run()
    lab.write('in/sub/a.png')
    predict('in', formats='geojson', out='out')
    written = sorted(p.relative_to('out').as_posix() for p in Path('out').rglob('*') if p.is_file())
    assert written == [
        'cells.csv', 'counts.csv', 'geojson/sub/a.geojson', 'index.html', 'predictions.json',
        'settings.json',
    ]  # fmt: skip
    assert json.loads(Path('out/settings.json').read_text())['formats'] == ['geojson']
