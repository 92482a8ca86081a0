"""Pictures larger than a bound are read by regions, done in tiles and never held whole."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import roifile
import tifffile
from pycocotools.coco import COCO

from cellkit.files import regions
from cellkit.files.pictures import read_picture
from cellkit.tiles import tile_windows
from tools.predict import look, predict
from tools.predict.large_files import large_formats
from tools.predict.tile_store import TileStore

SIZE = (420, 530)
TILE = '160x120'
SURE = 35  # of 45 cells; the others score less than 0.5


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, 'LARGE', 100_000)


@pytest.fixture
def slide(lab) -> Path:
    """A large TIFF of cells on two thirds of it, one on the seams of tiles, and some doubtful."""
    lab.run()
    rng = np.random.default_rng(4)
    cells = []
    while len(cells) < 45:
        x, y, radius = int(rng.integers(0, 340)), int(rng.integers(0, SIZE[0])), 6 + len(cells) % 9
        if all(np.hypot(x - a, y - b) > radius + r + 3 for a, b, r, _ in cells):
            cells.append((x, y, radius, int(rng.integers(20, 160))))
    path = Path('in/slide.tif')
    path.parent.mkdir()
    picture = lab.picture(*cells, size=SIZE)
    tifffile.imwrite(path, picture, photometric='rgb', tile=(64, 64), compression='zlib')
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the settings, which hold the time."""
    files = (path for path in sorted(folder.rglob('*')) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.name != 'settings.json'
    }


def test_cells_are_those_of_the_picture_read_whole(lab, slide: Path, monkeypatch) -> None:
    large = predict(slide, out='large', tile=TILE, pixel_size=0.5)
    monkeypatch.setattr(regions, 'LARGE', 10**9)
    whole = predict(slide, out='whole', tile=TILE, pixel_size=0.5)
    assert (large.problems, large.notes) == ([], [])
    assert large.counts[0]['cells'] == SURE
    for key, value in whole.counts[0].items():
        if key != 'labels':
            assert large.counts[0][key] == pytest.approx(value), key

    def rows(results) -> list[tuple]:
        return sorted(tuple(v for k, v in row.items() if k != 'cell') for row in results.cells)

    for one, other in zip(rows(large), rows(whole), strict=True):
        assert one[0] == other[0]
        assert one[1:] == tuple(v if v is None else pytest.approx(v) for v in other[1:])
    labels = tifffile.imread('large/ome/slide.ome.tif')
    assert labels.dtype == np.uint32
    before = cv2.imread('whole/labels/slide.png', cv2.IMREAD_UNCHANGED)
    pairs = set(zip(labels.ravel().tolist(), before.ravel().tolist(), strict=True))
    assert len(pairs) == SURE + 1  # one to one, the background too
    assert not Path('large/unfinished').exists()


def test_files(lab, slide: Path) -> None:
    """Read with libraries of others, all agree."""
    results = predict(slide, out='out', tile=TILE, pixel_size=0.5, formats='all')
    assert results.problems == []
    assert results.counts[0]['labels'] == 'ome/slide.ome.tif'
    with tifffile.TiffFile('out/ome/slide.ome.tif') as tif:
        assert tif.is_bigtiff
        assert tif.pages.first.is_tiled
        assert 'PhysicalSizeX="0.5"' in tif.ome_metadata
        labels = tif.asarray()
    assert labels.shape == SIZE
    found = COCO('out/predictions.json')
    outlines = json.loads(Path('out/geojson/slide.geojson').read_bytes())['features']
    rois = roifile.roiread('out/rois/slide.zip')
    assert len(found.anns) == len(outlines) == len(rois) == len(results.cells) == labels.max()
    for k, row in enumerate(results.cells, start=1):
        mask = labels == k
        y, x = np.nonzero(mask)
        assert (row['x'], row['y'], row['area_px']) == (x.min(), y.min(), len(x))
        assert row['centroid_x'] == pytest.approx(x.mean(), abs=0.01)
        assert np.array_equal(coco_mask.decode(found.anns[k]['segmentation']), mask)
        ring = np.array(outlines[k - 1]['geometry']['coordinates'][0])
        assert ring.min(axis=0).tolist() == [x.min(), y.min()]
        assert outlines[k - 1]['properties']['measurements']['Area px^2'] == len(x)
        assert (rois[k - 1].left, rois[k - 1].bottom) == (x.min(), y.max() + 1)
    assert Path('out/detections/slide.geojson').is_file()


