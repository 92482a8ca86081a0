"""One rule each: overlaps, holes, pieces, the picture's edge, what has no area."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.drawn import Drawn, cells_of
from cellkit.outlines import ellipse, rectangle
from cellkit.rle import encode_label_map

SIZE = (40, 60)


def box(x: float, y: float, width: float, height: float) -> Drawn:
    return [rectangle(x, y, width, height)]


def areas(*drawings: Drawn, min_area: int = 1) -> list[int]:
    label_map = cells_of(drawings, SIZE, min_area).label_map
    return np.bincount(label_map.ravel())[1:].tolist()


def left_out(*drawings: Drawn) -> dict[str, int]:
    return cells_of(drawings, SIZE).left_out


def test_an_overlap_goes_to_the_smaller_whichever_was_drawn_first() -> None:
    large, small = box(0, 0, 20, 20), box(15, 5, 10, 10)
    assert areas(large, small) == [350, 100]
    assert areas(small, large) == [100, 350]
    assert areas(box(0, 0, 10, 10), box(5, 0, 10, 10)) == [50, 100]  # equal: the later one


def test_what_others_cover_by_more_than_half_is_left_out() -> None:
    twice = box(5, 5, 10, 10), box(5, 5, 10, 10)
    assert areas(*twice) == [100]
    assert left_out(*twice) == {'hidden': 1}
    assert areas(box(5, 5, 10, 10), box(4, 4, 12, 12)) == [100]  # drawn again, larger


def test_what_an_overlap_cuts_off_is_dropped_unless_it_was_drawn_in_pieces() -> None:
    bar, pole = box(0, 10, 40, 4), box(30, 0, 4, 24)
    assert areas(bar, pole) == [120, 96]  # the bar's end right of the pole is gone
    pieces = [rectangle(0, 10, 30, 4), rectangle(31, 10, 9, 4)]
    assert areas(pieces, pole) == [120 + 24, 96]


def test_holes_are_not_part_of_a_cell_and_pieces_are() -> None:
    ring = [[*rectangle(0, 0, 20, 20), *rectangle(5, 5, 10, 10)]]
    assert areas(ring) == [300]
    assert areas(ring, box(6, 6, 8, 8)) == [300, 64]
    apart = [rectangle(0, 0, 10, 10), rectangle(20, 0, 5, 10)]
    assert areas(apart) == [150]
    overlapping = [rectangle(0, 0, 10, 10), rectangle(5, 0, 10, 10)]
    assert areas(overlapping) == [150]


def test_the_edge_of_the_picture_cuts() -> None:
    assert areas(box(-5, -5, 10, 10), box(55, 35, 100, 100)) == [25, 25]
    outside = box(60, 0, 9, 9), box(0, -9, 9, 9), box(-100, -100, 50, 50)
    assert left_out(*outside) == {'outside': 3}
    assert areas(*outside) == []


def test_what_has_no_area_is_left_out() -> None:
    line, dot = [[np.array([[1, 1], [9, 9]])]], [[np.array([[3, 3]])]]
    between_centres = box(0.6, 0.6, 0.8, 0.8)
    empty_mask = encode_label_map(np.zeros(SIZE, int), 1)[0]
    found = left_out([], [[]], [[np.zeros((0, 2))]], line, dot, between_centres, empty_mask, None)
    assert found == {'no_area': 7, 'marked': 1}


def test_a_frame_is_no_cell() -> None:
    whole = box(0, 0, 60, 40)
    assert areas(whole, box(5, 5, 10, 10)) == [100]
    assert left_out(whole, box(-5, -5, 90, 90)) == {'frame': 2}
    assert areas(box(0, 0, 60, 30)) == [1800]


def test_open_and_crossing_lines_are_closed_and_filled_by_the_even_odd_rule() -> None:
    corner = [[np.array([[0, 0], [10, 0], [10, 10]])]]
    assert areas(corner) == [45 + 10]  # centres on the diagonal lie right of it
    bow = [[np.array([[0, 0], [10, 10], [10, 0], [0, 10]])]]
    assert 40 <= areas(bow)[0] <= 60


def test_small_ones_are_specks() -> None:
    cells = cells_of([box(0, 0, 5, 5), box(10, 10, 10, 10), box(30, 30, 2, 2)], SIZE, 30)
    assert cells.specks == [25, 4]
    assert np.unique(cells.label_map).tolist() == [0, 1]


def test_masks_and_polygons_together_keep_their_order() -> None:
    mask = np.zeros(SIZE, int)
    mask[20:30, 20:30] = 1
    found = areas(
        box(0, 0, 2, 2), *encode_label_map(mask), [ellipse(50, 30, 3, 3)], box(5, 0, 3, 2)
    )
    assert found[:2] + found[3:] == [4, 100, 6]


shapes = st.lists(
    st.tuples(st.integers(-9, 60), st.integers(-9, 40), st.integers(0, 30), st.integers(0, 30)),
    max_size=9,
)


@settings(max_examples=100, deadline=None)
@given(shapes)
def test_every_drawing_is_a_cell_a_speck_or_counted(drawn) -> None:
    cells = cells_of([box(*sides) for sides in drawn], SIZE, 40)
    sizes = np.bincount(cells.label_map.ravel(), minlength=1)[1:]
    assert (sizes >= 40).all()
    assert len(sizes) + len(cells.specks) + sum(cells.left_out.values()) == len(drawn)
