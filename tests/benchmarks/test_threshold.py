"""The comparison of ways to choose a threshold: its books, and what it says of a flat curve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.threshold import (
    NEW,
    OLD,
    SIMULATED,
    THRESHOLDS,
    WAYS,
    Counts,
    compare,
    middle,
    read_counts,
    run,
    simulate,
)
from cellkit.errors import UserError
from cellkit.rle import encode_label_map

BOTH = {way: WAYS[way] for way in (OLD, NEW)}


def counts(true: list[int], errors: dict[float, list[int]], elsewhere: int = 9) -> Counts:
    """Images that err by so many cells at some thresholds, and by ``elsewhere`` at the others."""
    true = np.array(true)
    found = np.tile(true[:, None] + elsewhere, len(THRESHOLDS))
    for threshold, more in errors.items():
        found[:, threshold == THRESHOLDS] = (true + more)[:, None]
    pixels = np.stack([np.minimum(found, true[:, None]), found * 0 + true[:, None], found], -1)
    return Counts(true, found, pixels)


@pytest.mark.parametrize('seed', [0, 1])
def test_on_a_flat_curve_the_choice_errs_less_and_moves_less(seed: int) -> None:
    images = simulate(SIMULATED['simulated, flat'], 60, seed)
    total = images.errors.sum(0) / images.true.sum()
    assert np.ptp(total[(THRESHOLDS >= 0.02) & (THRESHOLDS <= 0.3)]) < 0.01  # flat it is
    for number in (4, 7):
        found = compare(images, number, 150, BOTH)
        assert found.error(NEW) <= found.error(OLD)
        assert found.spread(NEW) < 0.9 * found.spread(OLD)


def test_every_image_is_judged_where_nothing_was_chosen_on_it() -> None:
    images = counts([10, 20, 30], {0.5: [1, -2, 3], 0.6: [0, 0, 0]})
    found = compare(images, 1, 40, {'half': lambda _: 0.5, 'best': lambda _: 0.6, OLD: BOTH[OLD]})
    assert found.cells.sum() <= 40 * (20 + 30)
    assert (found.cells / images.true).sum() == 40 * 2  # two held out in each split
    np.testing.assert_array_equal(found.errors['half'], found.cells / images.true * [1, 2, 3])
    assert found.error('best') == found.error(OLD) == found.spread(OLD) == 0
    more, low, high = found.difference('half', 'best')
    assert more == pytest.approx(found.error('half'))
    assert low <= more <= high  # each image errs by a tenth
    assert high == pytest.approx(0.1)


def test_the_middle_is_that_of_thresholds_within_a_standard_error() -> None:
    images = counts([10, 10], {0.5: [2, 0], 0.6: [2, 0], 0.8: [2, 2], 0.9: [3, 2]})
    assert WAYS[OLD](images) == 0.6  # 0.5 and 0.6 are alike
    assert middle(images) == 0.6  # of 0.5 ... 0.8, which has two cells more, one standard error
    # From 0.6 the first image differs by no cell, the second by 2: as much as its standard error.
    assert middle(images, paired=True) == 0.6
    alike = counts([10, 10], {0.5: [1, 1], 0.9: [2, 2]})  # differences without a standard error
    assert middle(alike) == middle(alike, paired=True) == 0.5


def test_parts_but_test_are_read(tmp_path: Path) -> None:
    label_map = np.zeros((40, 60), np.int32)
    label_map[5:15, 5:15], label_map[5:15, 30:40] = 1, 2
    rles, cell = encode_label_map(label_map), {'image_id': 1, 'category_id': 1}
    boxes = [[5, 5, 10, 10], [30, 5, 10, 10]]
    pairs = [
        cell | {'segmentation': r, 'bbox': b, 'area': 100} for r, b in zip(rles, boxes, strict=True)
    ]
    truth = {
        'images': [{'id': 1, 'file_name': 'a.png', 'height': 40, 'width': 60}],
        'annotations': [item | {'id': k, 'iscrowd': 0} for k, item in enumerate(pairs, 1)],
        'categories': [{'id': 1, 'name': 'cell'}],
    }
    annotations = tmp_path / 'truth.json'
    annotations.write_text(json.dumps(truth))
    folder = tmp_path / 'some_run' / 'predictions' / 'iter_1'
    folder.mkdir(parents=True)
    for part in ('test', 'val'):
        with pytest.raises(UserError, match='has no predictions of val or train'):
            read_counts(tmp_path / 'some_run')
        scored = [item | {'score': score} for item, score in zip(pairs, (0.3, 0.8), strict=True)]
        (folder / f'{part}.json').write_text(json.dumps(scored))
        about = {'image_ids': [1], 'annotations': str(annotations), 'part': part}
        (folder / f'{part}.about.json').write_text(json.dumps(about))
    ((name, images),) = read_counts(tmp_path / 'some_run').items()
    assert name == '`some_run`, val'
    assert images.true.tolist() == [2]
    at = np.searchsorted(THRESHOLDS, (0.3, 0.31, 0.8, 0.81))
    assert images.found[0, at].tolist() == [2, 1, 1, 0]
    assert images.pixels[0, at].tolist() == [[200, 200, 200], *[[100, 200, 100]] * 2, [0, 200, 0]]


def test_the_table_has_a_row_for_each_set_and_number() -> None:
    rows = run(splits=2).splitlines()[2:]
    assert [row.split(' | ')[1] for row in rows[2:]] == ['4', '7', '14'] * len(SIMULATED)
    assert len(rows[0].split('|')) == len(rows[-1].split('|')) == 3 + len(WAYS) + 2
    with pytest.raises(UserError, match='splits: 0 is below 1'):
        run(splits=0)
