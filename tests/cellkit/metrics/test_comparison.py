import numpy as np
import pytest

from cellkit.metrics.bootstrap import paired_differences, resampled_weights
from cellkit.metrics.comparison import compare
from cellkit.metrics.records import Detections, measure_image, values
from cellkit.metrics.truth import TrueImage
from cellkit.rle import encode_label_map

SIZE = (60, 80)


def records(number: int, seed: int, lost: float, added: int = 0) -> list:
    """Images of six square cells, of which a share is lost, with as many false ones added."""
    found = []
    for k in range(number):
        rng = np.random.default_rng((seed, k))
        true = np.zeros(SIZE, np.int32)
        for j in range(6):
            true[5 : 5 + 10 + k % 3, 3 + 13 * j : 13 + 13 * j] = j + 1
        predicted = true.copy()
        for j in range(6):
            if rng.random() < lost:
                predicted[true == j + 1] = 0
        for j in range(added):
            predicted[40:50, 3 + 13 * j : 13 + 13 * j] = 7 + j
        labels, predicted = np.unique(predicted, return_inverse=True)
        rles = encode_label_map(predicted.reshape(SIZE))
        truth = TrueImage(f'{k}.png', SIZE, encode_label_map(true), np.zeros((6, 4)), np.ones(6))
        scores = np.ones(len(labels) - 1)
        found.append(measure_image(k, truth, Detections(rles, scores, np.zeros((len(rles), 4)))))
    return found


def test_paired_differences_by_hand():
    first, second = np.array([1.0, 2.0, 4.0]), np.array([0.0, 2.0, 5.0])
    weights = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [1, 1, 1]])
    ways = [lambda w, v=v: {'mean': np.average(v, weights=w)} for v in (first, second)]
    found = paired_differences(*ways, weights, level=1.0)['mean']
    assert found == pytest.approx((-1, 1, (1 + 0.5 + 0 + 0.5) / 4))


def test_what_is_the_same_on_every_image_is_no_better():
    found = compare((records(8, 0, 0.3), 0.5), (records(8, 0, 0.3), 0.5), 50)
    for comparison in found.values():
        assert comparison.first == comparison.second
        assert comparison.difference == 0
        assert (comparison.low, comparison.high) == (0, 0)
        assert comparison.better == 0.5
        assert not comparison.differ


def test_the_better_one_is_found_whichever_way_is_better():
    good, bad = (records(12, 1, 0.02), 0.5), (records(12, 2, 0.5), 0.5)
    found, turned = compare(good, bad, 200), compare(bad, good, 200)
    for key in ('instance/f1_50', 'count/relative_error', 'count/mae', 'count/relative_bias'):
        assert found[key].better > 0.99
        assert found[key].differ
        assert turned[key].better < 0.01
        assert turned[key].low == pytest.approx(-found[key].high)
    assert found['instance/f1_50'].first == values(good[0], 0.5)['instance/f1_50']


def test_a_bias_upwards_is_no_better_than_one_downwards():
    few, many = (records(12, 3, 1 / 3), 0.5), (records(12, 3, 0.0, added=2), 0.5)
    found = compare(few, many, 100)['count/relative_bias']
    assert found.first < 0 < found.second
    assert found.difference == pytest.approx(abs(found.first) - found.second)
    assert found.low < 0.1
    assert found.high > -0.1


def test_paired_intervals_hold_the_true_difference():
    """On simulated images that differ much in how hard they are; unpaired ones would be wide."""
    rng = np.random.default_rng(0)
    inside, width, unpaired = 0, [], []
    for _ in range(200):
        hard = rng.normal(0, 1, 25)
        one, other = hard + rng.normal(0.1, 0.1, 25), hard + rng.normal(0, 0.1, 25)
        ways = [lambda w, v=v: {'mean': w @ v / 25} for v in (one, other)]
        low, high, _ = paired_differences(*ways, resampled_weights(25, 200, 1))['mean']
        inside += low <= 0.1 <= high
        width.append(high - low)
        unpaired.append(4 * np.hypot(one.std(), other.std()) / 5)
    assert 0.88 <= inside / 200 <= 0.99
    assert np.mean(width) < np.mean(unpaired) / 5


def test_records_of_other_images_are_not_compared():
    with pytest.raises(ValueError, match='other images'):
        compare((records(3, 0, 0), 0.5), (records(4, 0, 0), 0.5), 10)
