"""The whole lane on known predictions, value by value as computed by hand."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.metrics.aggregated_jaccard import aji_terms
from cellkit.metrics.boundary import boundary_terms
from cellkit.metrics.error_analysis import explain
from cellkit.metrics.instances import CELL_IOU_THRESHOLDS, match_counts
from cellkit.metrics.records import (
    VALUES,
    Detections,
    choose_threshold,
    intervals,
    measure_image,
    values,
)
from cellkit.metrics.truth import TrueImage
from cellkit.overlaps import intersection_table, keep_labels
from cellkit.rle import encode_label_map
from cellkit.visible import visible_cells

SIZE = (70, 120)
LEFT = (10, 30, 60, 90)  # four squares of 20 px, the first two touch


def squares(lefts=LEFT, width=20):
    label_map = np.zeros(SIZE, np.int32)
    for k, left in enumerate(lefts, start=1):
        label_map[20:40, left : left + width] = k
    return label_map


def boxes(lefts=LEFT, width=20):
    return [[left, 20, width, 20] for left in lefts]


def results(label_map, box_list, scores):
    return Detections(
        encode_label_map(label_map), np.array(scores, float), np.array(box_list, float)
    )


def true_image():
    label_map = squares()
    rles = encode_label_map(label_map)
    return TrueImage('a.png', SIZE, rles, np.array(boxes(), float), np.full(4, 400.0))


def measure(predicted):
    return measure_image(3, true_image(), predicted)


def figures(records):
    return values(records, 0.5)


def test_perfect_predictions_score_one_and_err_nowhere():
    found = figures([measure(results(squares(), boxes(), [0.9] * 4))])
    errors = {key: value for key, value in found.items() if key.startswith('count/')}
    assert set(errors.values()) == {0.0}
    assert {key: value for key, value in found.items() if key not in errors} == pytest.approx(
        {key: 1.0 for key in found if key not in errors}
    )


def test_shift_by_three_pixels():
    lefts = [left + 3 for left in LEFT]
    found = figures([measure(results(np.roll(squares(), 3, 1), boxes(lefts), [0.9] * 4))])
    for kind in ('segm', 'bbox'):
        assert found[f'coco/{kind}_mAP_50'] == pytest.approx(1)
        assert found[f'coco/{kind}_mAP_75'] == 0  # the IoU is 17 / 23 = 0.739
        assert found[f'coco/{kind}_mAP'] == pytest.approx(0.5)  # 0.50, 0.55 ... 0.70 of ten
    # Of the columns of the unions, 40 + 20 + 20, all but the first three of each are found.
    assert found['pixel/dice'] == found['pixel/dice_pooled'] == pytest.approx(71 / 80)
    assert found['pixel/iou'] == pytest.approx(71 / 89)
    assert found['count/relative_error'] == 0
    assert found['instance/pq'] == pytest.approx(17 / 23)


def test_one_cell_dropped():
    lefts = LEFT[:3]
    found = figures([measure(results(squares(lefts), boxes(lefts), [0.9] * 3))])
    # Precision is 1 at the recalls 0 ... 0.75, which are 76 of 101.
    assert found['coco/segm_mAP'] == found['coco/bbox_mAP_75'] == pytest.approx(76 / 101)
    assert found['pixel/dice'] == pytest.approx(6 / 7)
    assert found['pixel/iou'] == pytest.approx(3 / 4)
    assert found['count/relative_error'] == found['count/relative_error_per_image'] == 1 / 4
    assert found['count/mae'] == 1
    assert found['count/bias'] == -1
    assert found['count/relative_bias'] == -1 / 4


def test_two_cells_merged():
    merged = np.array([0, 3, 3, 1, 2])[squares()]
    box_list = [*boxes(LEFT[2:]), [10, 20, 40, 20]]
    found = figures([measure(results(merged, box_list, [0.9, 0.9, 0.8]))])
    # IoU of the merged cell with either half is 0.5: a hit at 0.50, a late false alarm above.
    for kind in ('segm', 'bbox'):
        assert found[f'coco/{kind}_mAP_50'] == pytest.approx(76 / 101)
        assert found[f'coco/{kind}_mAP_75'] == pytest.approx(51 / 101)
        assert found[f'coco/{kind}_mAP'] == pytest.approx((76 + 9 * 51) / 1010)
    assert found['pixel/dice'] == found['pixel/iou_pooled'] == 1
    assert found['count/relative_error'] == 1 / 4
    assert found['instance/f1_50'] == pytest.approx(6 / 7)


def test_a_threshold_is_chosen_by_count_error():
    label_map, box_list = squares(), [*boxes(), [10, 50, 10, 10]]
    label_map[50:60, 10:20] = 5  # where there is no cell
    scores = [0.9, 0.9, 0.9, 0.6, 0.3]
    thresholds = (0.2, 0.5, 0.7)
    records = [measure(results(label_map, box_list, scores))]
    choice = choose_threshold(records, thresholds)
    assert (choice.value, choice.low, choice.high) == (0.5, 0.5, 0.5)
    assert choice.relative_error == [1 / 4, 0, 1 / 4]
    assert choice.dice_pooled[1] == values(records, 0.5)['pixel/dice_pooled']
    # Five or three cells found are equally wrong.
    assert choose_threshold(records, (0.2, 0.25, 0.7))[:3] == (0.25, 0.2, 0.7)
    assert choose_threshold(records, (0.7, 0.25, 0.2))[:3] == (0.25, 0.2, 0.7)
    nothing = measure(Detections([], np.zeros(0), np.zeros((0, 4))))
    assert choose_threshold([nothing], (0.2, 0.7))[:3] == (0.5, 0.5, 0.5)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_a_record_gives_at_any_threshold_what_dropping_labels_from_the_map_gives(seed, threshold):
    rng = np.random.default_rng(seed)
    true_map, pred = (np.kron(rng.integers(0, 7, (6, 8)), np.ones((5, 5), int)) for _ in range(2))
    rles = encode_label_map(true_map, 6)
    true = TrueImage('a', true_map.shape, rles, np.ones((6, 4)), np.ones(6))
    masks = encode_label_map(np.roll(pred, rng.integers(-3, 4), 1), 6)
    masks += encode_label_map(np.roll(pred, 2, 0), 6)  # which overlap the others
    scores = rng.integers(0, 5, 12) / 4  # with ties
    record = measure_image(1, true, Detections(masks, scores, np.ones((12, 4))))

    shown_map, kept = visible_cells(masks, scores, true.size)
    pred_map, number = keep_labels(shown_map, scores[kept] >= threshold)
    table = intersection_table(true_map, pred_map, 6, number)
    counts = record.counts(threshold)
    assert record.found(threshold) == counts.found == number
    np.testing.assert_array_equal(record.table_at(threshold), table)
    union = true_map > 0, pred_map > 0
    assert counts.pixels.tolist() == [(union[0] & union[1]).sum(), union[0].sum(), union[1].sum()]
    np.testing.assert_array_equal(counts.matches, match_counts(table, CELL_IOU_THRESHOLDS))
    np.testing.assert_array_equal(counts.aji, aji_terms(table))
    plain = boundary_terms(true_map, pred_map, np.ones(number)).sum(0)
    np.testing.assert_array_equal(counts.boundary, plain)
    for ours, theirs in zip(record.outcomes(threshold), explain(table), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_record_holds_no_pixels_and_travels_between_processes():
    record = measure(results(squares(), boxes(), [0.9] * 4))
    copy = pickle.loads(pickle.dumps(record))
    assert values([copy], 0.5) == values([record], 0.5)
    assert len(pickle.dumps(record)) < squares().nbytes / 4
    assert record.boxes.tolist() == [[x, 20, x + 20, 40] for x in LEFT]
    assert record.areas.tolist() == record.true_areas.tolist() == [400] * 4


def test_every_value_with_a_name_is_there():
    found = figures([measure(results(squares(), boxes(), [0.9] * 4))])
    assert {key for key, _, _ in VALUES} <= found.keys()


def test_without_a_true_cell_average_precision_is_not_a_number():
    nothing = TrueImage('a', SIZE)
    record = measure_image(1, nothing, results(squares(), boxes(), [0.9] * 4))
    assert np.isnan(values([record], 0.5)['coco/segm_mAP'])


def test_intervals_lie_around_the_figures_of_unequal_images():
    good = measure(results(squares(), boxes(), [0.9] * 4))
    bad = measure(results(squares(LEFT[:2]), boxes(LEFT[:2]), [0.9] * 2))
    records = [good, bad, good, bad, good] * 2
    assert intervals(records[:9], 0.5, 200) == {}  # too few
    found, ends = figures(records), intervals(records, 0.5, 200)
    assert ends.keys() == found.keys()
    low, high = ends['instance/recall_50']
    assert 0.5 <= low < found['instance/recall_50'] < high <= 1
    assert ends['instance/precision_50'] == (1, 1)
    assert intervals(records, 0.5, 200) == ends
