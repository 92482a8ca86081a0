"""The published counts on the real sample, through the real command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from data_prep import prepare


@pytest.fixture(scope='module')
def prepared(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('real') / 'bccd'
    assert prepare.main(['--data', str(sample), '--out', str(out)]) == 0
    return out


def part(out: Path, name: str) -> dict:
    return json.loads((out / 'annotations' / f'{name}.json').read_text())


@pytest.mark.slow
def test_the_published_counts(prepared: Path):
    train, val, test = (part(prepared, name) for name in ('train', 'val', 'test'))
    assert len(train['images']) + len(val['images']) == 48
    assert 13 <= len(val['images']) <= 15
    assert len(train['annotations']) + len(val['annotations']) == 3164
    assert len(test['images']) == 12
    assert len(test['annotations']) == 908
    suffixes = [Path(i['file_name']).suffix for p in (train, val, test) for i in p['images']]
    assert (suffixes.count('.png'), suffixes.count('.jpg')) == (56, 4)
    report = json.loads((prepared / 'report' / 'report.json').read_text())
    assert sum(p['dropped_specks'] for p in report['parts'].values()) == 13
    assert report['near_duplicates'] == []
    with Image.open(prepared / 'report' / 'contact_sheet.png') as sheet:
        assert sheet.width > 1500


@pytest.mark.slow
def test_exact_to_the_pixel(prepared: Path, sample: Path):
    rows = json.loads((prepared / 'report' / 'report.json').read_text())['images']
    specks = {row['file']: sum(row['dropped_specks_px']) for row in rows}
    for name in ('train', 'val', 'test'):
        coco = part(prepared, name)
        for image in coco['images']:
            file = image['file_name']
            path = (sample / file.replace('/original/', '/mask/')).with_suffix('.png')
            mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127
            rles = [a['segmentation'] for a in coco['annotations'] if a['image_id'] == image['id']]
            union = coco_mask.decode(coco_mask.merge(rles)).astype(bool)
            assert sum(coco_mask.area(rles)) == np.count_nonzero(union)  # disjoint
            assert not (union & ~mask).any()
            dropped = mask & ~union
            assert np.count_nonzero(dropped) == specks[file]
            _, _, stats, _ = cv2.connectedComponentsWithStats(dropped.astype(np.uint8))
            assert (stats[1:, cv2.CC_STAT_AREA] < 100).all()
