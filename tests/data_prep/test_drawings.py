"""Outlines out to other programs and back through the whole command: the same cells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from cellkit.errors import UserError
from cellkit.files.formats import coco, geojson, imagej
from cellkit.files.pictures import read_picture
from cellkit.instances import label_instances
from cellkit.outlines import outlines_of
from cellkit.rle import encode_label_map
from data_prep.demo import write_demo_set
from data_prep.prepare import main, prepare


@pytest.fixture(scope='module')
def smears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic smears with masks that have holes."""
    data = write_demo_set(tmp_path_factory.mktemp('data') / 'smears', 4, 2, 5, (240, 320), 1)
    for mask in data.glob('*/mask/*.png'):
        picture = cv2.imread(str(mask))
        picture[::23, ::17] = 0
        cv2.imwrite(str(mask), picture)
    return data


def cells_of_set(data: Path, min_area: int = 30) -> dict[str, np.ndarray]:
    """The label map of each image, by the rule of masks."""
    return {
        f'{mask.parts[-3]}/{mask.stem}': label_instances(
            cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE), min_area=min_area
        )[0]
        for mask in data.glob('*/mask/*.png')
    }


def prepared_cells(out: Path) -> dict[str, np.ndarray]:
    """The label map of each image of a prepared set, read by pycocotools."""
    found = {}
    for part in ('train', 'val', 'test'):
        data = COCO(str(out / 'annotations' / f'{part}.json'))
        for number, image in data.imgs.items():
            label_map = np.zeros((image['height'], image['width']), int)
            for k, cell in enumerate(data.loadAnns(data.getAnnIds([number])), start=1):
                label_map[data.annToMask(cell) > 0] = k
            name = Path(image['file_name'])
            found[f'{name.parts[0]}/{name.stem}'] = label_map
    return found


def data_set(data: Path, part: str, cells: dict[str, np.ndarray], polygons: bool = False) -> dict:
    """A COCO data set of a part, as CVAT exports it: of masks, or of polygons without holes."""
    images, annotations = [], []
    for number, picture in enumerate(sorted((data / part / 'original').iterdir()), start=1):
        label_map = cells[f'{part}/{picture.stem}']
        height, width = label_map.shape
        size = {'height': height, 'width': width}
        images.append({'id': number, 'file_name': picture.name, **size})
        num = int(label_map.max())
        rles, outlines = encode_label_map(label_map), list(outlines_of(label_map, num))
        for rle, rings in zip(rles, outlines, strict=True):
            cell = coco.annotation(len(annotations) + 1, number, rle, 1, [0, 0, 1, 1])
            if polygons:
                cell['segmentation'] = [outer.ravel().tolist() for outer, *_ in rings]
            annotations.append(cell)
    return coco.data_set(images, annotations)


def write_drawings(data: Path, kind: str, cells: dict[str, np.ndarray]) -> None:
    """Replace all masks of a set by drawings of the same cells."""
    for part in ('train', 'test'):
        shutil.rmtree(data / part / 'mask')
        if kind == 'coco':
            text = json.dumps(data_set(data, part, cells))
            (data / part / 'annotations.json').write_text(text)
            continue
        (data / part / 'mask').mkdir()
        for name, label_map in cells.items():
            if name.startswith(part):
                stem = data / part / 'mask' / name.split('/')[1]
                content = {
                    'geojson': lambda m=label_map: geojson.write(m, 'a'),
                    'zip': lambda m=label_map: imagej.write(m),
                }[kind]()
                Path(f'{stem}.{kind}').write_bytes(content)


@pytest.mark.parametrize('kind', ['geojson', 'zip', 'coco'])
def test_the_cells_come_back_pixel_for_pixel(smears, tmp_path, kind) -> None:
    data = shutil.copytree(smears, tmp_path / 'smears')
    cells = cells_of_set(data)
    assert any((label_map > 0).any() for label_map in cells.values())
    write_drawings(data, kind, cells)
    prepared = prepare(data, tmp_path / 'out', min_area=30, workers=1)
    found = prepared_cells(tmp_path / 'out')
    assert found.keys() == cells.keys()
    for name, label_map in cells.items():
        np.testing.assert_array_equal(found[name], label_map)
    assert prepared.report['drawings_left_out'] == {}
    assert prepare(data, tmp_path / 'out', min_area=30, workers=1).state == 'up to date'


