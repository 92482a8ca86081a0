"""One synthetic smear: deterministic, labelled as drawn, in the range of the real ones."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.instances import MIN_AREA, label_instances
from cellkit.smears.looks import LOOKS, WILD
from cellkit.smears.smear import draw_smear

SMALL = (300, 400)  # a quarter of the real width: cells about 25 px across


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


def test_same_state_same_smear_other_state_other_smear():
    first, second, third = (
        draw_smear(np.random.default_rng(seed), SMALL, cells=12) for seed in (5, 5, 6)
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
            pictures.append(draw_smear(np.random.default_rng(3), SMALL, look='thick')[0])
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
    image, label = draw_smear(np.random.default_rng(seed), (height, width), cells)
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
    _, label = draw_smear(np.random.default_rng(seed), SMALL, cells, joined=0.0)
    found, specks = label_instances(label > 0)
    assert not specks
    pairs = np.unique(np.stack([label.ravel(), found.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(label)) == found.max() + 1


def test_by_default_few_cells_touch():
    drawn = found = 0
    for index, look in enumerate(sorted(LOOKS)):
        _, label = draw_smear(np.random.default_rng([1, index]), SMALL, 50, look)
        drawn += label.max()
        found += label_instances(label > 0)[0].max()
    assert 0.94 * drawn <= found < drawn


def test_joined_cells_stay_together():
    _, label = draw_smear(np.random.default_rng(0), SMALL, 60, 'slate', joined=1.0)
    assert label_instances(label > 0)[0].max() < 0.8 * label.max()


def test_an_empty_field_has_no_cell():
    _, label = draw_smear(np.random.default_rng(0), SMALL, cells=0, look='thick')
    assert not label.any()  # platelets, debris and clouds are no cells


def test_unknown_look_is_an_error():
    with pytest.raises(KeyError):
        draw_smear(np.random.default_rng(0), SMALL, look='neon')


def test_cells_grow_with_the_picture():
    sizes = []
    for size in (SMALL, (600, 800)):
        _, label = draw_smear(np.random.default_rng(2), size, 15, 'grey_green')
        sizes.append(np.median(np.bincount(label.ravel())[1:]))
    assert sizes[1] / sizes[0] == pytest.approx(4, rel=0.1)


def test_a_field_shows_part_of_a_slide_at_the_given_scale():
    areas, counts = {}, {}
    for scale in (0.4, 0.8):
        fields = [
            draw_smear(np.random.default_rng([4, k]), SMALL, look='lilac', scale=scale)[1]
            for k in range(12)
        ]
        cells = np.concatenate([np.bincount(label.ravel())[1:] for label in fields])
        areas[scale], counts[scale] = np.median(cells), len(cells) / 12
    assert areas[0.8] / areas[0.4] == pytest.approx(4, rel=0.15)
    assert counts[0.4] / counts[0.8] == pytest.approx(4, rel=0.5)
    assert 75 / 6 < counts[0.4] < 75 / 2.5  # 50 to 100 cells lie in an area four times as large


def test_cells_at_large_are_of_the_same_size_and_number():
    labels = [
        draw_smear(np.random.default_rng([8, k]), (192, 256), look=WILD, scale=0.32)[1]
        for k in range(40)
    ]
    areas = np.concatenate([np.bincount(label.ravel())[1:] for label in labels]) / 0.32**2
    assert 5500 < np.median(areas) < 11000
    assert 3 < np.mean([label.max() for label in labels]) < 40


@pytest.mark.parametrize('look', sorted(LOOKS))
def test_every_look_shows_dark_cells_of_the_real_size(look):
    measured = [
        _statistics(image, label > 0)
        for image, label in (
            draw_smear(np.random.default_rng([7, k]), SMALL, look=look) for k in (0, 1)
        )
    ]
    for values in measured:
        assert values['contrast'] > 5
        assert 50 < values['background L'] <= 100
        assert 4500 < values['area'] < 13000
        assert 10 <= values['cells'] <= 190
        assert 0.06 < values['coverage'] < 0.65


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
    for index, look in enumerate(sorted(LOOKS)):
        image, label = draw_smear(np.random.default_rng([9, index]), (600, 800), look=look)
        demo.append(_statistics(image, label > 0))
    for key, (low, high) in REAL_QUARTILES.items():
        median = np.median([values[key] for values in demo])
        assert low <= median <= high, f'{key}: {median:.3f} outside {low}..{high}'


def test_masks_hold_as_many_cells_as_one_as_real_ones_do():
    """Of 1840 whole labels of the real training part 8 % are above 1.5 medians of their image."""
    larger = []
    for index, look in enumerate(sorted(LOOKS)):
        for seed in range(3):
            rng = np.random.default_rng([5, index, seed])
            areas = np.bincount(draw_smear(rng, (600, 800), look=look)[1].ravel())[1:]
            larger.extend(areas > 1.5 * np.median(areas))
    assert 0.03 <= np.mean(larger) <= 0.1


@pytest.mark.parametrize('seed', range(3))
def test_no_cell_is_cut_where_none_may_be(seed: int) -> None:
    """Fields of such can be laid side by side: whole and parts have the same cells."""
    rng = np.random.default_rng(seed)
    _, labels = draw_smear(rng, (300, 400), scale=0.25, beyond=-1.8)
    assert labels.max() > 10
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    assert not edge.any()