@pytest.mark.parametrize('side', [100, 265, 4096])
def test_overlay_is_reduced(lab, slide: Path, monkeypatch, side: int) -> None:
    monkeypatch.setattr('tools.predict.large_files.SIDE', side)
    predict(slide, out='out', tile=TILE, formats='overlay')
    step = -(-SIZE[1] // side)
    overlay = cv2.imread('out/overlays/slide.jpg').astype(int)
    picture = read_picture(slide).pixels
    assert overlay.shape[:2] == (-(-SIZE[0] // step), -(-SIZE[1] // step))
    small = cv2.resize(picture, overlay.shape[1::-1], interpolation=cv2.INTER_AREA)
    green = (overlay[..., 1] - overlay[..., 2] > 60) & (overlay[..., 1] - overlay[..., 0] > 30)
    assert green.any()
    near = cv2.dilate((small[..., 0] < 200).astype(np.uint8), np.ones((5, 5))) > 0
    assert (green & ~near).mean() < 0.01  # outlines lie on the cells


def test_empty_tiles_are_passed_over(lab, slide: Path, detector) -> None:
    predict(slide, out='out', tile=TILE)
    windows = tile_windows(SIZE, (120, 160), 24)
    assert 0 < len(detector.seen) < len(windows) * 0.8


def test_tiles_have_the_size_of_training_images(lab, slide: Path, monkeypatch, detector) -> None:
    monkeypatch.setattr(look, 'TILE', (120, 160))
    results = predict(slide, out='out')
    assert results.counts[0]['cells'] == SURE
    assert set(detector.seen) == {(120, 160)}
    (note,) = results.notes
    assert 'done in tiles of 160x120 pixels' in note


def test_a_small_picture_beside_it_is_done_as_before(lab, slide: Path, monkeypatch) -> None:
    monkeypatch.setattr(look, 'TILE', (120, 160))
    lab.write('in/b.png')
    results = predict('in', out='out')
    assert [row['cells'] for row in results.counts] == [3, SURE]
    assert sorted(contents(Path('out'))) == [
        'cells.csv', 'counts.csv', 'index.html', 'labels/b.png', 'ome/slide.ome.tif',
        'overlays/b.jpg', 'overlays/slide.jpg', 'predictions.json',
    ]  # fmt: skip


def test_resumed_results_are_the_same(lab, slide: Path, monkeypatch, detector) -> None:
    """Whatever tiles were done; they are not looked at again."""
    predict(slide, out='out', tile=TILE, formats='all')
    undisturbed, looked = contents(Path('out')), len(detector.seen)
    put, stop_at = TileStore.put, 4

    def killed(self, number, tile) -> None:
        if number == stop_at:
            raise KeyboardInterrupt
        put(self, number, tile)

    monkeypatch.setattr(TileStore, 'put', killed)
    detector.seen.clear()
    results = predict(slide, out='out', tile=TILE, formats='all')
    assert results.stopped
    done = len(list(Path('out/unfinished/slide').glob('*.npz')))
    assert done > 0
    monkeypatch.setattr(TileStore, 'put', put)
    detector.seen.clear()
    predict(slide, out='out', tile=TILE, formats='all')
    assert len(detector.seen) < looked
    assert contents(Path('out')) == undisturbed


def keep_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('tools.predict.results.clear', lambda folder: None)


@pytest.mark.parametrize('change', ['nothing', 'threshold', 'tile', 'picture', 'weights'])
def test_tiles_of_other_pictures_or_options_are_not_taken(
    lab, slide: Path, monkeypatch, detector, change: str
) -> None:
    keep_tiles(monkeypatch)
    options = {'tile': TILE, 'score_thr': 0.5, 'out': 'out'}
    predict(slide, **options)
    looked = len(detector.seen)
    detector.seen.clear()
    if change == 'threshold':
        options['score_thr'] = 0.6
    elif change == 'tile':
        options['tile'] = '150x120'
    elif change == 'picture':
        os.utime(slide, ns=(1, 1))
    elif change == 'weights':
        lab.run(note=1)
    predict(slide, **options)
    assert len(detector.seen) == 0 if change == 'nothing' else len(detector.seen) > looked * 0.7


def test_a_damaged_tile_of_the_picture_costs_no_other(lab, slide: Path) -> None:
    lab.write('in/b.png')
    with tifffile.TiffFile(slide) as tif:
        at = tif.pages.first.dataoffsets[-1]
    content = slide.read_bytes()
    slide.write_bytes(content[:at] + b'\xff' * 20 + content[at + 20 :])
    results = predict('in', out='out', tile=TILE)
    assert [row['image'] for row in results.counts] == ['b.png']
    assert 'slide.tif: is truncated or damaged' in results.problems[0]
    assert not Path('out/ome').exists()


def test_too_many_pixels(lab, slide: Path, monkeypatch) -> None:
    monkeypatch.setattr(look, 'MOST', 200_000)
    results = predict(slide, out='out', tile=TILE)
    assert 'slide.tif: has more than 200000 pixels' in results.problems[0]
    assert results.problems[0].endswith('; cut it into parts.')


@pytest.mark.parametrize('tile', [None, TILE])
def test_a_large_picture_of_another_format_is_said_to_be_shrunk(lab, tile: str | None) -> None:
    lab.run()
    lab.write('in/a.png', (300, 200, 30, 40), size=SIZE)
    notes = predict('in', out='out', tile=tile).notes
    assert [note.partition('is large and was shrunk')[1] != '' for note in notes] == [True] * (
        tile is None
    )


def test_labels_are_ome() -> None:
    assert large_formats(('overlay', 'labels')) == ('overlay', 'ome')
    assert large_formats(('labels', 'ome', 'rois')) == ('ome', 'rois')


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import conftest
from cellkit.files import regions
from tools.predict import predict
from tools.predict.tile_store import TileStore
regions.LARGE = 100_000
put = TileStore.put
def slowly(self, number, tile):
    put(self, number, tile)
    print('tile', flush=True)
    time.sleep(0.1)
TileStore.put = slowly
predict('in/slide.tif', out='out', tile={tile!r}, formats='all')
"""


@pytest.mark.slow
def test_killed_process(lab, slide: Path) -> None:
    predict(slide, out='out', tile=TILE, formats='all')
    undisturbed = contents(Path('out'))
    code = SLOW.format(tests=str(Path(__file__).parent), tile=TILE)
    here = os.environ | {'PYTHONPATH': str(Path(__file__).parents[3])}
    command = [sys.executable, '-c', code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here)
    lines: Iterator[str] = iter(process.stdout)
    for _ in range(4):
        assert 'tile\n' in lines  # consumed up to one
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(Path('out/unfinished/slide').glob('*.npz'))
    predict(slide, out='out', tile=TILE, formats='all')
    assert contents(Path('out')) == undisturbed
