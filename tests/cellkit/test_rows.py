"""Row by row the cells are those of all tiles at once."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.overlaps import keep_labels
from cellkit.rows import cells_by_rows, cells_of
from cellkit.tiles import Piece, Window, tile_windows

THRESHOLD = 0.4


def blob(rng: np.random.Generator, window: Window, margin: int) -> Piece | None:
    """A disc that the tile shows in part, at random."""
    y, x = np.mgrid[window.y1 : window.y2, window.x1 : window.x2]
    at_x, at_y = rng.uniform(window.x1, window.x2), rng.uniform(window.y1, window.y2)
    inside = np.hypot(x - at_x, y - at_y) <= rng.uniform(2, 18)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    mask = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    x1, y1 = window.x1 + int(columns[0]), window.y1 + int(rows[0])
    cut = bool(rng.random() < 0.4)
    score = float(rng.choice([0.1, 0.3, 0.5, 0.7, 0.9])) + rng.random() / 20
    return Piece(mask, x1, y1, score, window, cut)


def as_sets(label_map: np.ndarray, scores: np.ndarray) -> set:
    """The cells whatever their order."""
    found = [np.flatnonzero(label_map.ravel() == k + 1) for k in range(len(scores))]
    return {(score, cell.tobytes()) for score, cell in zip(scores, found, strict=True)}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 25))
def test_as_all_at_once(seed: int, many: int) -> None:
    """Pieces of one tile overlap here too, which a detector's don't."""
    rng, size = np.random.default_rng(seed), (120, 150)
    windows = tile_windows(size, (50, 60), 20)
    pieces = [blob(rng, window, 2) for window in windows for _ in range(rng.integers(0, many))]
    pieces = [piece for piece in pieces if piece and not hidden_in_its_tile(piece, pieces)]
    label_map, scores = cells_of(pieces, size, THRESHOLD)
    sure = scores >= THRESHOLD
    expected = as_sets(keep_labels(label_map, sure)[0], scores[sure])
    found, total = np.zeros(size, np.int32), []
    doubtful: list[float] = []
    for group in cells_by_rows(rows_of(pieces, windows, size[0]), THRESHOLD):
        height, width = group.label_map.shape
        part = found[group.y : group.y + height, group.x : group.x + width]
        here = group.label_map > 0
        assert not part[here].any()
        part[here] = group.label_map[here] + len(total)
        total += group.scores.tolist()
        doubtful += group.doubtful.tolist()
    assert as_sets(found, np.array(total)) == expected
    assert sorted(doubtful) == sorted(scores[~sure].tolist())


def hidden_in_its_tile(piece: Piece, others: list[Piece | None]) -> bool:
    """Whether an earlier piece of the tile shares a pixel: a tile's label map has no overlaps."""
    for other in others:
        if other is piece:
            return False
        if other and other.window == piece.window:
            a, b = painted(piece), painted(other)
            if (a & b).any():
                return True
    return False


def painted(piece: Piece) -> np.ndarray:
    found = np.zeros((120, 150), bool)
    height, width = piece.mask.shape
    found[piece.y : piece.y + height, piece.x : piece.x + width] = piece.mask
    return found


def rows_of(pieces: list[Piece], windows: list[Window], height: int) -> list:
    starts = sorted({window.y1 for window in windows})
    ends = [*starts[1:], height]
    return [
        ([piece for piece in pieces if piece.window.y1 == start], end)
        for start, end in zip(starts, ends, strict=True)
    ]


def test_what_is_settled_is_given_before_the_next_row_is_asked_for() -> None:
    """So the memory holds a row or two."""
    asked = []

    def rows():
        for k in range(5):
            asked.append(k)
            window = Window(0, 10 * k, 20, 10 * k + 14)
            disc = Piece(np.ones((3, 3), bool), 4, 10 * k + 5, 0.9, window, False)
            yield [disc], 10 * k + 10

    groups = cells_by_rows(rows(), THRESHOLD)
    assert [(next(groups).y, len(asked)) for _ in range(5)] == [
        (10 * k + 5, k + 1) for k in range(5)
    ]


def test_nothing() -> None:
    assert list(cells_by_rows([([], 10), ([], 20)], THRESHOLD)) == []


@pytest.mark.parametrize('gap', [0, 1])
def test_a_cell_across_three_rows_is_one(gap: int) -> None:
    windows = [Window(0, 20 * k, 20, 20 * k + 30) for k in range(3)]
    rows = []
    for window, after in zip(windows, (20, 40, 70), strict=True):
        x = 5 if gap == 0 or window.y1 != 20 else 12
        rows.append(([Piece(np.ones((30, 6), bool), x, window.y1, 0.8, window, True)], after))
    assert len(list(cells_by_rows(rows, THRESHOLD))) == (1 if gap == 0 else 3)
    assert list(itertools.chain(*[g.scores for g in cells_by_rows(rows, THRESHOLD)])) == [0.8] * (
        1 if gap == 0 else 3
    )
