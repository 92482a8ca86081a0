"""GeoJSON: what shapely reads of it, and that everything comes back."""

from __future__ import annotations

import json
import tracemalloc
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from shapely.geometry import shape

from cellkit.drawn import cells_of
from cellkit.errors import BadFile
from cellkit.files.formats import geojson
from tests.cellkit.files.formats.label_maps import EXAMPLE, filled, label_maps, map_of


def test_many_outlines_are_never_in_memory_at_once() -> None:
    ring = np.arange(2000).reshape(-1, 2)  # numbers of their own, as coordinates are

    def peak(cells: int) -> tuple[int, int]:
        tracemalloc.start()
        length = sum(
            len(part) for part in geojson.chunks(([[ring + k]] for k in range(cells)), 'a')
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most, length

    (few, short), (many, long) = peak(5), peak(100)
    assert long > 19 * short
    assert many < 1.2 * few


def feature(kind: str, coordinates, **properties) -> dict:
    geometry = {'type': kind, 'coordinates': coordinates}
    return {'type': 'Feature', 'geometry': geometry, 'properties': properties}


SQUARE = [[[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]]


@settings(max_examples=150, deadline=None)
@given(label_maps)
def test_any_label_map_comes_back(label_map) -> None:
    content = json.loads(geojson.write(label_map, 'a'))
    assert geojson.is_geojson(content)
    found = map_of(geojson.read(content, 'a.geojson'), label_map.shape)
    np.testing.assert_array_equal(found, filled(label_map))
    for item in content['features']:
        area = shape(item['geometry'])
        label = int(item['properties']['name'].split()[1])
        assert area.is_valid
        assert area.area == np.count_nonzero(label_map == label)


def test_what_is_written_keeps_to_the_rules_of_qupath() -> None:
    values = [{'Score': 0.5 + k / 10, 'Area µm²': None, 'Circularity': np.nan} for k in range(4)]
    text = geojson.write(EXAMPLE, 'slide', values, 'detection')
    assert text == geojson.write(EXAMPLE, 'slide', values, 'detection')
    content = json.loads(text)
    assert content['type'] == 'FeatureCollection'
    ids = [item['id'] for item in content['features']]
    assert len(set(map(uuid.UUID, ids))) == 4
    assert json.loads(geojson.write(EXAMPLE, 'other'))['features'][0]['id'] != ids[0]
    kinds = [item['geometry']['type'] for item in content['features']]
    assert kinds == ['Polygon', 'MultiPolygon', 'Polygon', 'Polygon']
    properties = content['features'][0]['properties']
    assert properties == {
        'objectType': 'detection',
        'name': 'cell 1',
        'classification': {'name': 'cell', 'color': [0, 235, 120]},
        'measurements': {'Score': 0.5},
    }
    ring, hole = content['features'][0]['geometry']['coordinates']
    assert ring == [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]]
    assert hole == [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]


def test_forms_of_the_file_and_kinds_of_objects() -> None:
    square = feature('Polygon', SQUARE, object_type='detection')  # QuPath 0.3
    for content in (square, [square], {'type': 'FeatureCollection', 'features': [square]}):
        assert geojson.is_geojson(content)
        assert map_of(geojson.read(content, 'a'), (8, 8)).sum() == 16
    content = [
        feature('Polygon', SQUARE, objectType='tile'),
        feature('Polygon', SQUARE, classification={'name': 'Ignore*'}),
        feature('Polygon', SQUARE, classification={'names': ['a', 'Region*']}),
        feature('LineString', SQUARE[0]),
        feature('Point', [1, 1]),
        feature('Polygon', []),
        {'type': 'Feature', 'geometry': None, 'properties': None},
        feature('Polygon', [SQUARE[0][:-1]]),  # not closed
        {'type': 'Feature', 'geometry': {'type': 'GeometryCollection', 'geometries': [
            {'type': 'Polygon', 'coordinates': [[[6, 6], [8, 6], [8, 8], [6, 8]]]},
            {'type': 'Point', 'coordinates': [1, 1]}]}, 'properties': {}},
    ]  # fmt: skip
    cells = cells_of(geojson.read(content, 'a'), (10, 10))
    assert cells.left_out == {'marked': 3, 'no_area': 4}
    assert np.bincount(cells.label_map.ravel()).tolist() == [80, 16, 4]


@pytest.mark.parametrize(
    'content',
    [
        {'type': 'FeatureCollection'},
        {'type': 'FeatureCollection', 'features': [3]},
        {'type': 'Feature', 'properties': {}},
        feature('Polygon', [[[1, 'a'], [2, 3]]]),
        feature('Polygon', [[[1, float('nan')], [2, 3], [4, 4]]]),
        feature('Polygon', [[[1, 1e300], [2, 3], [4, 4]]]),
        feature('Polygon', [[1, 2, 3]]),
        feature('Polygon', 7),
    ],
)
def test_bad_files_are_told(content) -> None:
    with pytest.raises(BadFile, match=r'^mask/a.geojson: is not GeoJSON as QuPath writes it') as e:
        geojson.read(content, 'mask/a.geojson')
    assert '\n' not in str(e.value)
