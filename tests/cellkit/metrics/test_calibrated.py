import json

import numpy as np
import pytest

from cellkit.metrics.calibrated import (
    LEAST_CELLS,
    LEAST_IMAGES,
    LEAST_SCORE,
    Calibration,
    Image,
    check_calibration,
    fit_calibration,
    image_of,
    left_out,
)
from cellkit.metrics.calibration import reliability
from cellkit.metrics.records import Detections, measure_image
from cellkit.metrics.truth import TrueImage
from cellkit.rle import encode_label_map


def images(number: int, seed: int = 0, cells: int = 60) -> list[Image]:
    """Images of a detector whose scores are too sure, with a few missed cells."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        p = rng.beta(5, 1, cells)
        hits = rng.random(cells) < p
        scores = p**2 / (p**2 + (1 - p) ** 2)  # a temperature of 2
        found.append(Image(scores, hits, int(hits.sum() + rng.poisson(2))))
    return found


def test_a_record_s_hits_are_its_pairs():
    true, found = np.zeros((40, 60), np.int32), np.zeros((40, 60), np.int32)
    true[5:15, 5:15], true[5:15, 30:40] = 1, 2
    found[5:15, 5:14], found[5:15, 36:50], found[25:35, 5:15] = 1, 2, 3
    rles = encode_label_map(true)
    truth = TrueImage('a.png', true.shape, rles, np.zeros((2, 4)), np.full(2, 100.0))
    scores = np.array([0.9, 0.8, 0.3])
    record = measure_image(1, truth, Detections(encode_label_map(found), scores, np.zeros((3, 4))))
    image = image_of(record)
    assert image.hits.tolist() == [True, False, False]
    assert image.scores.tolist() == [0.9, 0.8, 0.3]
    assert image.true == 2


def test_the_temperature_is_found_and_makes_the_probability_true():
    calibration = fit_calibration(images(30))
    assert calibration.temperature == pytest.approx(2, abs=0.25)
    assert calibration.counts.factor == pytest.approx(1.04, abs=0.02)
    others = images(30, seed=1)
    checked = check_calibration(others, [calibration] * 30, 0.5)
    assert checked['ece'] < 0.03 < checked['ece_score']
    assert checked['mean'] == pytest.approx(checked['share'], abs=0.02)
    assert 27 <= checked['covered'] <= 30
    bins = checked['bins']['probability']
    kept = [i.scores >= 0.5 for i in others]
    hits = np.concatenate([i.hits[k] for i, k in zip(others, kept, strict=True)])
    assert np.dot(bins['share'], bins['number']) == pytest.approx(hits.sum())
    p = np.concatenate(
        [calibration.probabilities(i.scores[k]) for i, k in zip(others, kept, strict=True)]
    )
    assert checked['ece'] == reliability(p, hits).error


def test_scores_below_the_least_neither_fit_nor_count():
    few = images(8)
    more = [
        Image(np.append(i.scores, LEAST_SCORE - 0.01), np.append(i.hits, False), i.true)
        for i in few
    ]
    calibration = fit_calibration(few)
    assert fit_calibration(more) == calibration
    assert calibration.evidence(more[0].scores) == calibration.evidence(few[0].scores)


def test_each_image_left_out_is_judged_by_the_others():
    found = images(8)
    calibrations = left_out(found)
    assert calibrations[3] == fit_calibration(found[:3] + found[4:])
    assert left_out(found[:5]) is None


def test_too_little_to_go_by_gives_nothing():
    assert fit_calibration([]) is None
    assert fit_calibration(images(8, cells=LEAST_CELLS // 10)) is None
    assert fit_calibration(images(LEAST_IMAGES - 1)) is None


def test_nothing_found_is_no_error():
    calibration = fit_calibration(images(8))
    nothing = Image(np.zeros(0), np.zeros(0, bool), 0)
    checked = check_calibration([nothing], [calibration], 0.5)
    assert (checked['cells'], checked['covered'], checked['intervals']) == (0, 1, [(0, 0)])
    assert np.isnan(checked['ece'])


def test_it_survives_json():
    calibration = fit_calibration(images(8))
    text = json.dumps(calibration.as_dict())
    assert Calibration.from_dict(json.loads(text)) == calibration
