"""Synthetic smears: deterministic, labelled as drawn, in the real set's layout and range."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.files.prepared import DEMO_MANIFEST
from cellkit.instances import MIN_AREA, label_instances
from data_prep.demo import scene as demo_scene
from data_prep.demo import smears as demo_smears
from data_prep.demo.__main__ import main
from data_prep.demo.cells import Patch
from data_prep.demo.smears import demo_smear, write_demo_set

SMALL = (300, 400)  # a quarter of the real width: cells about 25 px across


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _statistics(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """What is compared with real smears: colours, sizes and crowding of one RGB smear."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))) > 0
    labels, _ = label_instances(mask)
    areas = np.bincount(labels.ravel())[1:]
    background, cell = np.median(lab[~near], axis=0), np.median(lab[mask], axis=0)
    return {
        'background L': background[0],
        'cell L': cell[0],
        'contrast': background[0] - cell[0],
        'cell a': cell[1],
        'cell b': cell[2],
        'area': float(np.median(areas)) / mask.size * 1600 * 1200,
        'cells': len(areas),
        'coverage': mask.mean(),
    }


# ------------------------------------------------------------------ one smear


def test_same_state_same_smear_other_state_other_smear():
    first, second, third = (
        demo_smear(np.random.default_rng(seed), SMALL, cells=12) for seed in (5, 5, 6)
    )
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], third[0])


