"""The data set says what is wrong before training starts."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import TRANSFORMS

from cellkit.errors import UserError
from cellkit.rle import encode_label_map
from custom_modules import BCCDDataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set of one image with two cells."""
    label_map = np.zeros((20, 30), np.int32)
    label_map[2:8, 3:9], label_map[10:18, 12:25] = 1, 2
    boxes = [[3, 2, 6, 6], [12, 10, 13, 8]]
    rles = encode_label_map(label_map, 2)
    coco = dict(
        images=[dict(id=1, file_name='a.png', height=20, width=30)],
        categories=[dict(id=1, name='cell')],
        annotations=[
            dict(id=i + 1, image_id=1, category_id=1, iscrowd=0, bbox=boxes[i],
                 area=boxes[i][2] * boxes[i][3], segmentation=rles[i])
            for i in range(2)
        ],
    )  # fmt: skip
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images/a.png'), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / 'train.json').write_text(json.dumps(coco))
    return tmp_path


def load(root: Path) -> BCCDDataset:
    return BCCDDataset(
        data_root=str(root), ann_file='train.json', data_prefix=dict(img='images/'), pipeline=[]
    )


def test_loads_every_cell(root: Path) -> None:
    info = load(root).get_data_info(0)
    assert info['img_path'].endswith('images/a.png')
    assert [instance['bbox'] for instance in info['instances']] == [[3, 2, 9, 8], [12, 10, 25, 18]]


def test_keeps_how_large_its_cells_are(root: Path) -> None:
    """Checkpoints hold the metainfo, and prediction asks them."""
    expected = np.median([np.sqrt(4 * area / np.pi) for area in (36, 104)])
    found = load(root).metainfo['cell_scale']
    assert found.pop('diameter') == pytest.approx(expected, abs=0.01)
    assert found == {'width': 30, 'height': 20, 'diameter_um': None}


def break_categories(coco: dict) -> None:
    coco['categories'] = [dict(id=1, name='RBC'), dict(id=2, name='WBC')]


def break_image_ids(coco: dict) -> None:
    coco['images'].append(copy.deepcopy(coco['images'][0]))


def break_annotation_ids(coco: dict) -> None:
    coco['annotations'][1]['id'] = 1


def break_image_link(coco: dict) -> None:
    coco['annotations'][0]['image_id'] = 77


def break_category_link(coco: dict) -> None:
    coco['annotations'][0]['category_id'] = 3


def drop_images(coco: dict) -> None:
    del coco['images']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (break_categories, 'categories are .*RBC'),
        (break_image_ids, 'images share the id 1'),
        (break_annotation_ids, 'annotations share the id 1'),
        (break_image_link, 'annotation 1 belongs to no image'),
        (break_category_link, 'annotation 1 has an unknown category'),
        (drop_images, 'it has no images'),
    ],
)
def test_says_what_is_wrong(root: Path, change, message: str) -> None:
    path = root / 'train.json'
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))
    with pytest.raises(UserError, match=f'train.json.*{message}.*make prepare'):
        load(root)


def test_broken_json(root: Path) -> None:
    (root / 'train.json').write_text('{"images": [')
    with pytest.raises(UserError, match=r'train\.json is not JSON'):
        load(root)


@pytest.mark.parametrize('name', ['train.json', 'images/a.png'])
def test_missing_file_is_named(root: Path, name: str) -> None:
    (root / name).unlink()
    with pytest.raises(UserError, match=name):
        load(root)


@pytest.mark.parametrize('content', [b'', b'no picture', None])
def test_an_image_that_cannot_be_read_is_named(root: Path, content: bytes | None) -> None:
    dataset = load(root)
    dataset.pipeline.transforms.append(TRANSFORMS.build(dict(type='LoadImageFromFile')))
    assert dataset[0]['img'].shape == (20, 30, 3)
    path = root / 'images/a.png'
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"images/a\.png can't be read as an image: replace it"):
        dataset[0]


def test_a_fault_of_the_pipeline_is_not_the_images(root: Path) -> None:
    dataset = load(root)
    dataset.pipeline.transforms.append(lambda results: results['no such key'])
    with pytest.raises(KeyError):
        dataset[0]


@pytest.mark.parametrize(
    'change',
    [{'bbox': [3, 2, 0, 6]}, {'bbox': [40, 2, 6, 6]}, {'bbox': [3, -9, 6, 6]}, {'area': 0}],
)
def test_a_box_that_training_would_drop_is_told(root: Path, change: dict) -> None:
    coco = json.loads((root / 'train.json').read_text())
    coco['annotations'][1] |= change
    (root / 'train.json').write_text(json.dumps(coco))
    with pytest.raises(UserError, match=r'the box of annotation 2 .* \(1 such ones\)'):
        load(root)


def test_crowds_alone_are_nothing_to_train_on(root: Path) -> None:
    coco = json.loads((root / 'train.json').read_text())
    for annotation in coco['annotations']:
        annotation['iscrowd'] = 1
    (root / 'train.json').write_text(json.dumps(coco))
    with pytest.raises(UserError, match=r'train\.json has no cell to train on: its 2 annotations'):
        load(root)
