"""One synthetic smear: deterministic, labelled as drawn, in the range of the real ones."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.instances import MIN_AREA, label_instances
from cellkit.smears.cells import Patch
from cellkit.smears.scene import (
    KINDS,
    LOOKS,
    _Canvas,
    _merge_hidden,
    draw_smear,
    random_look,
)

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


def _disc(centre: tuple[int, int], radius: int) -> Patch:
    reach = radius + 2
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    depth = radius - np.hypot(yy, xx)
    density = (depth > 0)[..., None] * np.ones(3)
    return Patch(centre[0] - reach, centre[1] - reach, xx, yy, depth, density)


def test_a_mostly_hidden_cell_is_one_with_the_other():
    canvas = _Canvas((100, 200))
    canvas.add_cell(_disc((50, 50), 20))
    canvas.add_cell(_disc((50, 54), 19))  # nearly on top
    canvas.add_cell(_disc((50, 85), 20))  # overlaps the second a little
    label = _merge_hidden(canvas)
    assert len(np.unique(label)) == 3
    assert label[50, 40] == label[50, 68] != label[50, 90]


def test_overlapping_cells_meet_in_the_middle_and_darken_each_other():
    canvas = _Canvas((100, 200))
    canvas.add_cell(_disc((50, 60), 20))
    canvas.add_cell(_disc((50, 90), 20))
    assert canvas.label[50, 74] == 1
    assert canvas.label[50, 76] == 2
    assert canvas.density[50, 75, 0] == 2


def test_a_sliver_at_the_border_is_drawn_but_not_labelled():
    canvas = _Canvas((100, 200))
    canvas.add_cell(_disc((-15, 100), 20))
    assert canvas.density.any()
    assert not canvas.label.any()
    canvas.add_cell(_disc((0, 30), 20))
    assert canvas.label.any()


@pytest.mark.parametrize('centre', [(-60, 100), (160, 100), (50, -60), (50, 260)])
def test_what_lies_beside_the_canvas_changes_nothing(centre):
    canvas = _Canvas((100, 200))
    canvas.add_cell(_disc(centre, 20))
    canvas.add(_disc(centre, 20))
    assert not canvas.density.any()
    assert not canvas.label.any()
    assert not canvas.areas


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


def test_a_field_has_cells_of_the_scale_that_was_asked_for() -> None:
    """Whatever the picture's size: half a field shows half as many cells of one size."""
    look = replace(
        LOOKS['grey_green'], cells=(80, 80), clumping=(0, 0), unfocused=0, overlap=(0, 0)
    )
    counts, areas = [], []
    for size in ((480, 640), (480, 320)):
        _, label = draw_smear(np.random.default_rng(1), size, look=look, scale=0.4)
        inner = [k for k in range(1, label.max() + 1) if not touches_border(label == k)]
        counts.append(label.max())
        areas.append(np.median([np.count_nonzero(label == k) for k in inner]))
    assert counts[1] == pytest.approx(counts[0] / 2, rel=0.35)
    assert areas[1] == pytest.approx(areas[0], rel=0.15)
    assert areas[0] == pytest.approx(np.mean(look.area) * 0.4**2, rel=0.25)


def touches_border(mask: np.ndarray) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def test_labels_end_inside_the_outline_by_the_inset() -> None:
    look = replace(LOOKS['white_violet'], kinds={'disc': 1.0}, unfocused=0, least_visible=0.5)
    areas = []
    for inset in (0.0, 2.0):
        rng = np.random.default_rng(3)
        _, label = draw_smear(rng, SMALL, 1, replace(look, inset=inset), scale=0.6)
        areas.append(np.count_nonzero(label))
    radius = np.sqrt(areas[0] / np.pi)
    assert areas[1] == pytest.approx(np.pi * (radius - 2.0 * 0.6) ** 2, rel=0.03)


def test_random_looks_reach_beyond_the_families() -> None:
    looks = [random_look(np.random.default_rng(k)) for k in range(200)]
    backgrounds, cells = (np.array([getattr(x, n) for x in looks]) for n in ('background', 'cell'))
    known = np.array([look.background for look in LOOKS.values()])
    assert (backgrounds.min(0) < known.min(0)).all()
    assert (backgrounds.max(0)[1:] > known.max(0)[1:]).all()
    assert (backgrounds[:, 0] >= cells[:, 0] + 8).all()  # cells are darker than the slide
    assert all(set(look.kinds) == set(KINDS) for look in looks)