def test_threads_change_nothing():
    before = cv2.getNumThreads()
    try:
        pictures = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            pictures.append(demo_smear(np.random.default_rng(3), SMALL, look='thick')[0])
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*pictures)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(120, 260),
    width=st.integers(120, 260),
    cells=st.integers(0, 40),
)
def test_types_and_numbering(seed, height, width, cells):
    image, label = demo_smear(np.random.default_rng(seed), (height, width), cells)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert label.shape == (height, width)
    assert label.dtype == np.int32
    areas = np.bincount(label.ravel())[1:]
    assert len(areas) <= cells
    assert (areas >= MIN_AREA).all()  # so the numbers have no gap either


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), cells=st.integers(5, 60))
def test_the_instance_rule_gives_back_every_cell_where_all_are_parted(seed, cells):
    _, label = demo_smear(np.random.default_rng(seed), SMALL, cells, joined=0.0)
    found, specks = label_instances(label > 0)
    assert not specks
    pairs = np.unique(np.stack([label.ravel(), found.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(label)) == found.max() + 1


def test_by_default_few_cells_touch():
    drawn = found = 0
    for index, look in enumerate(sorted(demo_smears.LOOKS)):
        _, label = demo_smear(np.random.default_rng([1, index]), SMALL, 50, look)
        drawn += label.max()
        found += label_instances(label > 0)[0].max()
    assert 0.94 * drawn <= found < drawn


def test_joined_cells_stay_together():
    _, label = demo_smear(np.random.default_rng(0), SMALL, 60, 'slate', joined=1.0)
    assert label_instances(label > 0)[0].max() < 0.8 * label.max()


def test_an_empty_field_has_no_cell():
    _, label = demo_smear(np.random.default_rng(0), SMALL, cells=0, look='thick')
    assert not label.any()  # platelets, debris and clouds are no cells


def test_unknown_look_is_an_error():
    with pytest.raises(KeyError):
        demo_smear(np.random.default_rng(0), SMALL, look='neon')


def test_cells_grow_with_the_picture():
    sizes = []
    for size in (SMALL, (600, 800)):
        _, label = demo_smear(np.random.default_rng(2), size, 15, 'grey_green')
        sizes.append(np.median(np.bincount(label.ravel())[1:]))
    assert sizes[1] / sizes[0] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize('look', sorted(demo_smears.LOOKS))
def test_every_look_shows_dark_cells_of_the_real_size(look):
    measured = [
        _statistics(image, label > 0)
        for image, label in (
            demo_smear(np.random.default_rng([7, k]), SMALL, look=look) for k in (0, 1)
        )
    ]
    for values in measured:
        assert values['contrast'] > 5
        assert 50 < values['background L'] <= 100
        assert 4500 < values['area'] < 13000
        assert 10 <= values['cells'] <= 190
        assert 0.06 < values['coverage'] < 0.65


def _disc(centre: tuple[int, int], radius: int) -> Patch:
    reach = radius + 2
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    depth = radius - np.hypot(yy, xx)
    density = (depth > 0)[..., None] * np.ones(3)
    return Patch(centre[0] - reach, centre[1] - reach, density, depth)


def test_a_mostly_hidden_cell_is_one_with_the_other():
    canvas = demo_scene._Canvas((100, 200))
    canvas.add_cell(_disc((50, 50), 20))
    canvas.add_cell(_disc((50, 54), 19))  # nearly on top
    canvas.add_cell(_disc((50, 85), 20))  # overlaps the second a little
    label = demo_scene._merge_hidden(canvas)
    assert len(np.unique(label)) == 3
    assert label[50, 40] == label[50, 68] != label[50, 90]


def test_overlapping_cells_meet_in_the_middle_and_darken_each_other():
    canvas = demo_scene._Canvas((100, 200))
    canvas.add_cell(_disc((50, 60), 20))
    canvas.add_cell(_disc((50, 90), 20))
    assert canvas.label[50, 74] == 1
    assert canvas.label[50, 76] == 2
    assert canvas.density[50, 75, 0] == 2


def test_a_sliver_at_the_border_is_drawn_but_not_labelled():
    canvas = demo_scene._Canvas((100, 200))
    canvas.add_cell(_disc((-15, 100), 20))
    assert canvas.density.any()
    assert not canvas.label.any()
    canvas.add_cell(_disc((0, 30), 20))
    assert canvas.label.any()


# ------------------------------------------------------------------ the set


@pytest.fixture(scope='module')
def demo_set(tmp_path_factory):
    return write_demo_set(
        tmp_path_factory.mktemp('demo') / 'smears',
        train=8,
        test=3,
        seed=4,
        size=(150, 200),
        workers=1,
    )


def test_layout_pairs_and_masks(demo_set):
    for part, count in (('train', 8), ('test', 3)):
        images = {p.stem: p for p in (demo_set / part / 'original').iterdir()}
        masks = {p.stem: p for p in (demo_set / part / 'mask').iterdir()}
        assert len(images) == count
        assert images.keys() == masks.keys()
        for stem, path in images.items():
            mask = cv2.imread(str(masks[stem]), cv2.IMREAD_UNCHANGED)
            assert masks[stem].suffix == '.png'
            assert mask.ndim == 3
            assert set(np.unique(mask)) == {0, 255}
            assert cv2.imread(str(path)).shape == mask.shape
            assert mask.shape[:2] == ((150, 200) if path.suffix == '.png' else (173, 243))


def test_some_images_are_jpg_of_another_size(demo_set):
    assert len(list(demo_set.rglob('*.jpg'))) == 1


def test_no_temporary_folder_is_left(demo_set):
    assert [p.name for p in demo_set.parent.iterdir()] == ['smears']


def test_number_of_processes_changes_nothing(demo_set, tmp_path):
    again = write_demo_set(tmp_path / 'two', 8, 3, seed=4, size=(150, 200), workers=2)
    assert _digests(again) == _digests(demo_set)


def test_seeds_and_parts_differ(demo_set, tmp_path):
    other = write_demo_set(tmp_path / 'other', 1, 1, seed=5, size=(150, 200), workers=1)
    name = 'train/original/demo_train_0000.png'
    first = (demo_set / name).read_bytes()
    assert (other / name).read_bytes() != first
    assert (demo_set / 'test/original/demo_test_0000.png').read_bytes() != first


def test_a_larger_set_begins_with_the_smaller_one(demo_set, tmp_path):
    less = write_demo_set(tmp_path / 'less', 2, 1, seed=4, size=(150, 200), workers=1)
    few, many = _digests(less), _digests(demo_set)
    del few[DEMO_MANIFEST]
    assert few.items() <= many.items()


def test_the_same_call_writes_nothing_other_arguments_replace(tmp_path):
    folder = write_demo_set(tmp_path / 'set', 2, 1, size=(120, 160), workers=1)
    (folder / 'train' / 'kept').touch()
    write_demo_set(folder, 2, 1, size=(120, 160), workers=1)
    assert (folder / 'train' / 'kept').exists()
    write_demo_set(folder, 1, 1, size=(120, 160), workers=1)
    assert not (folder / 'train' / 'kept').exists()
    assert len(list((folder / 'train/mask').iterdir())) == 1
    assert json.loads((folder / DEMO_MANIFEST).read_text())['train'] == 1


def test_a_failure_leaves_the_old_set_as_it_was(tmp_path, monkeypatch):
    folder = write_demo_set(tmp_path / 'set', 2, 1, size=(120, 160), workers=1)
    before = _digests(folder)
    monkeypatch.setattr(demo_smears.cv2, 'imwrite', lambda *args: False)
    with pytest.raises(OSError, match='could not be written'):
        write_demo_set(folder, 3, 1, size=(120, 160), workers=1)
    assert _digests(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == ['set']


def test_a_folder_with_other_things_is_refused(tmp_path, capsys):
    (tmp_path / 'thesis.txt').write_text('years of work')
    assert main(['--out', str(tmp_path), '--train', '1', '--test', '1']) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count('\n') == 1
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.txt']


# ------------------------------------------------------------------ against real smears

# Quartiles over 60 real smears (one value an image; CIE L*a*b*; area in px at 1600x1200).
REAL_QUARTILES = {
    'background L': (87.5, 92.5),
    'cell L': (31.9, 49.4),
    'contrast': (43.9, 55.8),
    'cell a': (4.7, 15.2),
    'cell b': (-26.0, -17.3),
    'area': (7390, 9310),
}


@pytest.mark.slow
def test_medians_lie_within_the_real_quartiles():
    demo = []
    for index, look in enumerate(sorted(demo_smears.LOOKS)):
        image, label = demo_smear(np.random.default_rng([9, index]), (600, 800), look=look)
        demo.append(_statistics(image, label > 0))
    for key, (low, high) in REAL_QUARTILES.items():
        median = np.median([values[key] for values in demo])
        assert low <= median <= high, f'{key}: {median:.3f} outside {low}..{high}'
