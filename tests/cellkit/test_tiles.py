"""Tiles cover an image, and what they show of each cell comes together again."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.instances import label_instances
from cellkit.tiles import Piece, Window, merge_pieces, pieces_of, tile_windows

sides = st.tuples(st.integers(1, 300), st.integers(1, 300))


@settings(max_examples=200, deadline=None)
@given(sides, st.tuples(st.integers(8, 120), st.integers(8, 120)), st.floats(0, 0.9))
def test_windows_cover_with_overlap(size: tuple, tile: tuple, share: float) -> None:
    overlap = int(share * min(tile))
    windows = tile_windows(size, tile, overlap)
    covered = np.zeros(size, int)
    for x1, y1, x2, y2 in windows:
        assert (y2 - y1, x2 - x1) == (min(size[0], tile[0]), min(size[1], tile[1]))
        covered[y1:y2, x1:x2] += 1
    assert covered.shape == size
    assert covered.min() >= 1
    for low, high in ((0, 2), (1, 3)):
        spans = sorted({(window[low], window[high]) for window in windows})
        assert all(a[1] - b[0] >= overlap for a, b in itertools.pairwise(spans))


@pytest.mark.parametrize('wrong', [((0, 5), (8, 8), 2), ((9, 9), (8, 8), 8), ((9, 9), (8, 8), -1)])
def test_windows_refuse(wrong: tuple) -> None:
    with pytest.raises(ValueError, match='overlap'):
        tile_windows(*wrong)


def scene(rng: np.random.Generator, size: tuple[int, int], largest: int) -> np.ndarray:
    """Label map of discs that don't touch, radius up to ``largest`` pixels."""
    label_map, count = np.zeros(size, np.int32), 0
    y, x = np.mgrid[: size[0], : size[1]]
    for _ in range(40):
        radius = rng.integers(3, largest + 1)
        distance = np.hypot(x - rng.integers(size[1]), y - rng.integers(size[0]))
        if not label_map[distance <= radius + 2].any():
            count += 1
            label_map[distance <= radius] = count
    return label_map


def find_in_tiles(
    truth: np.ndarray, tile: tuple[int, int], overlap: int, rng: np.random.Generator
) -> tuple[list[Piece], list[Piece]]:
    """All pieces that a perfect detector sees in the tiles, and the cells made of them."""
    pieces = []
    for window in tile_windows(truth.shape, tile, overlap):
        part = truth[window.y1 : window.y2, window.x1 : window.x2]
        found, _ = label_instances(part > 0, min_area=1)
        scores = rng.random(found.max())
        pieces += pieces_of(found, scores, window, truth.shape, margin=2)
    return pieces, merge_pieces([pieces[k] for k in rng.permutation(len(pieces))])


def painted(cells: list[Piece], size: tuple[int, int]) -> np.ndarray:
    label_map = np.zeros(size, np.int32)
    for k, cell in enumerate(cells, start=1):
        box = cell.box
        view = label_map[box.y1 : box.y2, box.x1 : box.x2]
        assert not view[cell.mask].any(), 'a pixel came twice'
        view[cell.mask] = k
    return label_map


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 45), st.integers(6, 20))
def test_perfect_pieces_give_the_scene(seed: int, largest: int, overlap: int) -> None:
    """Also of cells larger than the overlap, and than a tile."""
    rng = np.random.default_rng(seed)
    truth = scene(rng, (int(rng.integers(60, 160)), int(rng.integers(60, 160))), largest)
    _, cells = find_in_tiles(truth, (48, 56), overlap, rng)
    result = painted(cells, truth.shape)
    assert len(cells) == truth.max()
    pairs = np.unique(np.stack([truth.ravel(), result.ravel()]), axis=1)
    assert pairs.shape[1] == 1 + truth.max()  # one to one, background to background
    assert ((pairs[0] == 0) == (pairs[1] == 0)).all()


def test_outlines_that_differ_a_little_are_one_cell() -> None:
    rng = np.random.default_rng(3)
    truth = scene(rng, (150, 170), 9)
    pieces, _ = find_in_tiles(truth, (64, 64), 24, rng)
    ragged = []
    for piece in pieces:
        mask = piece.mask.copy()
        mask[rng.integers(0, mask.shape[0]), :] = False
        if mask.any():
            ragged.append(piece._replace(mask=mask))
    assert len(merge_pieces(ragged)) == truth.max()


def test_two_of_one_tile_stay_two() -> None:
    window = Window(0, 0, 50, 50)
    mask = np.ones((10, 10), bool)
    pieces = [Piece(mask, 5, 5, 0.9, window, False), Piece(mask, 5, 6, 0.8, window, False)]
    assert len(merge_pieces(pieces)) == 2


def test_a_whole_outline_beats_a_better_scored_cut_one() -> None:
    whole = Piece(np.ones((10, 20), bool), 30, 5, 0.6, Window(20, 0, 70, 50), False)
    cut = Piece(np.ones((10, 12), bool), 30, 5, 0.99, Window(0, 0, 42, 50), True)
    assert merge_pieces([cut, whole]) == [whole]


def test_no_pieces() -> None:
    assert merge_pieces([]) == []
