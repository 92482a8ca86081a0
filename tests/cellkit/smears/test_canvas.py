"""Things laid on one another: what is seen, and which cell a pixel belongs to."""

from dataclasses import replace

import numpy as np
import pytest

from cellkit.smears.bodies import Patch
from cellkit.smears.canvas import VISIBLE, Canvas


def _disc(centre: tuple[int, int], radius: int) -> Patch:
    reach = radius + 2
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    depth = np.float32(radius - np.hypot(yy, xx))
    density = np.float32(depth > 0) * np.ones((3, 1, 1), np.float32)
    return Patch(centre[0] - reach, centre[1] - reach, xx, yy, depth, density)


def test_a_mostly_hidden_cell_is_one_with_the_other():
    canvas = Canvas((100, 200))
    canvas.add_cell(_disc((50, 50), 20))
    canvas.add_cell(_disc((50, 54), 19))  # nearly on top
    canvas.add_cell(_disc((50, 85), 20))  # overlaps the second a little
    label = canvas.labelled(np.random.default_rng(0), 1.0, 0.5, 1, 0)
    assert len(np.unique(label)) == 3
    assert label[50, 40] == label[50, 68] != label[50, 90]


def test_overlapping_cells_meet_in_the_middle_and_darken_each_other():
    canvas = Canvas((100, 200))
    canvas.add_cell(_disc((50, 60), 20))
    canvas.add_cell(_disc((50, 90), 20))
    assert canvas.label[50, 74] == 1
    assert canvas.label[50, 76] == 2
    assert canvas.density[0, 50, 75] == 2


def test_a_sliver_at_the_border_is_drawn_but_not_labelled():
    canvas = Canvas((100, 200))
    canvas.add_cell(_disc((-15, 100), 20))
    assert canvas.density.any()
    assert not canvas.label.any()


def test_half_a_cell_at_the_border_counts_and_less_does_not():
    for row in range(-12, 13):
        canvas, disc = Canvas((100, 200)), _disc((row, 100), 20)
        canvas.add_cell(disc)
        inside = (disc.depth[max(-disc.y, 0) :] > 0).sum() / (disc.depth > 0).sum()
        assert canvas.label.any() == (inside >= VISIBLE)


def test_the_upper_cell_is_whole():
    canvas, upper = Canvas((100, 200)), _disc((50, 90), 20)
    canvas.add_cell(_disc((50, 60), 20))
    canvas.add_cell(upper, 'over')
    assert (canvas.label == 2).sum() == (upper.depth > 0).sum()


def test_pressed_cells_part_where_they_are_equally_deep_and_darken_nothing():
    canvas = Canvas((100, 200))
    for column in (60, 90):
        canvas.add_cell(replace(_disc((50, column), 20), gap=(1.5, 0.8)), 'press')
    assert (canvas.label[50, 72:75] == 1).all()
    assert (canvas.label[50, 76:79] == 2).all()
    assert canvas.density.max() == 1
    assert canvas.density[0, 50, 75] < 0.5  # the line
    assert canvas.density[0, 50, 65] == canvas.density[0, 50, 85] == 1


def test_an_opaque_cell_hides_what_is_below():
    canvas, upper = Canvas((100, 200)), _disc((50, 90), 20)
    canvas.add_cell(_disc((50, 60), 20))
    canvas.add_cell(replace(upper, hides=np.float32(upper.depth > 0)), 'over')
    assert canvas.density.max() == 1


@pytest.mark.parametrize('line', [1, 2, 3])
def test_a_line_of_the_given_width_parts_neighbours(line):
    canvas = Canvas((100, 200))
    canvas.add_cell(_disc((50, 60), 20))
    canvas.add_cell(_disc((50, 90), 20))
    label = canvas.labelled(np.random.default_rng(0), 0.0, 0.5, line, 0)
    row = label[50]
    gap = np.flatnonzero(row == 2)[0] - np.flatnonzero(row == 1)[-1] - 1
    assert gap in (2 * line, 2 * line + 1)


def test_small_pieces_are_dropped_and_numbers_have_no_gap():
    canvas = Canvas((100, 200))
    for centre, radius in (((20, 20), 15), ((20, 60), 5), ((60, 120), 20)):
        canvas.add_cell(_disc(centre, radius))
    label = canvas.labelled(np.random.default_rng(0), 0.0, 0.5, 1, 300)
    assert np.bincount(label.ravel())[1:].min() >= 300
    assert label.max() == 2


@pytest.mark.parametrize('centre', [(-60, 100), (160, 100), (50, -60), (50, 260)])
def test_what_lies_beside_the_canvas_changes_nothing(centre):
    canvas = Canvas((100, 200))
    canvas.add_cell(_disc(centre, 20))
    canvas.add(_disc(centre, 20))
    assert not canvas.density.any()
    assert not canvas.label.any()
