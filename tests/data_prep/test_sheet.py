"""Pictures in rows on one page."""

from __future__ import annotations

import cv2
import numpy as np

from data_prep.sheet import Tile, draw_sheet

RED, BLUE = np.full((30, 40, 3), (200, 0, 0), np.uint8), np.full((60, 80, 3), (0, 0, 200), np.uint8)


def test_tiles_stand_in_rows_with_words_below_and_free_places_between() -> None:
    words = Tile(RED, 'first line\nsecond line', (0, 120, 0))
    png = draw_sheet('Title', [[words, None, Tile(BLUE, '')], [Tile(BLUE, 'alone')]])
    page = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), 4)
    height, width = page.shape[:2]
    assert width > 3 * 400
    assert height > 2 * 300
    red, blue = ((page == colour).all(axis=2) for colour in ((200, 0, 0), (0, 0, 200)))
    assert red.sum() == 400 * 300
    assert blue.sum() == 2 * 400 * 300
    rows, columns = np.nonzero(blue)
    assert blue[:, : width // 3].any()  # below the red one
    assert (
        not page[rows.min() : rows.min() + 300, width // 3 + 20 : 2 * width // 3 - 20].min() < 255
    )
    assert columns.max() > 2 * width // 3
    below = page[rows.min() + 300 :, :400]
    green = (below[..., 1].astype(int) - below[..., 0] > 60) & (below[..., 2] < 90)
    assert green.any()
