"""The files that are written of what was found, and the values in them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
from pycocotools.coco import COCO

from cellkit.errors import UserError
from cellkit.instances import label_instances
from tools.predict.detector import Segmentation
from tools.predict.outcome import outcome_of
from tools.predict.results import Results
from tools.predict.slides import find_slides

SETTINGS = {'score_threshold': 0.5, 'tile_height_width': (600, 800), 'pixel_size_um': None}


def written(lab, pixel_size: float | None = None) -> Results:
    """The results of three pictures, of three cells, none and one."""
    lab.write('in/a.png')
    lab.write_empty('in/empty.bmp')
    lab.write('in/sub/é.TIF', (80, 60, 20, 30))
    slides = find_slides(['in']).slides
    results = Results(Path('out'), slides, pixel_size)
    for slide in slides:
        picture = cv2.imread(str(slide.path))
        label_map = label_instances(picture[..., 0] < 200)[0].astype(np.int32)
        scores = np.array([0.923456, 0.84, 0.76])[: label_map.max()]
        found = Segmentation(label_map, scores, 1.0, False)
        results.add(slide, outcome_of(slide.name, picture, found))
    results.write(SETTINGS)
    return results


def test_counts(lab) -> None:
    results = written(lab, pixel_size=0.5)
    counts = {row['image']: row for row in lab.table('out/counts.csv')}
    assert list(counts) == ['a.png', 'empty.bmp', 'sub/é.TIF']
    truth = label_instances(lab.picture(*lab.three_cells)[..., 0] < 200)[0]
    areas = np.bincount(truth.ravel())[1:]
    row = counts['a.png']
    assert (row['cells'], row['touching_border'], row['image_id']) == ('3', '1', '1')
    assert (row['width'], row['height']) == ('160', '120')
    assert float(row['mean_area_px']) == pytest.approx(areas[:2].mean())  # whole cells only
    assert float(row['median_area_um2']) == pytest.approx(np.median(areas[:2]) / 4)
    assert float(row['foreground_fraction']) == pytest.approx(areas.sum() / truth.size, abs=1e-5)
    assert counts['empty.bmp']['cells'] == '0'
    assert counts['empty.bmp']['mean_area_px'] == counts['empty.bmp']['median_area_um2'] == ''
    assert [row['cells'] for row in results.counts] == [3, 0, 1]
    assert results.counts[1]['mean_area_px'] is None


def test_cells(lab) -> None:
    results = written(lab, pixel_size=0.5)
    cells = lab.table('out/cells.csv')
    assert [row['image'] for row in cells] == ['a.png'] * 3 + ['sub/é.TIF']
    first = cells[0]
    assert [int(first[k]) for k in ('cell', 'x', 'y', 'width', 'height')] == [1, 25, 25, 31, 31]
    assert (float(first['centroid_x']), float(first['centroid_y'])) == (40, 40)
    assert first['score'] == '0.9235'
    assert float(first['area_um2']) == float(first['area_px']) / 4
    assert float(first['equivalent_diameter_um']) == pytest.approx(15, rel=0.02)
    assert float(first['circularity']) > 0.9
    assert [row['touches_border'] for row in cells] == ['0', '0', '1', '0']
    shown = [{k: '' if v is None else str(v) for k, v in row.items()} for row in results.cells]
    assert shown == cells


@pytest.mark.parametrize('pixel_size', [None, 0.5])
def test_columns(lab, pixel_size: float | None) -> None:
    """Their order, and micrometres only where the pixel size is known."""
    written(lab, pixel_size)
    areas = ['mean_area_um2', 'median_area_um2'] if pixel_size else []
    sizes = ['area_um2', 'equivalent_diameter_um'] if pixel_size else []
    assert list(lab.table('out/counts.csv')[0]) == [
        'image', 'cells', 'cells_low', 'cells_high', 'touching_border', 'mean_area_px',
        'median_area_px', *areas, 'foreground_fraction', 'width', 'height', 'scale', 'scale_from',
        'image_id', 'labels',
    ]  # fmt: skip
    assert list(lab.table('out/cells.csv')[0]) == [
        'image', 'cell', 'score', 'probability', 'x', 'y', 'width', 'height', 'centroid_x',
        'centroid_y', 'area_px', 'equivalent_diameter_px', *sizes, 'eccentricity', 'circularity',
        'touches_border',
    ]  # fmt: skip


def test_tables_without_a_row_have_their_columns(lab) -> None:
    lab.write_empty('in/a.png')
    results = Results(Path('out'), find_slides(['in'])[1])
    results.write(SETTINGS)
    assert Path('out/counts.csv').read_text().startswith('\ufeffimage,cells,cells_low,')
    assert Path('out/cells.csv').read_text().startswith('\ufeffimage,cell,score,probability,')
    found = json.loads(Path('out/predictions.json').read_text())
    assert found['images'] == found['annotations'] == []


def test_how_near_the_border_a_cell_touches_it(lab) -> None:
    """A mask may end a pixel of the network's picture before the border."""
    lab.write('in/a.png', (30, 13, 10, 20))  # rows 3 to 23
    slides = find_slides(['in'])[1]
    picture = cv2.imread('in/a.png')
    label_map = label_instances(picture[..., 0] < 200)[0].astype(np.int32)
    for resolution, touches in ((0.5, 0), (3.0, 0), (3.2, 1)):
        results = Results(Path(f'out{resolution}'), slides)
        found = Segmentation(label_map, np.array([0.9]), resolution, False)
        results.add(slides[0], outcome_of('a', picture, found))
        assert results.cells[0]['touches_border'] == touches


