"""The scale at which pictures are done: by pixel size, by their cells, and never in silence."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from tools.predict import predict
from tools.predict.magnification import Choice, Magnification

KNOWN = {'diameter': 24.0, 'width': 160, 'height': 120}
"""What the model learned from; pictures are resized to 160x120, so the network sees 24 pixels."""


def run_of(lab, **more: float) -> Path:
    return lab.run(meta={'dataset_meta': {'cell_scale': KNOWN | more}})


def discs(diameter: float, size: tuple[int, int]) -> tuple[np.ndarray, int]:
    """A picture full of discs that lie apart, and their number."""
    picture = np.full((*size, 3), 255, np.uint8)
    step, count = round(1.35 * diameter), 0
    for y in range(step // 2 + 1, size[0] - step // 2, step):
        for x in range(step // 2 + 1, size[1] - step // 2, step):
            cv2.circle(picture, (x, y), round(diameter / 2), (40, 40, 40), -1)
            count += 1
    return picture, count


def write(path: str, picture: np.ndarray) -> None:
    Path(path).parent.mkdir(exist_ok=True)
    assert cv2.imwrite(path, picture)


@pytest.mark.parametrize(
    ('diameter', 'size', 'scale'),
    [
        (24, (480, 640), 4),  # 4x4 fields
        (12, (480, 640), 8),  # and at half the magnification
        (8, (120, 160), 3),
        (48, (480, 640), 2),
        (100, (480, 640), 1),
        (150, (480, 640), 1 / 1.56),  # six cells
    ],
)
def test_all_cells_are_found_at_any_magnification(lab, detector, diameter, size, scale) -> None:
    run_of(lab)
    detector.knows = (14, 38)
    picture, count = discs(diameter, size)
    write('in/a.png', picture)
    results = predict('in', out='out')
    (row,) = results.counts
    assert row['cells'] == count
    assert row['scale'] == pytest.approx(scale, rel=0.12)
    assert row['scale_from'] == ('as it is' if scale == 1 else 'cells')
    told = [note for note in results.notes if 'was done at scale' in note]
    assert len(told) == (scale != 1)
    assert ('was done at scale' in Path('out/index.html').read_text()) == (scale != 1)
    as_it_is = predict('in', out='plain', scale=1).counts[0]['cells']
    assert (as_it_is == count) == (1 / 1.6 < scale < 1.6)


def test_an_ordinary_picture_is_looked_at_once_and_stays_as_it_is(lab, detector) -> None:
    run_of(lab)
    write('in/a.png', discs(100, (480, 640))[0])
    predict('in', out='out')
    assert detector.seen == [(120, 160)]
    predict('in', out='plain', scale=1)
    for file in ('labels/a.png', 'overlays/a.jpg', 'cells.csv', 'predictions.json'):
        assert Path('out', file).read_bytes() == Path('plain', file).read_bytes()


@pytest.mark.parametrize('options', [{'scale': 1}, {'tile': '640x480'}])
def test_what_the_user_says_holds(lab, detector, options: dict) -> None:
    run_of(lab)
    write('in/a.png', discs(24, (480, 640))[0])
    assert predict('in', out='out', **options).counts[0]['scale'] == 1
    assert set(detector.seen) == {(120, 160)}


def test_a_model_that_keeps_no_scale_resizes_all_to_one_size(lab, detector) -> None:
    lab.run()
    write('in/a.png', discs(24, (480, 640))[0])
    row = predict('in', out='out').counts[0]
    assert (row['scale'], row['scale_from']) == (1, 'as it is')
    assert detector.seen == [(120, 160)]


def test_a_pixel_size_tells_without_a_look(lab, detector) -> None:
    run_of(lab, diameter_um=6.0)  # 0.25 µm a pixel
    picture, count = discs(12, (240, 320))
    detector.knows = (14, 38)
    Path('in').mkdir()
    tags = dict(resolution=(20000, 20000), resolutionunit='CENTIMETER')  # 0.5 µm a pixel
    tifffile.imwrite('in/a.tif', picture, photometric='rgb', **tags)
    results = predict('in', out='out')
    (row,) = results.counts
    assert (row['cells'], row['scale'], row['scale_from']) == (count, 4, 'pixel size')
    assert 'by its pixel size of 0.5 µm' in ' '.join(results.notes)
    assert set(detector.seen) == {(120, 160)}
    # The user's comes before the file's: cells of 48 pixels, as ordinary as can be.
    row = predict('in', out='given', pixel_size=0.125).counts[0]
    assert (row['scale'], row['scale_from']) == (1, 'as it is')
    noted = json.loads(Path('out/settings.json').read_text())
    assert noted['scales'] == {'a.tif': {'scale': 4, 'from': 'pixel size'}}


def test_a_pixel_size_that_makes_cells_dust_is_not_believed(lab) -> None:
    chooser = Magnification.__new__(Magnification)
    chooser.cells = type('Cells', (), {'diameter_um': 6.0})
    assert chooser.of_pixel_size(3.0, (120, 160)) is None
    assert chooser.of_pixel_size(None, (120, 160)) is None


def test_what_cannot_be_told_is_said_and_left(lab, detector) -> None:
    """Dark things of no cell's size at any scale."""
    run_of(lab)
    detector.knows = (23, 25)
    picture = np.full((480, 640, 3), 255, np.uint8)
    picture[::7, :, 1] = 0
    write('in/a.png', picture)
    results = predict('in', out='out')
    assert results.counts[0]['scale_from'] == 'not told'
    assert 'left as it is; --scale sets it' in ' '.join(results.notes)


def test_an_empty_picture_is_ordinary(lab, detector) -> None:
    run_of(lab)
    lab.write_empty('in/a.png')
    results = predict('in', out='out')
    assert results.counts[0]['scale_from'] == Choice().source
    assert len(detector.seen) == 1


def test_a_large_picture_is_done_at_the_scale_of_a_typical_part(
    lab, detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('cellkit.files.regions.LARGE', 100_000)
    run_of(lab)
    detector.knows = (14, 38)
    picture, count = discs(12, (480, 640))
    Path('in').mkdir()
    tifffile.imwrite('in/a.tif', picture, photometric='rgb', tile=(64, 64))
    results = predict('in', out='out')
    (row,) = results.counts
    assert (row['cells'], row['scale_from']) == (count, 'cells')
    assert row['scale'] == pytest.approx(2, rel=0.12)
    assert 'in tiles of 8' in ' '.join(results.notes)