def test_polygons_without_holes_fill_them(smears, tmp_path) -> None:
    """What a format can't hold is lost, and no more: mean IoU at least .985."""
    data = shutil.copytree(smears, tmp_path / 'smears')
    cells = cells_of_set(data)
    write_drawings(data, 'coco', cells)
    for part in ('train', 'test'):
        text = json.dumps(data_set(data, part, cells, polygons=True))
        (data / part / 'annotations.json').write_text(text)
    prepare(data, tmp_path / 'out', min_area=30, workers=1)
    ious = []
    for name, label_map in prepared_cells(tmp_path / 'out').items():
        before = cells[name]
        assert label_map.max() == before.max()
        for k in range(1, int(before.max()) + 1):
            one, other = before == k, label_map == k
            assert other[one].all()
            ious.append(one.sum() / (one | other).sum())
    assert 0.985 <= np.mean(ious) < 1


@pytest.fixture
def corrected(smears, tmp_path) -> Path:
    """A set whose annotations are predictions, of which one picture was corrected."""
    data = shutil.copytree(smears, tmp_path / 'smears')
    cells = cells_of_set(data)
    write_drawings(data, 'coco', cells)
    shutil.copytree(data / 'train', tmp_path / 'predicted')
    text = (data / 'train' / 'annotations.json').read_text()
    (tmp_path / 'predicted' / 'predictions.json').write_text(text)
    name = min(name for name in cells if name.startswith('train'))
    label_map = cells[name]
    label_map[label_map == 1] = 0
    y, x = (int(v.mean()) for v in np.nonzero(label_map == 2))
    label_map[y - 2 : y + 2, x - 2 : x + 2] = 0
    free = cv2.erode((label_map == 0).astype(np.uint8), np.ones((13, 13)), borderValue=0)
    y, x = np.argwhere(free)[0]
    label_map[y - 4 : y + 4, x - 4 : x + 4] = label_map.max() + 1
    (data / 'train' / 'mask').mkdir()
    file = data / 'train' / 'mask' / f'{name.split("/")[1]}.geojson'
    file.write_bytes(geojson.write(label_map, name))
    return data


def test_corrections_go_before_the_file_of_all_and_are_counted(corrected, capsys) -> None:
    out = corrected.parent / 'out'
    options = ['--data', str(corrected), '--out', str(out), '--min-area', '30', '--workers', '1']
    assert main([*options, '--predictions', str(corrected.parent / 'predicted')]) == 0
    kept = sum(int(m.max()) for n, m in prepared_cells(out).items() if n.startswith('train')) - 2
    said = 'Against the predictions of 4 images: {} cells kept, 1 reshaped, 1 added, 1 deleted.'
    assert said.format(kept) in capsys.readouterr().out
    report = json.loads((out / 'report' / 'report.json').read_text())
    assert report['changes'] == {
        'images': 4, 'kept': kept, 'reshaped': 1, 'added': 1, 'deleted': 1,
    }  # fmt: skip
    assert '- reshaped 1' in (out / 'report' / 'report.md').read_text()
    assert main(options) == 0
    assert 'Against' not in capsys.readouterr().out  # made anew without


def test_predictions_of_other_images(corrected) -> None:
    out, other = corrected.parent / 'out', corrected.parent / 'other'
    with pytest.raises(UserError, match=r'other: holds no predictions.json; name a folder'):
        prepare(corrected, out, predictions=other)
    other.mkdir()
    (other / 'predictions.json').write_text('{"images": [], "annotations": []}')
    with pytest.raises(UserError, match=r'names none of the images'):
        prepare(corrected, out, predictions=other)
    assert not out.exists()