def test_label_maps_and_overlays(lab) -> None:
    written(lab)
    labels = cv2.imread('out/labels/a.png', cv2.IMREAD_UNCHANGED)
    assert labels.dtype == np.uint16
    picture = lab.picture(*lab.three_cells)
    np.testing.assert_array_equal(labels, label_instances(picture[..., 0] < 200)[0])
    overlay = cv2.imread('out/overlays/sub/é.jpg')
    assert overlay.shape == picture.shape
    assert not np.array_equal(overlay, lab.picture((80, 60, 20, 30)))
    assert not list(Path('out').rglob('*.part')), 'a half-written file was left'


def test_coco_data_set(lab) -> None:
    written(lab)
    assert Path('out/predictions.json').read_bytes().isascii()  # opened in any encoding
    coco = COCO('out/predictions.json')
    assert [coco.imgs[k]['file_name'] for k in (1, 2, 3)] == ['a.png', 'empty.bmp', 'sub/é.TIF']
    assert {(image['width'], image['height']) for image in coco.imgs.values()} == {(160, 120)}
    assert coco.getCatIds(supNms=['cell']) == [1]
    assert [len(coco.getAnnIds([k])) for k in (1, 2, 3)] == [3, 0, 1]
    assert coco.anns[1]['score'] == 0.92346
    labels = cv2.imread('out/labels/a.png', cv2.IMREAD_UNCHANGED)
    for item in coco.loadAnns(coco.getAnnIds([1])):
        mask = coco.annToMask(item)
        np.testing.assert_array_equal(mask, labels == item['id'])
        assert item['area'] == mask.sum()
        assert item['bbox'] == coco_mask.toBbox(item['segmentation']).tolist()
    assert len(coco.loadRes(coco.dataset['annotations']).anns) == 4  # as detections too


def test_settings(lab) -> None:
    written(lab)
    settings = json.loads(Path('out/settings.json').read_bytes())
    images, files = settings.pop('images'), settings.pop('files')
    assert sorted(files) == sorted(
        path.relative_to('out').as_posix()
        for path in Path('out').rglob('*')
        if path.parent != Path('out') and path.is_file()
    )
    assert [Path(image).name for image in images] == ['a.png', 'empty.bmp', 'é.TIF']
    assert settings == SETTINGS | {'tile_height_width': [600, 800]}


def test_other_results_are_not_overwritten(lab) -> None:
    written(lab)
    before = Path('out/counts.csv').read_bytes()
    lab.write('other/b.png')
    slides = find_slides(['other'])[1]
    with pytest.raises(UserError, match='out: holds the results of 3 other images') as caught:
        Results(Path('out'), slides)
    assert not str(caught.value).endswith('.')
    assert Path('out/counts.csv').read_bytes() == before
    Results(Path('out'), find_slides(['in', 'other'])[1])  # more of them is no loss


