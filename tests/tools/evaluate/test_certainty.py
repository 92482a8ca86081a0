"""What an evaluation says of how sure the model is."""

from types import SimpleNamespace

import numpy as np
import pytest

from cellkit.metrics.calibrated import fit_calibration, image_of
from tools.evaluate.certainty import certainty, certainty_lines, interval_columns


def records(number: int, seed: int, cells: int = 40) -> list:
    """As much of a record as is looked at: cells of 10 pixels, found exactly or not at all."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        p = rng.beta(5, 1, cells)
        hits = np.flatnonzero(rng.random(cells) < p)
        table = np.zeros((len(hits) + 2, cells + 1), np.int64)  # the last true cell is missed
        table[0, 1:], table[-1, 0] = 10, 10
        table[0, hits + 1], table[np.arange(len(hits)) + 1, hits + 1] = 0, 10
        scores = p**2 / (p**2 + (1 - p) ** 2)
        found.append(SimpleNamespace(scores=scores, table=table, true=len(hits) + 1))
    return found


def test_fitted_on_validation_and_checked_on_the_part():
    validation, test = records(12, 0), records(6, 1)
    found = certainty(test, validation, 0.5)
    fitted = fit_calibration([image_of(record) for record in validation])
    assert found['fitted'] == fitted.as_dict()
    assert found['source'] == 'fitted on 12 validation images'
    assert found['part']['ece'] < found['part']['ece_score']
    assert len(found['validation']['intervals']) == 12
    assert found['total']['true'] == sum(record.true for record in test)
    low, high = found['total']['interval']
    assert low <= found['total']['true'] <= high
    rows = interval_columns(found, 6)
    assert [tuple(row.values()) for row in rows] == found['part']['intervals']
    text = '\n'.join(certainty_lines(found, 'test'))
    assert '| | validation, each image by the others | test |' in text
    assert f'| {found["validation"]["covered"]} of 12 | {found["part"]["covered"]} of 6 |' in text
    assert f'95 % interval {low} to {high}' in text


def test_validation_itself_is_judged_by_what_was_fitted_on_other_images():
    validation = records(12, 0)
    found = certainty(validation, validation, 0.5)
    assert found['part'] is found['validation']
    assert found['total'] is None
    assert '\n| | validation, each image by the others |\n' in '\n'.join(
        certainty_lines(found, 'val')
    )


@pytest.mark.parametrize(
    ('validation', 'said'),
    [(records(4, 0), '4 validation images are too few'), (None, 'nothing was fitted')],
)
def test_nothing_is_made_up(validation, said):
    found = certainty(records(6, 1), validation, 0.5)
    assert found['fitted'] is found['part'] is found['total'] is None
    assert said in certainty_lines(found, 'test')[-1]
    assert interval_columns(found, 6) == [{'cells_low': None, 'cells_high': None}] * 6


def test_a_stored_calibration_is_used_where_nothing_is_chosen():
    stored = fit_calibration([image_of(record) for record in records(12, 0)])
    found = certainty(records(6, 1), None, 0.5, stored)
    assert found['fitted'] == stored.as_dict()
    assert found['source'] == 'as it was stored with the model'
    assert found['validation'] is None
    assert len(found['part']['intervals']) == 6
