"""What the network is shown, whole or in tiles, and what becomes of its detections."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from cellkit.errors import UserError
from cellkit.instances import label_instances
from tools.predict.detector import Detector, picture_pipeline
from tools.runs.run import Run

LOAD = {'type': 'LoadImageFromFile'}
RESIZE = {'type': 'mmdet.Resize', 'scale': (160, 120), 'keep_ratio': True}


def detector_of(run: Path, score_thr: float = 0.5, **options: object) -> Detector:
    return Detector(Run(run).open_checkpoint(), 'cpu', score_thr, **options)


@pytest.mark.parametrize('bitmaps', [False, True])
def test_cells_of_a_picture(lab, detector, bitmaps: bool) -> None:
    """Masks as run lengths or as bitmaps give the same; those below the threshold are out."""
    detector.bitmaps = bitmaps
    picture = lab.picture(*lab.three_cells)
    run = lab.run()
    found = detector_of(run)(picture)
    np.testing.assert_array_equal(found.label_map, label_instances(picture[..., 0] < 200)[0])
    assert found.label_map.dtype == np.int32
    np.testing.assert_allclose(found.scores, [1 - 20 / 255, 1 - 40 / 255, 1 - 60 / 255], atol=1e-6)
    assert found.scores.dtype == np.float64
    assert (found.resolution, found.full) == (1.0, False)
    assert detector_of(run, 0.8)(picture).label_map.max() == 2
    assert detector_of(run, 1.0)(picture).label_map.max() == 0
    empty = detector_of(run)(lab.picture())
    assert empty.label_map.max() == len(empty.scores) == 0


@pytest.mark.parametrize(('tile', 'size'), [(None, (120, 160)), ((120, 160), (190, 260))])
def test_four_flips_give_the_cells_of_one_view(lab, detector, tile, size) -> None:
    """The detector of these tests makes no difference between a picture and its flips."""
    run, picture = lab.run(), lab.picture(*lab.three_cells, size=size)
    once = detector_of(run, tile=tile)(picture)
    views = len(detector.seen)
    found = detector_of(run, tile=tile, tta=True)(picture)
    assert len(detector.seen) == views * 5
    np.testing.assert_array_equal(found.label_map, once.label_map)
    np.testing.assert_allclose(found.scores, once.scores, atol=1e-6)
    assert found.resolution == once.resolution


def test_a_score_that_is_the_threshold_counts(lab) -> None:
    run, picture = lab.run(), lab.picture(*lab.three_cells)
    score = float(detector_of(run)(picture).scores[1])  # a float32, as the network gives it
    assert len(detector_of(run, score)(picture).scores) == 2
    assert len(detector_of(run, np.nextafter(score, 1))(picture).scores) == 1


@pytest.mark.parametrize('tile', [None, (120, 160)])
def test_doubtful_cells_are_told_and_change_no_other(lab, tile) -> None:
    run = lab.run()
    small = lab.picture(*lab.three_cells, (30, 95, 12, 150), (130, 20, 10, 250))  # 0.41, 0.02
    picture = np.hstack([small, small[:, ::-1]]) if tile else small
    without = detector_of(run, tile=tile)(picture)
    found = detector_of(run, tile=tile, least_score=0.2)(picture)
    np.testing.assert_array_equal(found.label_map, without.label_map)
    np.testing.assert_array_equal(found.scores, without.scores)
    np.testing.assert_allclose(found.doubtful, [1 - 150 / 255] * (2 if tile else 1), atol=1e-6)
    assert len(without.doubtful) == 0


def test_as_many_detections_as_the_model_gives(lab) -> None:
    run = lab.run()
    cells = [(x, y, 5, 30) for x in range(10, 160, 15) for y in range(10, 120, 15)]
    assert detector_of(run)(lab.picture(*cells)).full
    assert not detector_of(run)(lab.picture(*cells[:49])).full
    size = (lab.height, lab.width)
    beside = np.hstack([lab.picture(*cells), lab.picture()])  # full in the first tile only
    assert detector_of(run, tile=size)(beside).full


@pytest.mark.parametrize('scale', [1.0, 2.0, 0.5])
def test_scale_enlarges_what_the_network_sees(lab, detector, scale: float) -> None:
    picture = lab.picture((200, 100, 30, 30), size=(2 * lab.height, 2 * lab.width))
    found = detector_of(lab.run(), scale=scale)(picture)
    assert found.label_map.max() == 1
    assert detector.seen == [(int(lab.height * scale), int(lab.width * scale))]
    assert found.resolution == 2 / scale


def same_cells(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two label maps are one but for the numbers."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return pairs.shape[1] == 1 + a.max() == 1 + b.max() and not pairs[:, 0].any()


@pytest.mark.parametrize('seed', range(4))
def test_tiles_find_what_is_there(lab, detector, seed: int) -> None:
    """Also cells far larger than the overlap of 24 pixels."""
    rng = np.random.default_rng(seed)
    truth, cells = np.zeros((330, 470), np.int32), []
    y, x = np.mgrid[:330, :470]
    for _ in range(120):
        at = (int(rng.integers(470)), int(rng.integers(330)), int(rng.integers(4, 40)))
        near = np.hypot(x - at[0], y - at[1]) <= at[2] + 3
        if not truth[near].any():
            truth[np.hypot(x - at[0], y - at[1]) <= at[2]] = len(cells) + 1
            cells.append((*at, int(rng.integers(20, 80))))
    truth = label_instances(truth > 0, min_area=1)[0]
    areas = np.bincount(truth.ravel())
    picture = lab.picture(*cells, size=truth.shape)
    picture[(areas < 30)[truth]] = 255  # the detector takes none under 20 pixels
    truth[(areas < 30)[truth]] = 0
    found = detector_of(lab.run(), 0.2, tile=(lab.height, lab.width))(picture)
    assert len(detector.seen) == 16
    assert set(detector.seen) == {(lab.height, lab.width)}
    assert same_cells(label_instances(truth > 0, min_area=1)[0], found.label_map)
    assert len(found.scores) == found.label_map.max()


def test_tiles_of_a_small_picture_have_the_same_scale(lab, detector) -> None:
    find = detector_of(lab.run(), tile=(2 * lab.height, 2 * lab.width))
    find(lab.picture((30, 30, 10, 30), size=(60, 70)))
    assert detector.seen == [(30, 35)]
    find(lab.picture((30, 30, 10, 30), size=(400, 300)))
    assert set(detector.seen[1:]) == {(lab.height, lab.width * 15 // 16)}  # 240x300 by a half


@pytest.mark.parametrize('load', ['LoadSmear', 'LoadImageFromFile', 'mmcv.LoadImageFromFile'])
def test_a_pipeline_for_pictures_in_memory(load: str) -> None:
    """Checkpoints hold the names of their time."""
    annotations = [{'type': 'mmdet.LoadAnnotations'}, {'type': 'FilterAnnotations'}]
    steps = [{'type': load}, RESIZE, *annotations, {'type': 'PackDetInputs'}]
    kept = picture_pipeline(steps)
    assert [step['type'] for step in kept] == [
        'mmdet.LoadImageFromNDArray',
        'mmdet.Resize',
        'PackDetInputs',
    ]
    assert kept[1] == RESIZE
    assert steps[0] == {'type': load}, 'the config itself must stay as it is'


@pytest.mark.parametrize(
    ('resize', 'tile', 'expected'),
    [
        ({}, None, {'scale': (240, 180)}),
        ({'scale': 100}, None, {'scale': (150, 150)}),
        ({}, (60, 100), {'scale_factor': 2.4}),
        ({'keep_ratio': False}, (60, 100), {'scale_factor': (2.4, 3.0)}),
    ],
)
def test_resizing(resize: dict, tile: tuple[int, int] | None, expected: dict) -> None:
    step = picture_pipeline([LOAD, RESIZE | resize], 1.5, tile)[1]
    assert {key: step[key] for key in ('scale', 'scale_factor') if key in step} == expected


@pytest.mark.parametrize('options', [{'scale': 2.0}, {'tile': (64, 64)}])
def test_nothing_to_scale(options: dict) -> None:
    assert len(picture_pipeline([LOAD])) == 1
    with pytest.raises(UserError, match='has no Resize with a scale'):
        picture_pipeline([LOAD], **options)


def test_the_config_of_the_checkpoint_stays_as_it_is(lab) -> None:
    checkpoint = Run(lab.run()).open_checkpoint()
    before = Config(checkpoint.config.to_dict())
    Detector(checkpoint, 'cpu', 0.4, 2.0)
    assert checkpoint.config.to_dict() == before.to_dict()
