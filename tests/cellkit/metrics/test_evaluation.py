"""The whole evaluation of known predictions, figure by figure as computed by hand."""

import numpy as np
import pytest

from cellkit.metrics.evaluation import (
    at_threshold,
    choose_threshold,
    figures,
    intervals,
    measure_image,
)
from cellkit.metrics.ground_truth import TrueImage
from cellkit.rle import encode_label_map

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
    rles = encode_label_map(label_map)
    keys = ('segmentation', 'bbox', 'score')
    return [dict(zip(keys, item, strict=True)) for item in zip(rles, box_list, scores, strict=True)]


def true_image():
    label_map = squares()
    rles = encode_label_map(label_map)
    return TrueImage('a.png', SIZE, rles, np.array(boxes(), float), np.full(4, 400.0))


def measure(predicted, thresholds=(0.5,)):
    return measure_image(3, true_image(), predicted, thresholds)


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


def test_the_threshold_of_least_count_error_is_chosen():
    label_map, box_list = squares(), [*boxes(), [10, 50, 10, 10]]
    label_map[50:60, 10:20] = 5  # where there is no cell
    scores = [0.9, 0.9, 0.9, 0.6, 0.3]
    thresholds = (0.2, 0.5, 0.7)
    records = [measure(results(label_map, box_list, scores), thresholds)]
    choice = choose_threshold(records, thresholds)
    assert choice.value == 0.5
    assert choice.relative_error == [1 / 4, 0, 1 / 4]
    alone = figures(at_threshold(records, 1))
    direct = figures([measure(results(label_map, box_list, scores), (0.5,))])
    assert alone == {key: direct[key] for key in alone}
    nothing = choose_threshold([measure([], thresholds)], thresholds)
    assert nothing.value == 0.5


def test_intervals_lie_around_the_figures_of_unequal_images():
    good = measure(results(squares(), boxes(), [0.9] * 4))
    bad = measure(results(squares(LEFT[:2]), boxes(LEFT[:2]), [0.9] * 2))
    records = [good, bad, good, bad, good]
    found, ends = figures(records), intervals(records, 200)
    assert ends.keys() == found.keys()
    low, high = ends['instance/recall_50']
    assert 0.5 <= low < found['instance/recall_50'] < high <= 1
    assert ends['instance/precision_50'] == (1, 1)
    assert intervals(records, 200) == ends
