"""Pictures of the best and worst images: which ones, and what is tinted."""

from pathlib import Path

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tools.report import report
from tools.report.figures import OUTCOME_COLOURS
from tools.report.pictures import best_and_worst


def test_pictures_tint_what_is_wrong(run: Path) -> None:
    report(run)
    # The 1st image: as good as the 3rd, after the 2nd, which has no error.
    picture = cv2.imread(str(run / 'report' / 'image_best_2.jpg')).astype(int)
    ground = np.full(3, 200)  # JPEG bleeds the colour of the outlines into it
    assert np.abs(picture[15, 15] - ground).max() < 30  # found
    assert np.abs(picture[40, 40] - ground).max() < 30  # background
    for name, (x, y) in {
        "merged": (45, 15), "split": (90, 15), "missed": (15, 60), "spurious": (70, 60),
    }.items():  # fmt: skip
        colour = OUTCOME_COLOURS[name]
        tint = (ground + [int(colour[k : k + 2], 16) for k in (5, 3, 1)]) / 2
        assert np.abs(picture[y, x] - tint).max() < 30, name


def test_captions_count_the_errors(run: Path, read_page) -> None:
    words = read_page(report(run).page).words
    assert '1.png: 5 cells, 5 counted; panoptic quality' in words
    assert '1 split, 2 merged, 1 missed, 2 extra pieces, 1 spurious' in words
    assert 'Dice 1.000; no error' in words


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=9))
def test_best_and_worst_are_different_images_in_order(values: list[float | None]) -> None:
    images = [{'file_name': f'{k:02d}', 'pq': value} for k, value in enumerate(values)]
    chosen = best_and_worst(images)
    assert len({row['file_name'] for row, _ in chosen}) == len(chosen) == min(len(images), 6)
    best = [row['pq'] or 0 for row, is_best in chosen if is_best]
    worst = [row['pq'] or 0 for row, is_best in chosen if not is_best]
    assert best == sorted(best, reverse=True)
    assert worst == sorted(worst)
    assert max(row['pq'] or 0 for row in images) == best[0]
    assert not worst or min(row['pq'] or 0 for row in images) == worst[0]
