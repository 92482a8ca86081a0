"""The instance rule against a flood fill, and the cutting of touching cells."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellkit.instances import MIN_AREA, THRESHOLD, label_instances, split_touching

masks = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20),
    elements=st.sampled_from([0, 100, THRESHOLD, THRESHOLD + 1, 255]),
)


def flood_fill(mask: np.ndarray, threshold: int, connectivity: int, min_area: int) -> tuple:
    """Slow reference: label map in reading order, and ``(bbox, area)`` of the dropped specks."""
    steps = [s for s in itertools.product((-1, 0, 1), repeat=2) if s != (0, 0)]
    if connectivity == 4:
        steps = [s for s in steps if 0 in s]
    todo = {(int(y), int(x)) for y, x in np.argwhere(mask > threshold)}
    labels = np.zeros(mask.shape, np.int32)
    specks = []
    cells = 0
    for start in sorted(todo):
        if start not in todo:
            continue
        todo.remove(start)
        component, edge = [start], [start]
        while edge:
            y, x = edge.pop()
            for dy, dx in steps:
                near = (y + dy, x + dx)
                if near in todo:
                    todo.remove(near)
                    component.append(near)
                    edge.append(near)
        ys, xs = np.array(component).T
        if len(component) >= min_area:
            cells += 1
            labels[ys, xs] = cells
        else:
            box = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
            specks.append((tuple(int(v) for v in box), len(component)))
    return labels, specks


@given(masks, st.sampled_from([0, THRESHOLD]), st.sampled_from([4, 8]), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
@example(np.zeros((3, 3), np.uint8), THRESHOLD, 8, 1)
@example(np.full((2, 5), 255, np.uint8), THRESHOLD, 8, 11)
@example(np.eye(15, dtype=np.uint8) * 255, THRESHOLD, 4, 1)
def test_components_are_those_of_a_flood_fill(mask, threshold, connectivity, min_area):
    labels, specks = label_instances(mask, threshold, connectivity, min_area)
    expected, expected_specks = flood_fill(mask, threshold, connectivity, min_area)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)
    assert sorted((s.bbox, s.area) for s in specks) == sorted(expected_specks)


def test_overlapping_boxes_are_renumbered_right():
    # Rings inside rings: the boxes of the changed labels together exceed the image.
    mask = np.zeros((101, 101), np.uint8)
    for radius in range(2, 50, 3):
        cv2.circle(mask, (50, 50), radius, 255, 1)
    mask[0, 99] = 255  # a speck before all rings, so that every label changes
    labels, specks = label_instances(mask, min_area=3)
    expected, _ = flood_fill(mask, THRESHOLD, 8, 3)
    np.testing.assert_array_equal(labels, expected)
    assert [s.area for s in specks] == [1]


def test_the_default_rule():
    mask = np.zeros((60, 60), np.uint8)
    mask[:10, :10] = 255  # 100 pixels
    mask[10:20, 10:20] = 255  # joined at a corner
    mask[30:39, 30:41] = 255  # 99 pixels
    mask[50:60, 0:10] = THRESHOLD
    labels, specks = label_instances(mask)
    assert labels.max() == 1
    assert np.count_nonzero(labels) == 200
    assert [s.area for s in specks] == [MIN_AREA - 1]


def test_a_bool_mask_needs_no_threshold():
    mask = np.zeros((20, 20), bool)
    mask[2:14, 2:14] = True
    assert np.array_equal(label_instances(mask)[0] > 0, mask)


@pytest.mark.parametrize(
    ('mask', 'options', 'message'),
    [
        (np.zeros((4, 4, 3), np.uint8), {}, r'shape \(H, W\)'),
        (np.zeros((4, 4), np.uint8), {'connectivity': 6}, '4 or 8, not 6'),
    ],
)
def test_wrong_arguments_are_named(mask, options, message):
    with pytest.raises(ValueError, match=message):
        label_instances(mask, **options)


def discs(*circles: tuple[int, int, int], size: tuple[int, int] = (300, 400)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    for x, y, radius in circles:
        cv2.circle(mask, (x, y), radius, 255, -1)
    return label_instances(mask)[0]


def test_touching_discs_are_cut_where_they_touch():
    labels = discs((60, 60, 30), (110, 60, 30), (250, 60, 30), (60, 200, 30), (250, 200, 30))
    assert labels.max() == 4
    new, cut = split_touching(labels)
    assert cut == {1: 2}
    assert new.max() == 5
    np.testing.assert_array_equal(new > 0, labels > 0)
    left, right = new[60, 60], new[60, 110]
    assert left != right
    columns = np.arange(new.shape[1])
    assert columns[(new == left).any(0)].max() <= 86
    assert columns[(new == right).any(0)].min() >= 84


def test_three_in_a_row():
    labels = discs((60, 60, 30), (110, 70, 30), (160, 60, 30), (250, 60, 30), (250, 200, 30))
    new, cut = split_touching(labels)
    assert cut == {1: 3}
    assert new.max() == 5


def test_round_long_and_large_cells_stay_whole():
    mask = np.zeros((300, 400), np.uint8)
    for x in (50, 130, 210):
        cv2.circle(mask, (x, 50), 25, 255, -1)
    cv2.circle(mask, (90, 190), 70, 255, -1)
    cv2.ellipse(mask, (280, 190), (100, 30), 20, 0, 360, 255, -1)
    labels, _ = label_instances(mask)
    new, cut = split_touching(labels)
    assert cut == {}
    np.testing.assert_array_equal(new, labels)


@given(
    st.lists(
        st.tuples(st.integers(0, 149), st.integers(0, 119), st.integers(7, 25)),
        min_size=0,
        max_size=12,
    )
)
@settings(max_examples=40, deadline=None)
def test_cutting_keeps_the_foreground_and_refines_components(circles):
    labels = discs(*circles, size=(120, 150))
    new, cut = split_touching(labels)
    np.testing.assert_array_equal(new > 0, labels > 0)
    areas = np.bincount(new.ravel())[1:]
    assert (areas >= MIN_AREA).all()
    pieces = {int(k): len(np.unique(new[labels == k])) for k in np.unique(labels[labels > 0])}
    assert {k: n for k, n in pieces.items() if n > 1} == cut
    assert len(areas) == sum(pieces.values())  # so no new label lies in two components
    firsts = [int(np.flatnonzero(new == k)[0]) for k in range(1, len(areas) + 1)]
    assert firsts == sorted(firsts)
