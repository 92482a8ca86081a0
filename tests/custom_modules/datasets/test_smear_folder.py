"""A plain folder of pictures becomes a training set; an empty one a sentence."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS

from cellkit.errors import UserError
from custom_modules import SmearFolder


def build(folder: Path, pipeline: tuple = ()) -> SmearFolder:
    return DATASETS.build(dict(type='SmearFolder', data_root=str(folder), pipeline=pipeline))


def test_every_picture_is_taken_by_the_project_s_reader(tmp_path: Path) -> None:
    (tmp_path / 'slide').mkdir()
    grey = np.full((40, 60), 255, np.uint8)
    cv2.imwrite(str(tmp_path / 'b.png'), np.dstack([grey] * 3))
    cv2.imwrite(str(tmp_path / 'slide' / 'deep.tif'), grey.astype(np.uint16) * 257)
    (tmp_path / 'notes.txt').write_text('no picture')
    (tmp_path / '._b.png').write_bytes(b'of the system')
    dataset = build(tmp_path, (dict(type='LoadSmear'),))
    found = [dataset[index] for index in range(len(dataset))]
    assert [Path(each['img_path']).name for each in found] == ['b.png', 'deep.tif']
    assert all(each['img'].shape == (40, 60, 3) for each in found)
    assert all(each['img'].dtype == np.uint8 for each in found)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / 'cut.png').write_bytes(b'\x89PNG\r\n')
    dataset = build(tmp_path, (dict(type='LoadSmear'),))
    with pytest.raises(UserError, match=r'cut\.png'):
        dataset[0]


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('nowhere', 'is no folder: name a folder'),
        ('empty', r'holds no picture: name a folder with pictures of smears \(SMEARS=FOLDER\)'),
        ('odd', r'holds no picture \(left out: 1 in formats that are not read.*slide\.czi'),
    ],
)
def test_a_folder_without_pictures_is_a_sentence(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'odd').mkdir()
    (tmp_path / 'odd' / 'slide.czi').touch()
    with pytest.raises(UserError, match=said):
        build(tmp_path / name)
