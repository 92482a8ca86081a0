"""Images of more than 8 bits on their way from the annotation file into a pipeline."""

import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from mmengine.config import Config
from mmengine.logging import MMLogger

from cellkit.errors import BadFile
from cellkit.files.pictures import read_picture
from cellkit.files.prepared import annotation_file
from cellkit.files.stored import Whites
from custom_modules.datasets.bccd_dataset import BCCDDataset
from custom_modules.datasets.transforms.load_smear import LoadSmear
from data_prep.prepare import main, prepare

CONFIG = Path(__file__).parents[4] / 'configs' / '_base_' / 'datasets' / 'bccd_instance.py'


@pytest.fixture(scope='module')
def of_8_bits(tiny_data: Path) -> Path:
    """The folder that the small data set was prepared from."""
    return (tiny_data / 'images').resolve()


@pytest.fixture
def of_12_bits(of_8_bits: Path, tmp_path: Path) -> Path:
    """The same smears from a camera of 12 bits, in TIFFs of 16; one in three is a dim one."""
    shutil.copytree(of_8_bits, tmp_path / 'smears')
    for number, file in enumerate(sorted((tmp_path / 'smears').glob('*/original/*'))):
        picture = cv2.imread(str(file))[..., ::-1].astype(float)
        picture *= 0.24 if number % 3 == 1 else 255 / picture.max()
        deep = np.rint(picture / 255 * 4095).astype(np.uint16)
        tifffile.imwrite(file.with_suffix('.tif'), deep, photometric='rgb')
        file.unlink()
    return tmp_path / 'smears'


def test_one_white_from_preparation_to_the_pipeline(
    of_12_bits: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / 'bccd'
    assert main(['--data', str(of_12_bits), '--out', str(out), '--workers', '1']) == 0
    said = '6 pictures of more than 8 bits: values up to 4095, read as 12 bits'
    printed = capsys.readouterr().out
    assert f'Depth: {said}.' in printed
    assert printed.count('is dark when read as 12 bits') == 2
    assert json.loads((out / 'split.json').read_bytes())['depth'] == [said]
    page = (out / 'report' / 'report.md').read_text()
    assert f'Depth: {said}.' in page
    assert '## Remarks on images: 2' in page
    dataset = BCCDDataset(
        data_root=str(out),
        ann_file='annotations/train.json',
        data_prefix={'img': 'images/'},
        pipeline=Config.fromfile(CONFIG).train_pipeline[:1],
    )
    assert len(dataset)
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        stored = tifffile.imread(info['img_path'])
        loaded = dataset[index]['img']
        np.testing.assert_allclose(loaded[..., ::-1], stored / 4095 * 255, atol=0.51)
        known = read_picture(Path(info['img_path']), Whites.of(info['white']))
        np.testing.assert_array_equal(loaded, known.pixels)


def test_annotations_of_8_bit_images_are_as_they_were(of_8_bits: Path, tmp_path: Path) -> None:
    out = prepare(of_8_bits, tmp_path / 'bccd', workers=1).out
    (image, *_) = json.loads(annotation_file(out, 'train').read_bytes())['images']
    assert image.keys() == {'id', 'file_name', 'width', 'height'}
    assert 'depth' not in json.loads((out / 'split.json').read_bytes())


def test_without_a_white_it_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Annotations that `make prepare` did not write."""
    told = []
    monkeypatch.setattr(MMLogger, 'get_current_instance', lambda: logging.getLogger('load smear'))
    monkeypatch.setattr(logging.getLogger('load smear'), 'warning', told.append)
    file = tmp_path / 'a.tif'
    tifffile.imwrite(file, np.full((9, 9), 4000, np.uint16))
    load = LoadSmear()
    for _ in range(2):
        assert (load({'img_path': str(file)})['img'] == round(4000 / 4095 * 255)).all()
    (message,) = told
    assert f'{file} has values up to 4000 and is read as 12 bits' in message


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / 'a.png').write_text('no picture')
    for name in ('a.png', 'gone.png'):
        with pytest.raises(BadFile, match=rf'{name}: .*; '):
            LoadSmear()({'img_path': str(tmp_path / name)})
