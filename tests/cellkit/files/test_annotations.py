import json

import numpy as np
import pytest

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.rle import encode_crops

SQUARE = np.ones((3, 4))


def write(folder, *segmentations, **changes):
    annotations = [
        {'id': k, 'image_id': 5, 'category_id': 1, 'area': 12, 'bbox': [2, 1, 4, 3], 'iscrowd': 0}
        | {'segmentation': segmentation}
        | changes
        for k, segmentation in enumerate(segmentations, start=1)
    ]
    image = {'id': 5, 'file_name': 'a.png', 'height': 6, 'width': 9}
    path = folder / 'truth.json'
    path.write_text(json.dumps({'images': [image], 'annotations': annotations}))
    return path


def test_every_kind_of_segmentation_is_read(tmp_path):
    packed = encode_crops([SQUARE], [2], [1], 6, 9)[0]
    lengths = {'size': [6, 9], 'counts': [13, 3, 3, 3, 3, 3, 3, 3, 20]}
    polygon = [[2, 1, 6, 1, 6, 4, 2, 4]]
    expected = np.zeros((6, 9), int)
    expected[1:4, 2:6] = 1
    for segmentation in (packed, lengths, polygon):
        image = GroundTruth(write(tmp_path, segmentation))[5]
        np.testing.assert_array_equal(image.label_map(), expected)
        assert image.areas.tolist() == [12]
        assert image.boxes.tolist() == [[2, 1, 4, 3]]


def test_crowd_regions_are_left_out(tmp_path):
    path = write(tmp_path, encode_crops([SQUARE], [2], [1], 6, 9)[0], iscrowd=1)
    truth = GroundTruth(path)
    assert list(truth.images) == [5]
    assert truth[5].rles == []
    assert truth[5].boxes.shape == (0, 4)


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r'none\.json is not there: run `make prepare`'):
        GroundTruth(tmp_path / 'none.json')
    with pytest.raises(UserError, match=r'has no image with the id 6: .* another data set'):
        GroundTruth(write(tmp_path))[6]
    for text in ('[]', '{', '{"images": []}', '{"images": [{"id": 1}], "annotations": []}'):
        (tmp_path / 'bad.json').write_text(text)
        with pytest.raises(UserError, match=r'bad\.json is not a COCO annotation file'):
            _ = GroundTruth(tmp_path / 'bad.json').images