def test_what_is_left_out_is_told(smears, tmp_path, capsys) -> None:
    data = shutil.copytree(smears, tmp_path / 'smears')
    write_drawings(data, 'geojson', cells_of_set(data))
    file = min((data / 'train' / 'mask').iterdir())
    content = json.loads(file.read_text())
    for kind, coordinates in (('Point', [4, 4]), ('Polygon', [[[-9, -9], [-1, -9], [-1, -1]]])):
        geometry = {'type': kind, 'coordinates': coordinates}
        content['features'].append({'type': 'Feature', 'geometry': geometry, 'properties': {}})
    file.write_text(json.dumps(content))
    out = tmp_path / 'out'
    assert main(['--data', str(data), '--out', str(out), '--min-area', '30', '--workers', '1']) == 0
    told = 'Drawings that are no cells: 1 without area, 1 outside the picture.'
    assert told in capsys.readouterr().out
    assert '- 1 without area' in (out / 'report' / 'report.md').read_text()


def bad(data: Path, out: Path) -> list[str]:
    with pytest.raises(UserError) as caught:
        prepare(data, out, min_area=30, workers=1)
    assert not out.exists()
    return [str(line) for line in (*caught.value.details, caught.value)]


def test_bad_files_are_told_at_once(smears, tmp_path) -> None:
    data, out = shutil.copytree(smears, tmp_path / 'smears'), tmp_path / 'out'
    write_drawings(data, 'geojson', cells_of_set(data))
    first, second, third, fourth = sorted((data / 'train' / 'mask').iterdir())
    first.write_text('{}')
    second.write_text('{"type": "FeatureCollection", "features": []}')
    third.with_suffix('.zip').write_bytes(imagej.write(np.ones((2, 2), int)))
    image = read_picture(data / 'train' / 'original' / f'{fourth.stem}.png').pixels
    found = coco.data_set(
        [{'id': 1, 'file_name': f'{fourth.stem}.png', 'width': 3, 'height': 2}], []
    )
    fourth.write_text(json.dumps(found))
    lines = bad(data, out)
    size = f'{image.shape[1]}x{image.shape[0]}'
    for line, said in zip(
        lines,
        [
            f'train/mask/{first.name}: is JSON, but neither GeoJSON',
            f'train/mask/{second.name}: holds no cell of 30 pixels or more on train/original/',
            f'train/mask/{third.name}: has the same stem as {third.stem}.zip',
            f'train/mask/{fourth.name}: is of a picture of 3x2 pixels but train/original/'
            f'{fourth.stem}.png is {size}; annotate',
            '4 problems with the files',
        ],
        strict=True,
    ):
        assert line.startswith(said)


def test_images_that_the_file_of_all_lacks(smears, tmp_path) -> None:
    data, out = shutil.copytree(smears, tmp_path / 'smears'), tmp_path / 'out'
    write_drawings(data, 'coco', cells_of_set(data))
    file = data / 'train' / 'annotations.json'
    content = json.loads(file.read_text())
    gone = content['images'].pop()
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] != gone['id']]
    file.write_text(json.dumps(content))
    line, _ = bad(data, out)
    assert line.startswith(
        f'train/original/{gone["file_name"]}: has no mask; annotate it in train/'
    )
    file.write_text('[')
    (line,) = bad(data, out)
    assert line.startswith('train/annotations.json: is no JSON')


def test_a_turned_image_is_refused(smears, tmp_path) -> None:
    from PIL import Image

    data, out = shutil.copytree(smears, tmp_path / 'smears'), tmp_path / 'out'
    write_drawings(data, 'geojson', cells_of_set(data))
    picture = min((data / 'train' / 'original').glob('*.png'))
    turned, exif = Image.open(picture), Image.Exif()
    exif[0x0112] = 3
    turned.save(picture.with_suffix('.jpg'), exif=exif)
    picture.unlink()
    line, _ = bad(data, out)
    assert 'is turned by its EXIF orientation (3) and what was drawn on it may not be' in line
