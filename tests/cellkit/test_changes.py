"""What was changed is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from cellkit.changes import Changes, changes
from tests.cellkit.files.formats.label_maps import filled, label_maps


def test_each_kind_of_change() -> None:
    before, after = np.zeros((20, 60), int), np.zeros((20, 60), int)
    before[2:10, 2:10], after[2:10, 2:10] = 1, 3  # another number is no change
    before[2:10, 12:20], after[2:10, 12:22] = 2, 1
    before[2:10, 30:40] = 3
    after[12:18, 2:10] = 2
    before[12:18, 30:36], after[12:18, 34:40] = 4, 4  # moved too far to be the same one
    assert changes(before, after) == Changes(kept=1, reshaped=1, added=2, deleted=2)


def test_nothing_on_one_side() -> None:
    empty, one = np.zeros((5, 5), int), np.ones((5, 5), int)
    assert changes(empty, one) == Changes(0, 0, 1, 0)
    assert changes(one, empty) == Changes(0, 0, 0, 1)
    assert changes(empty, empty) == Changes(0, 0, 0, 0)
    with pytest.raises(ValueError, match='compared'):
        changes(empty, np.zeros((4, 5), int))


@settings(max_examples=60, deadline=None)
@given(label_maps)
def test_a_map_is_itself(label_map) -> None:
    whole = filled(label_map)
    assert changes(whole, whole) == Changes(int(whole.max()), 0, 0, 0)
