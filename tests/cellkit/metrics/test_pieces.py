"""Thresholds tried on pieces give the tables that painting anew gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellkit.metrics.pieces import ImagePieces
from cellkit.metrics.records import Detections, measure_image
from cellkit.metrics.truth import TrueImage
from cellkit.rle import encode_label_map

SIZE = 24, 30


def rle_of(bitmap: np.ndarray) -> dict:
    return encode_label_map(bitmap.astype(np.int32), 1)[0]


def smear(seed: int, true: int, found: int) -> tuple[TrueImage, Detections]:
    """Random rectangles, some with a hole across, as cells and as detections."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(SIZE, np.int32)
    bitmaps = []
    for k in range(true + found):
        y, x = rng.integers(0, (SIZE[0] - 6, SIZE[1] - 6))
        height, width = rng.integers(2, 12, 2)
        bitmap = np.zeros(SIZE, bool)
        bitmap[y : y + height, x : x + width] = True
        if rng.random() < 0.3:
            bitmap[y + height // 2] = False
        if k < true:
            truth[bitmap] = k + 1
        elif bitmap.any():
            bitmaps.append(bitmap)
    rles = encode_label_map(truth, true) if true else []
    boxes = np.zeros((len(bitmaps), 4))
    for box, bitmap in zip(boxes, bitmaps, strict=True):
        rows, columns = np.flatnonzero(bitmap.any(1)), np.flatnonzero(bitmap.any(0))
        box[:] = columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1
    scores = rng.integers(1, 20, len(bitmaps)) / 20  # with ties
    areas = np.bincount(truth.ravel(), minlength=true + 1)[1:].astype(float)
    image = TrueImage('x.png', SIZE, rles, np.zeros((true, 4)), areas)
    return image, Detections([rle_of(b) for b in bitmaps], scores, boxes)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    true=st.integers(0, 5),
    found=st.integers(0, 9),
    score_thr=st.floats(0, 1),
)
def test_a_score_threshold_gives_the_record_s_table(
    seed: int, true: int, found: int, score_thr: float
) -> None:
    image, detections = smear(seed, true, found)
    table = ImagePieces(image, *detections).table(score_thr)
    record = measure_image(1, image, detections)
    wanted = record.table_at(score_thr)
    assert table.shape == wanted.shape
    # Of two largest parts of a cell that are the same size either may stay: areas are compared.
    assert table.sum() == wanted.sum() == SIZE[0] * SIZE[1]
    assert (np.sort(table.sum(0)[1:]) == np.sort(wanted.sum(0)[1:])).all()
    if not _has_twins(record.areas, detections):
        assert (table == wanted).all()


def _has_twins(areas: np.ndarray, detections: Detections) -> bool:
    """Whether a visible cell lost half of its pixels or more: then its parts may be equal."""
    from pycocotools import mask

    whole = mask.area(detections.rles) if detections.rles else np.zeros(0)
    return bool(len(areas)) and areas.min() * 2 <= whole.max()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), nms_iou=st.floats(0.05, 0.95))
def test_suppression_is_torchvision_s(seed: int, nms_iou: float) -> None:
    import torch
    from torchvision.ops import nms

    image, (rles, scores, boxes) = smear(seed, 3, 9)
    scores = scores + np.arange(len(scores)) * 1e-4  # it promises no order among equal ones
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    left = nms(torch.tensor(corners), torch.tensor(scores), nms_iou).tolist()
    whole = ImagePieces(image, rles, scores, boxes).table(0.0, nms_iou, 0.0)
    part = ImagePieces(image, [rles[k] for k in left], scores[left], boxes[left]).table(0, 1, 0)
    assert sorted(whole.sum(0).tolist()) == sorted(part.sum(0).tolist())


def test_what_is_hidden_by_more_than_the_share_is_left_out() -> None:
    bitmaps = np.zeros((2, *SIZE), bool)
    bitmaps[0, 2:12, 2:12] = True
    bitmaps[1, 6:16, 2:12] = True  # four tenths of it are free
    image = TrueImage('x.png', SIZE)
    scores, boxes = np.array([0.9, 0.8]), np.array([[2, 2, 10, 10], [2, 6, 10, 10]], float)
    pieces = ImagePieces(image, [rle_of(b) for b in bitmaps], scores, boxes)
    assert pieces.table(least_visible=0.4).tolist() == [[24 * 30 - 140, 100, 40]]
    assert pieces.table(least_visible=0.41).tolist() == [[24 * 30 - 100, 100]]


def test_crumbs_of_a_cell_go_to_the_background() -> None:
    bitmaps = np.zeros((2, *SIZE), bool)
    bitmaps[0, 0:20, 10:12] = True  # cuts the other one in two
    bitmaps[1, 4:8, 5:20] = True
    image = TrueImage('x.png', SIZE)
    scores, boxes = np.array([0.9, 0.8]), np.array([[10, 0, 2, 20], [5, 4, 15, 4]], float)
    pieces = ImagePieces(image, [rle_of(b) for b in bitmaps], scores, boxes)
    assert pieces.table().tolist() == [[24 * 30 - 40 - 32, 40, 32]]
