"""COCO data sets: pycocotools uses ours, and all segmentations that others write are read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from cellkit.drawn import cells_of
from cellkit.errors import BadFile
from cellkit.files.formats import coco
from cellkit.outlines import outlines_of
from cellkit.rle import encode_label_map
from tests.cellkit.files.formats.label_maps import EXAMPLE, filled, label_maps, map_of


def written(label_map: np.ndarray) -> dict:
    height, width = label_map.shape
    image = {'id': 7, 'file_name': 'a/b.png', 'width': width, 'height': height}
    cells = []
    for k, rle in enumerate(encode_label_map(label_map), start=1):
        box = coco_mask.toBbox(rle).astype(int).tolist()
        cells.append(coco.annotation(k, 7, rle, int(coco_mask.area(rle)), box))
    return coco.data_set([image], cells)


def read(content: dict) -> np.ndarray:
    ((name, (image, annotations)),) = coco.by_image(content, 'c.json').items()
    assert name == 'a/b.png'
    drawn, size = coco.read(image, annotations, 'c.json')
    return cells_of(drawn, size)


@settings(max_examples=100, deadline=None)
@given(label_maps)
def test_any_label_map_comes_back(label_map) -> None:
    content = written(label_map)
    assert coco.is_coco(content)
    np.testing.assert_array_equal(read(content).label_map, filled(label_map))


def test_pycocotools_takes_it() -> None:
    data = COCO()
    data.dataset = written(EXAMPLE)
    data.createIndex()
    assert [c['name'] for c in data.loadCats(data.getCatIds())] == ['cell']
    for k, cell in data.anns.items():
        np.testing.assert_array_equal(data.annToMask(cell), k == EXAMPLE)


def test_segmentations_of_other_programs() -> None:
    """CVAT writes plain run lengths with iscrowd 1; polygons are pieces; a box alone is no cell."""
    content = written(EXAMPLE)
    first, second, third, _ = content['annotations']
    column_by_column = (EXAMPLE == 1).T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], column_by_column]))).tolist()
    counts = np.diff([0, *edges, EXAMPLE.size]).tolist()
    first |= {'segmentation': {'size': list(EXAMPLE.shape), 'counts': counts}, 'iscrowd': 1}
    pieces = list(outlines_of(EXAMPLE, 4))[1]
    second['segmentation'] = [rings[0].ravel().tolist() for rings in pieces]
    third['segmentation'] = []
    cells = read(content)
    assert cells.left_out == {'no_area': 1}
    np.testing.assert_array_equal(cells.label_map, filled(np.where(EXAMPLE == 3, 0, EXAMPLE)))


@pytest.mark.parametrize(
    'wrong',
    [
        {'segmentation': [[1, 2, 3]]},
        {'segmentation': {'size': [4, 8]}},
        {'segmentation': {'size': [9, 9], 'counts': [81]}},
        {'segmentation': 'abc'},
        {'segmentation': {'size': [4], 'counts': []}},
        {'segmentation': {'size': [4, 8], 'counts': 7}},
        {'segmentation': {'size': [4, 8], 'counts': [10, -1, 23]}},
        {'segmentation': {'size': [4, 8], 'counts': [10, 3]}},
        {'segmentation': {'size': [4, 8], 'counts': [10**30]}},
        {'image_id': 99},
    ],
)
def test_bad_files_are_told(wrong: dict) -> None:
    content = written(EXAMPLE)
    content['annotations'][0] |= wrong
    with pytest.raises(BadFile, match=r'^c.json: is not a COCO data set'):
        read(content)


def test_names_of_windows() -> None:
    content = written(EXAMPLE)
    content['images'][0]['file_name'] = 'a\\b.png'
    assert map_of(coco.read(*coco.by_image(content, 'c')['a/b.png'], 'c')[0], (4, 8)).any()
