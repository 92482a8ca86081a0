"""Label maps with everything that an outline can be: holes, corners that touch, pieces, pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellkit.drawn import cells_of

label_maps = arrays(
    np.int32, st.tuples(st.integers(2, 10), st.integers(2, 10)), elements=st.integers(0, 4)
).filter(
    lambda label_map: max(np.bincount(label_map.ravel())[1:], default=0) < 0.9 * label_map.size
)
"""Of 0 to 4 cells, some of which may lack; none fills nearly all of the picture."""


def filled(label_map: np.ndarray) -> np.ndarray:
    """The map with labels 1..N without gaps, as a reader numbers them."""
    labels = np.unique(label_map)
    return np.searchsorted(labels[labels > 0], label_map, side='left') + (label_map > 0)


def map_of(drawings, size: tuple[int, int]) -> np.ndarray:
    """The label map that the drawings give, of which none may be left out."""
    cells = cells_of(drawings, size)
    assert not cells.left_out
    return cells.label_map


EXAMPLE = np.array(
    [
        [1, 1, 1, 0, 2, 0, 0, 0],
        [1, 0, 1, 0, 0, 2, 0, 4],
        [1, 1, 1, 0, 2, 0, 0, 4],
        [0, 0, 0, 3, 0, 0, 4, 4],
    ]
)
"""A hole, three pieces that touch at corners, one pixel, and a plain cell."""
