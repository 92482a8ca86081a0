import functools
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.detection import PanopticQuality

from cellkit.metrics.aggregated_jaccard import aji, aji_terms
from cellkit.metrics.boundary import boundary_terms
from cellkit.metrics.instances import (
    ABOVE_HALF,
    CELL_IOU_THRESHOLDS,
    detection_values,
    match_counts,
    panoptic_values,
)
from cellkit.metrics.records import ImageCounts, instance_values
from cellkit.overlaps import intersection_table

HERE = Path(__file__).parent
CELLS, SIDE = 4, 20


@functools.cache
def agreement():
    """The script that compares with the peers and stored their figures."""
    path = HERE.parents[2] / 'benchmarks' / 'agreement.py'
    spec = importlib.util.spec_from_file_location('agreement', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def squares():
    """Four squares of 20 px; the first two touch."""
    label_map = np.zeros((70, 120), np.int32)
    for k, left in enumerate((10, 30, 60, 90), start=1):
        label_map[20 : 20 + SIDE, left : left + SIDE] = k
    return label_map


def instance_counts(true_map, pred_map, num_pred=None):
    """What a pair of label maps adds to the values of instances."""
    table = intersection_table(true_map, pred_map, num_pred=num_pred)
    number = table.shape[1] - 1
    return ImageCounts(
        len(table) - 1,
        number,
        None,
        None,
        None,
        match_counts(table, CELL_IOU_THRESHOLDS),
        match_counts(table, [ABOVE_HALF])[0],
        aji_terms(table),
        boundary_terms(true_map, pred_map, np.ones(number)).sum(0),
    )


def figures_of(true_map, pred_map, **options):
    return instance_values([instance_counts(true_map, pred_map, **options)])


def test_peers_agree_on_stored_pairs():
    module = agreement()
    stored = json.loads((HERE / 'peer_figures.json').read_text())
    pairs = list(module.useful(range(len(stored) + 10)))[: len(stored)]
    assert len(stored) == 40
    for pair, theirs in zip(pairs, stored, strict=True):
        assert module.our_values(*pair) == pytest.approx(theirs, abs=1e-6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_panoptic_quality_agrees_with_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 6, (9, 11))
    pred = np.where(rng.random(true.shape) < 0.75, true, rng.integers(0, 8, true.shape))
    true[0, 0] = 1
    true, pred = agreement().without_gaps(true), agreement().without_gaps(pred)
    ours = panoptic_values(match_counts(intersection_table(true, pred), [ABOVE_HALF])[0])
    peer = PanopticQuality({1}, {0}, return_sq_and_rq=True, return_per_class=True)
    maps = [torch.from_numpy(np.stack([m > 0, m], -1).astype(np.int64))[None] for m in (pred, true)]
    values = torch.atleast_2d(peer(*maps).squeeze(0))[peer.cat_id_to_continuous_id[1]]
    assert [ours[k] for k in ('pq', 'sq', 'rq')] == pytest.approx(values.tolist(), abs=1e-6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_aji_agrees_with_the_paper_written_out(seed):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, (7, 9))
    pred = np.where(rng.random(true.shape) < 0.6, true, rng.integers(0, 6, true.shape))
    if true.any() and pred.any():
        ours = aji(aji_terms(intersection_table(true, pred)))
        assert ours == pytest.approx(agreement().slow_aji(true, pred), abs=1e-12)


def test_perfect_predictions_score_one_everywhere():
    renamed = np.array([0, 3, 1, 4, 2])[squares()]
    assert set(figures_of(squares(), renamed).values()) == {1.0}


def test_shift_by_three_pixels():
    figures = figures_of(squares(), np.roll(squares(), 3, 1))
    # Each square shares 17 of 20 columns; the first two also overlap their neighbour's place.
    iou = 17 / 23
    for threshold in (50, 60, 70):
        assert figures.get(f'f1_{threshold}', 1) == 1
    for name in ('f1', 'precision', 'recall', 'cell_ap'):
        assert figures[f'{name}_75'] == figures[f'{name}_90'] == 0
    assert figures['rq'] == 1
    assert figures['sq'] == figures['pq'] == pytest.approx(iou)
    assert figures['aji'] == figures['aji_pooled'] == pytest.approx(iou)
    assert figures['cell_ap'] == pytest.approx(3 / 6)


def test_one_cell_dropped():
    figures = figures_of(squares(), squares() % 4)
    for threshold in (50, 75, 90):
        assert figures[f'precision_{threshold}'] == 1
        assert figures[f'recall_{threshold}'] == figures[f'cell_ap_{threshold}'] == 3 / 4
        assert figures[f'f1_{threshold}'] == pytest.approx(6 / 7)
    assert figures['sq'] == 1
    assert figures['rq'] == figures['pq'] == pytest.approx(3 / 3.5)
    assert figures['aji'] == pytest.approx(3 / 4)
    assert figures['boundary_f1'] == pytest.approx(2 * 0.75 / 1.75)


def test_two_cells_merged():
    merged = np.array([0, 1, 1, 2, 3])[squares()]
    figures = figures_of(squares(), merged)
    # The merged cell has an IoU of exactly 0.5 with either half: a hit at 0.5, none above.
    assert figures['precision_50'] == 1
    assert figures['recall_50'] == figures['cell_ap_50'] == 3 / 4
    assert figures['precision_60'] == 2 / 3
    assert figures['recall_60'] == 2 / 4
    assert figures['cell_ap_60'] == 2 / (2 + 1 + 2)
    assert figures['rq'] == figures['pq'] == pytest.approx(2 / (2 + 0.5 + 1))
    assert figures['sq'] == 1
    # Both halves take the merged cell: intersections 4 a, unions 2 a + 2 a + a + a.
    assert figures['aji'] == pytest.approx(4 / 6)


def test_a_prediction_that_others_cover_is_a_false_positive():
    figures = figures_of(squares(), squares(), num_pred=5)
    assert figures['precision_50'] == 4 / 5
    assert figures['recall_50'] == figures['aji'] == 1


def test_empty_cases_are_as_documented():
    nothing = np.zeros_like(squares())
    assert set(figures_of(nothing, nothing).values()) == {1.0}
    for pair in ((squares(), nothing), (nothing, squares())):
        assert set(figures_of(*pair).values()) == {0.0}


def test_counts_are_summed_over_images_and_aji_is_averaged():
    true = squares()
    records = [
        instance_counts(true, np.where(true == 4, 0, true)),
        instance_counts(np.where(true == 1, 1, 0), np.zeros_like(true)),
    ]
    figures = instance_values(records)
    assert figures['recall_50'] == 3 / 5
    assert figures['aji'] == pytest.approx((3 / 4 + 0) / 2)
    assert figures['aji_pooled'] == pytest.approx(3 / 5)
    twice = instance_values(records, weights=np.array([2, 1]))
    assert twice == pytest.approx(instance_values([records[0], *records]))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_figures_lie_between_zero_and_one_and_fall_with_the_threshold(seed):
    true, pred = agreement().random_pair(seed, (60, 80))
    counts = match_counts(intersection_table(true, pred), np.linspace(0.3, 0.95, 8))
    for values in detection_values(counts).values():
        assert (np.diff(values) <= 0).all()
        assert ((values >= 0) & (values <= 1)).all()
