"""A folder of another program's predictions, whatever the format, matched to images by name."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from cellkit.errors import UserError
from cellkit.files.foreign.folder import read_predictions_of
from cellkit.files.foreign.names import MARKS, stem_of
from cellkit.files.formats import geojson, imagej
from cellkit.metrics.truth import TrueImage
from cellkit.rle import decode_to_label_map, encode_label_map

SIZE = (40, 60)
IMAGES = {7: TrueImage('test/original/a.png', SIZE), 9: TrueImage('test/original/b.jpg', SIZE)}


def cells() -> np.ndarray:
    """Three cells, labels with a gap."""
    label_map = np.zeros(SIZE, np.int32)
    label_map[2:12, 3:13], label_map[20:30, 5:15], label_map[10:25, 30:50] = 1, 2, 5
    return label_map


def same_cells(detections, label_map: np.ndarray) -> bool:
    found = decode_to_label_map(detections.rles, size=SIZE)
    return (found == np.unique(label_map, return_inverse=True)[1].reshape(SIZE)).all()


@pytest.mark.parametrize('kind', ['uint8', 'uint16', 'int32', 'uint32', 'float32'])
@pytest.mark.parametrize('name', ['a.tif', 'a_cp_masks.tiff', 'a.ome.tif', 'A_LABELS.TIF'])
def test_label_images_of_any_depth_and_the_names_that_programs_give(tmp_path, kind, name):
    if name.startswith('A'):
        name = 'a' + name[1:]
    tifffile.imwrite(tmp_path / name, cells().astype(kind))
    found = read_predictions_of(tmp_path, IMAGES)
    assert list(found.detections) == [7]
    assert same_cells(found.detections[7], cells())
    np.testing.assert_array_equal(found.detections[7].scores, [1, 1, 1])
    assert found.detections[7].boxes[0].tolist() == [3, 2, 10, 10]
    assert (found.missing, found.extra, found.scored) == (['test/original/b.jpg'], [], False)


def test_png_labels_beside_the_images_as_cellpose_leaves_them(tmp_path):
    for stem in 'ab':
        cv2.imwrite(str(tmp_path / f'{stem}.png'), np.full((*SIZE, 3), 90, np.uint8))
        cv2.imwrite(str(tmp_path / f'{stem}_cp_masks.png'), cells().astype(np.uint16))
    cv2.imwrite(str(tmp_path / 'c_cp_masks.png'), cells().astype(np.uint16))
    found = read_predictions_of(tmp_path, IMAGES)
    assert all(same_cells(found.detections[k], cells()) for k in IMAGES)
    assert (found.missing, found.extra) == ([], ['c_cp_masks.png'])


def test_a_mask_is_cut_into_its_pieces_and_that_is_said(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.uint8(cells() > 0) * 255)
    found = read_predictions_of(tmp_path, IMAGES)
    assert len(found.detections[7].rles) == 3
    assert 'is a mask of one value' in found.remarks[0]


def test_outlines_of_qupath_and_imagej_are_the_cells_they_enclose(tmp_path):
    (tmp_path / 'a.geojson').write_bytes(geojson.write(cells(), 'a'))
    (tmp_path / 'b_rois.zip').write_bytes(imagej.write(cells()))
    found = read_predictions_of(tmp_path, IMAGES)
    assert all(same_cells(found.detections[k], cells()) for k in IMAGES)
    assert (found.missing, found.extra, found.scored) == ([], [], False)


def test_an_empty_label_image_is_an_image_without_cells(tmp_path):
    tifffile.imwrite(tmp_path / 'a.tif', np.zeros(SIZE, np.uint16))
    assert read_predictions_of(tmp_path, IMAGES).detections[7].rles == []


def results(**more) -> list[dict]:
    return [
        {'image_id': 7, 'category_id': 1, 'segmentation': rle} | more
        for rle in encode_label_map(np.unique(cells(), return_inverse=True)[1].reshape(SIZE))
    ]


def test_coco_results_by_image_id_keep_their_scores(tmp_path):
    (tmp_path / 'found.json').write_text(json.dumps(results(score=0.5)))
    found = read_predictions_of(tmp_path / 'found.json', IMAGES)
    assert same_cells(found.detections[7], cells())
    assert found.detections[7].scores.tolist() == [0.5] * 3
    assert found.scored


def test_coco_results_with_file_names_have_ids_of_their_own(tmp_path):
    items = results(file_name='some\\where\\b.png')
    (tmp_path / 'predictions.json').write_text(json.dumps(items))
    (tmp_path / 'settings.json').write_text('{"images": []}')
    found = read_predictions_of(tmp_path, IMAGES)
    assert list(found.detections) == [9]
    assert found.missing == ['test/original/a.png']
    assert not found.scored


def test_a_coco_data_set_of_polygons_with_a_crowd_and_an_image_of_its_own(tmp_path):
    images = [
        {'id': 1, 'file_name': 'a.png', 'height': 40, 'width': 60},
        {'id': 2, 'file_name': 'other.png', 'height': 9, 'width': 9},
        {'id': 3, 'file_name': 'b.jpg', 'height': 40, 'width': 60},
    ]
    square = [[10, 10, 20, 10, 20, 20, 10, 20]]
    near = [[12, 10, 22, 10, 22, 20, 12, 20]]  # cells may overlap
    annotations = [
        {'image_id': 1, 'segmentation': square, 'iscrowd': 0},
        {'image_id': 1, 'segmentation': near},
        {'image_id': 1, 'segmentation': near, 'iscrowd': 1},
        {'image_id': 2, 'segmentation': square},
    ]
    content = {'images': images, 'annotations': annotations, 'categories': []}
    (tmp_path / 'set.json').write_text(json.dumps(content))
    found = read_predictions_of(tmp_path, IMAGES)
    assert coco_mask.area(found.detections[7].rles).tolist() == [100, 100]
    assert found.detections[9].rles == []  # named there, without a cell
    assert found.missing == []
    assert found.extra == ['other.png in set.json']


def write_bad(folder: Path, kind: str) -> None:
    if kind == 'none':
        (folder / 'notes.txt').write_text('')
    elif kind == 'names':
        tifffile.imwrite(folder / 'z.tif', cells())
    elif kind == 'size':
        tifffile.imwrite(folder / 'a.tif', cells()[:20])
    elif kind == 'colour':
        cv2.imwrite(str(folder / 'a.png'), np.random.default_rng(0).integers(9, size=(*SIZE, 3)))
    elif kind == 'fractions':
        tifffile.imwrite(folder / 'a.tif', cells() / np.float32(3))
    elif kind == 'negative':
        tifffile.imwrite(folder / 'a.tif', cells() - 1)
    elif kind == 'damaged':
        (folder / 'a.tif').write_bytes(b'no picture at all')
    elif kind == 'twice':
        tifffile.imwrite(folder / 'a.tif', cells())
        (folder / 'found.json').write_text(json.dumps(results()))
    elif kind == 'boxes':
        (folder / 'found.json').write_text('[{"image_id": 7, "bbox": [1, 2, 3, 4]}]')
    elif kind == 'text':
        (folder / 'found.json').write_text('[{')
    elif kind == 'id':
        (folder / 'found.json').write_text(json.dumps([results()[0] | {'image_id': 3}]))
    elif kind == 'mask size':
        rle = encode_label_map(cells()[:20])[0]
        (folder / 'found.json').write_text(json.dumps([{'image_id': 7, 'segmentation': rle}]))
    elif kind == 'image size':
        images = [{'id': 1, 'file_name': 'a.png', 'height': 20, 'width': 30}]
        (folder / 'set.json').write_text(json.dumps({'images': images, 'annotations': []}))


@pytest.mark.parametrize(
    ('kind', 'said'),
    [
        ('none', r'holds no predictions \(\.png, .*, \.json\)'),
        ('names', r'nothing in it \(z\.tif …\) is named as one of the images'),
        ('size', r'a\.tif: is of another size \(60x20 pixels, its image 60x40\); write labels at'),
        ('colour', r'a\.png: is in colour'),
        ('fractions', r'a\.tif: holds fractions'),
        ('negative', r'a\.tif: holds other than numbers from 0'),
        ('damaged', r"a\.tif: can't be read as TIFF"),
        ('twice', r'a\.tif: is of the same image as .*found\.json; keep one'),
        ('boxes', r"found\.json: is no COCO JSON of masks \(KeyError: 'segmentation'\)"),
        ('text', r'found\.json: is no JSON'),
        ('id', r'found\.json: has cells of an image with the id 3, which is none of the images'),
        ('mask size', r'has a mask of 60x20 pixels for test/original/a\.png, not 60x40'),
        ('image size', r'has a\.png at 30x20 pixels, not 60x40; write outlines at full'),
        ('gone', r'there is no such file or folder'),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path, kind, said):
    write_bad(tmp_path, kind)
    with pytest.raises(UserError, match=said) as error:
        read_predictions_of(tmp_path / 'gone' if kind == 'gone' else tmp_path, IMAGES)
    assert '\n' not in str(error.value)


def test_images_of_one_name_cannot_be_told_apart(tmp_path):
    images = IMAGES | {11: TrueImage('train/original/a.jpg', SIZE)}
    with pytest.raises(UserError, match=r'original/a\.png and train/original/a\.jpg have one name'):
        read_predictions_of(tmp_path, images)


@given(
    st.from_regex(r'[A-Za-z0-9-]{1,12}', fullmatch=True),
    st.sampled_from(MARKS),
    st.sampled_from(['.png', '.tif', '.ome.tiff', '.png.geojson', '.jpg.json']),
)
def test_a_stem_is_what_the_image_is_called(stem, mark, ending):
    assert stem_of(f'x/y\\{stem}{mark.upper()}{ending}', MARKS) == stem
    assert stem_of(f'{stem}{ending}') == stem