def test_files_of_something_else_are_not_overwritten(lab) -> None:
    lab.write('in/a.png')
    slides = find_slides(['in']).slides
    for name in (
        'index.html', 'counts.csv', 'cells.csv', 'predictions.json', 'settings.json',
        'labels/a.png',
        'overlays/a.jpg',
    ):  # fmt: skip
        foreign = Path('mine') / name
        foreign.parent.mkdir(parents=True, exist_ok=True)
        foreign.write_text('{"images": 3}')
        with pytest.raises(UserError, match=f'{name}: is there and not of an earlier run'):
            Results(Path('mine'), slides)
        assert foreign.read_text() == '{"images": 3}'
        foreign.unlink()
    Path('mine/labels/b.png').touch()  # in nobody's way
    Results(Path('mine'), slides)


def done(*names: str, broken: str = '', stopped: bool = False) -> Results:
    """A run over pictures in ``in``, of which one may not be done."""
    results = Results(Path('out'), find_slides([f'in/{name}' for name in names]).slides)
    results.begin(SETTINGS)
    for slide in results.slides:
        picture = cv2.imread(str(slide.path))
        if slide.path.name == broken:
            results.problems.append('broken')
            continue
        label_map = label_instances(picture[..., 0] < 200)[0].astype(np.int32)
        found = Segmentation(label_map, np.full(label_map.max(), 0.9), 1.0, False)
        results.add(slide, outcome_of('x', picture, found))
    results.stopped = stopped
    results.write(SETTINGS)
    return results


def written_files() -> list[str]:
    return sorted(
        path.relative_to('out').as_posix() for path in Path('out').rglob('*') if path.is_file()
    )


TABLES = ['cells.csv', 'counts.csv', 'index.html', 'predictions.json', 'settings.json']


@pytest.mark.parametrize('gone', [True, False])
def test_an_earlier_runs_label_maps_do_not_pass_for_fresh(lab, gone: bool) -> None:
    for name in ('a.png', 'sub/b.png'):
        lab.write(f'in/{name}')
    done('a.png', 'sub/b.png')
    Path('out/labels/notes.txt').write_text('mine')
    if gone:
        Path('in/sub/b.png').unlink()
        results = done('a.png')
    else:
        results = done('a.png', 'sub/b.png', broken='b.png')
    kept = ['labels/a.png', 'labels/notes.txt', 'overlays/a.jpg']
    assert written_files() == sorted(kept + TABLES)
    assert '2 files of an earlier run' in results.notes[-1]
    assert not Path('out/labels/sub').exists()


def test_stopped_an_earlier_runs_files_stay_until_the_next(lab) -> None:
    for name in ('a.png', 'b.png'):
        lab.write(f'in/{name}')
    done('a.png', 'b.png')
    done('a.png', 'b.png', broken='b.png', stopped=True)
    assert Path('out/labels/b.png').is_file()
    done('a.png', 'b.png', broken='b.png')
    assert not Path('out/labels/b.png').exists()


def test_a_killed_run_leaves_the_tables_of_what_was_done(lab) -> None:
    for name in ('a.png', 'b.png'):
        lab.write(f'in/{name}')
    slides = find_slides(['in']).slides
    results = Results(Path('out'), slides, pixel_size=0.5)
    results.begin(SETTINGS)
    label_map = label_instances(cv2.imread('in/a.png')[..., 0] < 200)[0].astype(np.int32)
    found = Segmentation(label_map, np.full(3, 0.9), 1.0, False)
    results.add(slides[0], outcome_of('a', cv2.imread('in/a.png'), found))
    for name, rows in (('counts', results.counts), ('cells', results.cells)):
        table = lab.table(f'out/{name}.unfinished.csv')
        none = {None: ''}
        assert table == [{k: none.get(v, str(v)) for k, v in row.items()} for row in rows]
    assert json.loads(Path('out/settings.json').read_bytes())['unfinished']
    assert len(find_slides(['.']).slides) == 2
    other = lab.write('other/c.png')
    with pytest.raises(UserError, match='holds the results of 2 other images'):
        Results(Path('out'), find_slides([str(other)]).slides)
    done('a.png', 'b.png')
    assert written_files() == sorted(
        [*TABLES, 'labels/a.png', 'labels/b.png', 'overlays/a.jpg', 'overlays/b.jpg']
    )
    assert 'unfinished' not in json.loads(Path('out/settings.json').read_bytes())
