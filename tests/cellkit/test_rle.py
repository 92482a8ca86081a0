"""Run-length encoding against pycocotools, one mask at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from cellkit import rle

# A busy machine is no reason to fail.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

label_maps = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40).flatmap(
    lambda shape: hnp.arrays(np.int32, shape, elements=st.integers(0, 5))
)


def reference(mask: np.ndarray) -> dict:
    """pycocotools' own encoding of one mask."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': list(encoded['size']), 'counts': encoded['counts'].decode('ascii')}


def rle_of(height: int, width: int, counts: str) -> dict:
    return {'size': [height, width], 'counts': counts}


def blobs(height: int, width: int, num: int, seed: int = 0) -> np.ndarray:
    """A label map of discs, long runs as real cells have them; later discs hide earlier ones."""
    generator = np.random.default_rng(seed)
    rows, columns = np.ogrid[:height, :width]
    label_map = np.zeros((height, width), np.int32)
    for k in range(num):
        y, x = generator.uniform(0, height), generator.uniform(0, width)
        radius = generator.uniform(5, 60)
        label_map[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = k + 1
    return label_map


@PATIENT
@given(label_maps)
def test_strings_are_those_of_pycocotools(label_map):
    encoded = rle.encode_label_map(label_map, num=6)
    assert encoded == [reference(label_map == k) for k in range(1, 7)]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize('layout', ['C', 'F'])
def test_large_map_of_any_type_and_layout(dtype, layout):
    label_map = blobs(700, 900, 60)
    expected = [reference(label_map == k) for k in range(1, 61)]
    assert rle.encode_label_map(label_map.astype(dtype, order=layout), num=60) == expected


@PATIENT
@given(label_maps)
def test_round_trip_is_the_identity(label_map):
    encoded = rle.encode_label_map(label_map, num=5)
    decoded, overlap = rle.decode_and_check(encoded)
    np.testing.assert_array_equal(decoded, label_map)
    assert decoded.dtype == np.int32
    assert decoded.flags.c_contiguous
    assert not overlap
    assert rle.encode_label_map(decoded, num=5) == encoded


@PATIENT
@given(
    hnp.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20))),
    st.randoms(),
)
def test_overlapping_masks_are_painted_in_order(masks, random):
    rles = [reference(mask) for mask in masks]
    order = list(range(len(masks)))
    random.shuffle(order)
    expected = np.zeros(masks.shape[1:], np.int32)
    for k in order:
        expected[masks[k]] = k + 1
    decoded, overlap = rle.decode_and_check(rles, order)
    np.testing.assert_array_equal(decoded, expected)
    assert overlap == bool((masks.sum(axis=0) > 1).any())


def test_order_may_leave_masks_out():
    rles = rle.encode_label_map(np.array([[1, 2, 3]]))
    assert rle.decode_to_label_map(rles, order=[2, 0]).tolist() == [[1, 0, 3]]
    assert rle.decode_to_label_map(rles, order=[]).tolist() == [[0, 0, 0]]


@settings(PATIENT, max_examples=200)
@given(
    hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    st.tuples(*[st.integers(0, 5)] * 4),
)
def test_crop_encodes_as_the_full_image(crop, margins):
    top, bottom, left, right = margins
    full = np.pad(crop, ((top, bottom), (left, right)))
    assert rle.encode_crops([crop], [left], [top], *full.shape) == [reference(full)]


def test_crops_of_different_sizes_at_once():
    generator = np.random.default_rng(3)
    shapes = [(50, 3), (1, 60), (50, 60), (7, 7), (0, 4)]
    crops = [generator.random(shape) > 0.4 for shape in shapes]
    xs, ys = [57, 0, 0, 20, 5], [0, 49, 0, 43, 9]
    results = rle.encode_crops(crops, xs, ys, 50, 60)
    for crop, x, y, encoded in zip(crops, xs, ys, results, strict=True):
        full = np.zeros((50, 60), bool)
        full[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        assert encoded == reference(full)
    assert rle.encode_crops([], [], [], 50, 60) == []


@PATIENT
@given(hnp.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_every_form_of_counts_is_read(mask):
    text = reference(mask)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    lengths = np.diff([0, *edges, flat.size]).tolist()
    for counts in (text['counts'], text['counts'].encode(), lengths):
        decoded = rle.decode_to_label_map([{'size': text['size'], 'counts': counts}])
        np.testing.assert_array_equal(decoded, mask)


def test_mixed_compressed_and_plain_counts():
    rles = [{'size': [2, 2], 'counts': [0, 1, 3]}, reference(np.array([[0, 1], [0, 1]]))]
    assert rle.decode_to_label_map(rles).tolist() == [[1, 2], [0, 2]]


def test_nothing_to_paint():
    assert rle.decode_to_label_map([], size=(3, 4)).tolist() == [[0] * 4] * 3
    assert rle.encode_label_map(np.zeros((3, 4), np.uint8)) == []
    empty = rle.encode_label_map(np.zeros((3, 4), np.uint8), num=2)
    assert empty == [reference(np.zeros((3, 4)))] * 2
    assert not rle.decode_to_label_map(empty).any()


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda: rle.encode_label_map(np.array([[1, 3]]), num=2), '0..2'),
        (lambda: rle.encode_label_map(np.array([[-1, 3]])), 'labels'),
        (lambda: rle.encode_label_map(np.zeros((2, 2, 2), int)), 'label map'),
        (lambda: rle.encode_label_map(np.zeros((2, 2))), 'label map'),
        (lambda: rle.encode_crops([np.ones((2, 2))], [3], [0], 4, 4), 'crop 0'),
        (lambda: rle.decode_to_label_map([]), 'one size'),
        (lambda: rle.decode_to_label_map([rle_of(2, 2, '5')]), '2x2'),
        (lambda: rle.decode_to_label_map([rle_of(2, 2, '')]), '2x2'),
        (lambda: rle.decode_to_label_map([rle_of(2, 2, 'T')]), 'cut off'),
        (lambda: rle.decode_to_label_map([rle_of(2, 2, '4'), rle_of(4, 1, '4')]), 'one size'),
        (lambda: rle.decode_to_label_map([rle_of(1, 1, '1')] * 300, dtype=np.uint8), 'uint8'),
    ],
)
def test_errors_name_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call()
