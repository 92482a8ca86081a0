import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index
from torchmetrics.segmentation import DiceScore

from cellkit.metrics.pixel import dice, iou, pixel_counts, pixel_values
from cellkit.overlaps import intersection_table

seeds = st.integers(0, 2**32 - 1)


def mask_counts(true, pred):
    """Pixels in both masks, in the true and in the predicted one."""
    return np.array([np.count_nonzero(mask) for mask in (true & pred, true, pred)])


def random_masks(seed, number=1, size=(9, 11)):
    rng = np.random.default_rng(seed)
    density = rng.random((2, number, 1, 1))
    return rng.random((2, number, *size)) < density


@given(seeds)
def test_one_image_agrees_with_torchmetrics(seed):
    true, pred = random_masks(seed)[:, 0]
    assume(true.any() and pred.any())
    counts = mask_counts(true, pred)
    tensors = torch.from_numpy(pred), torch.from_numpy(true)
    assert dice(counts) == pytest.approx(float(binary_f1_score(*tensors)), abs=1e-6)
    assert iou(counts) == pytest.approx(float(binary_jaccard_index(*tensors)), abs=1e-6)


@pytest.mark.parametrize(('key', 'level'), [('dice', 'samplewise'), ('dice_pooled', 'global')])
def test_both_averages_agree_with_torchmetrics(key, level):
    true, pred = random_masks(7, number=12)
    counts = np.array([mask_counts(*pair) for pair in zip(true, pred, strict=True)])
    peer = DiceScore(2, include_background=False, aggregation_level=level, input_format='index')
    peer.update(torch.from_numpy(pred).long(), torch.from_numpy(true).long())
    assert pixel_values(counts)[key] == pytest.approx(float(peer.compute()), abs=1e-6)


@given(seeds)
def test_wrong_predictions_never_score_one(seed):
    true, pred = random_masks(seed)[:, 0]
    counts = mask_counts(true, pred)
    same = bool((true == pred).all())
    assert (dice(counts) == 1) == same
    assert (iou(counts) == 1) == same
    figures = pixel_values(np.stack([counts, mask_counts(true, true)]))
    assert all((value == 1) == same for value in figures.values())
    if true.any():
        assert dice(mask_counts(true, ~true)) == 0


def test_empty_cases_are_as_documented():
    empty, full = np.zeros((4, 5), bool), np.ones((4, 5), bool)
    assert dice(mask_counts(empty, empty)) == iou(mask_counts(empty, empty)) == 1
    for pair in ((empty, full), (full, empty)):
        assert dice(mask_counts(*pair)) == iou(mask_counts(*pair)) == 0
    assert np.isnan(list(pixel_values(np.zeros((0, 3))).values())).all()


@given(seeds, st.integers(0, 5), st.integers(0, 6))
def test_one_table_serves_all_score_thresholds(seed, num_true, num_pred):
    rng = np.random.default_rng(seed)
    true_map = rng.integers(0, num_true + 1, (8, 9))
    pred_map = rng.integers(0, num_pred + 1, (8, 9))
    scores = rng.integers(0, 5, num_pred) / 4
    thresholds = [0.0, 0.25, 0.6, 1.0, 1.1]
    table = intersection_table(true_map, pred_map, num_true, num_pred)
    for threshold, counts in zip(thresholds, pixel_counts(table, scores, thresholds), strict=True):
        union = np.isin(pred_map, 1 + np.flatnonzero(scores >= threshold))
        np.testing.assert_array_equal(counts, mask_counts(true_map > 0, union))


def test_mean_and_pooled_by_hand():
    # 10 of 10 and 20 pixels; 90 of 180 and 90 pixels
    figures = pixel_values(np.array([[10, 10, 20], [90, 180, 90]]))
    assert figures['dice'] == pytest.approx((20 / 30 + 180 / 270) / 2)
    assert figures['dice_pooled'] == pytest.approx(200 / 300)
    assert figures['iou'] == pytest.approx((10 / 20 + 90 / 180) / 2)
    assert figures['iou_pooled'] == pytest.approx(100 / 200)
