"""What is written of a picture; test_formats.py reads the files back."""

import numpy as np
import pytest

from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.count_interval import CountModel
from tools.predict.detector import Segmentation
from tools.predict.outcome import outcome_of


def test_values_belong_to_their_cells() -> None:
    label_map = np.zeros((40, 50), np.int32)
    label_map[10:20, 10:15], label_map[30:40, 20:26] = 1, 2
    found = Segmentation(label_map, np.array([0.9, 0.7]), 1.0, False)
    outcome = outcome_of('a.png', np.zeros((40, 50, 3), np.uint8), found)
    assert outcome.values == {
        'cells': 2, 'cells_low': None, 'cells_high': None, 'touching_border': 1, 'mean_area': 50.0,
        'median_area': 50.0, 'foreground_fraction': 110 / 2000, 'width': 50, 'height': 40,
        'scale': 1.0, 'scale_from': 'as it is',
    }  # fmt: skip
    assert [(cell['label'], cell['area'], cell['score']) for cell in outcome.cells] == [
        (1, 50, 0.9),
        (2, 60, 0.7),
    ]
    assert len(outcome.rles) == 2
    assert list(outcome.files) == ['overlay', 'labels']
    assert outcome.evidence is None


def test_what_is_doubtful_counts_in_the_interval_and_is_no_cell() -> None:
    label_map = np.zeros((40, 50), np.int32)
    label_map[10:20, 10:15] = 1
    found = Segmentation(label_map, np.array([0.9]), 1.0, False, doubtful=np.array([0.4]))
    calibration = Calibration(1.0, CountModel(1.0, 1.0, 0.0, 20), 20, 900)
    outcome = outcome_of('a.png', np.zeros((40, 50, 3), np.uint8), found, calibration=calibration)
    assert outcome.evidence == pytest.approx((0.9 + 0.4, 0.9 * 0.1 + 0.4 * 0.6))
    assert (outcome.values['cells_low'], outcome.values['cells_high']) == (0, 3)
    assert [cell['probability'] for cell in outcome.cells] == pytest.approx([0.9])
