"""LabelMapMasks against MMDetection's BitmapMasks on random disjoint instances."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmdet.structures.mask import BitmapMasks, mask_target
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from custom_modules.structures.label_map_masks import LabelMapMasks
from custom_modules.structures.label_roi_align import roi_align_labels
from tests.custom_modules.structures.by_centres import by_centres

NUM = 4
# A busy machine is no reason to fail.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def pairs(draw, max_side: int = 24) -> tuple[LabelMapMasks, BitmapMasks]:
    """The same instances in both containers, in an order of their own, some without a pixel."""
    shape = draw(st.tuples(*[st.integers(1, max_side)] * 2))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int32]))
    label_map = draw(hnp.arrays(dtype, shape, elements=st.integers(0, NUM)))
    ids = np.array(draw(st.permutations(range(1, NUM + 2))))[: draw(st.integers(0, NUM + 1))]
    bitmaps = (label_map[None] == ids[:, None, None].astype(dtype)).astype(np.uint8)
    return LabelMapMasks.from_map(label_map, ids), BitmapMasks(bitmaps, *shape)


def assert_same(ours, stock: BitmapMasks) -> None:
    assert (len(ours), ours.height, ours.width) == (len(stock), stock.height, stock.width)
    np.testing.assert_array_equal(ours.to_ndarray(), stock.to_ndarray())


def cells(height: int = 240, width: int = 320, num: int = 20, seed: int = 0) -> LabelMapMasks:
    """Discs about as large against the image as cells are."""
    generator = np.random.default_rng(seed)
    rows, columns = np.ogrid[:height, :width]
    label_map = np.zeros((height, width), np.uint8)
    for k in range(1, num + 1):
        y, x = generator.uniform(0, height), generator.uniform(0, width)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < generator.uniform(8, 30) ** 2
        label_map[disc & (label_map == 0)] = k
    return LabelMapMasks.from_map(label_map, np.arange(1, num + 1))


def jittered_boxes(masks: LabelMapMasks, count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Boxes as a head proposes them: near the instances, partly outside the image."""
    generator = np.random.default_rng(seed)
    inds = generator.integers(0, len(masks), count)
    boxes = masks.get_bboxes().tensor.numpy()[inds]
    boxes = boxes + generator.normal(0, 6, boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes.astype(np.float32), inds


@PATIENT
@given(pairs(), st.integers(1, 60), st.integers(1, 60))
def test_resize(pair, height, width):
    ours, stock = pair
    assert_same(ours.resize((height, width)), by_centres(stock, height, width))


@PATIENT
@given(pairs(), st.one_of(st.floats(0.5, 3), st.tuples(st.integers(8, 60), st.integers(8, 60))))
def test_rescale(pair, scale):
    ours, stock = pair
    if isinstance(scale, float):
        scale = max(scale, 1 / min(ours.height, ours.width))
    if min(stock.height, stock.width) > 2:
        shape = stock.rescale(scale)
        assert_same(ours.rescale(scale), by_centres(stock, shape.height, shape.width))


@PATIENT
@given(pairs(), st.sampled_from(['horizontal', 'vertical', 'diagonal']))
def test_flip(pair, direction):
    ours, stock = pair
    assert_same(ours.flip(direction), stock.flip(direction))


@PATIENT
@given(pairs(), st.integers(0, 9), st.integers(0, 9))
def test_pad(pair, down, right):
    ours, stock = pair
    shape = (ours.height + down, ours.width + right)
    assert_same(ours.pad(shape), stock.pad(shape))
    assert_same(ours.pad(shape, pad_val=1), stock.pad(shape, pad_val=1))


@PATIENT
@given(pairs(), st.data())
def test_crop(pair, data):
    ours, stock = pair
    x1 = data.draw(st.integers(-3, ours.width - 1))
    y1 = data.draw(st.integers(-3, ours.height - 1))
    box = np.array(
        [
            x1,
            y1,
            data.draw(st.integers(x1, ours.width + 5)),
            data.draw(st.integers(y1, ours.height + 5)),
        ]
    )
    assert_same(ours.crop(box), stock.crop(box))


@PATIENT
@given(pairs(), st.data())
def test_every_kind_of_index(pair, data):
    ours, stock = pair
    count = len(ours)
    chosen = np.array(
        data.draw(st.lists(st.integers(-count, count - 1)) if count else st.just([])), np.int64
    )
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    indices = [chosen, torch.from_numpy(chosen), kept, torch.from_numpy(kept), slice(1, None, 2)]
    indices += [int(chosen[0])] if len(chosen) else []
    for index in indices:
        plain = index.numpy() if isinstance(index, torch.Tensor) else index
        assert_same(ours[index], stock[plain])
        assert ours[index].label_map is ours.label_map


@PATIENT
@given(pairs())
def test_boxes_and_areas(pair):
    ours, stock = pair
    np.testing.assert_array_equal(ours.areas, stock.areas)
    torch.testing.assert_close(ours.get_bboxes().tensor, stock.get_bboxes('hbox').tensor)
    cropped = ours.flip().crop(np.array([0, 0, 9, 9]))[::-1]
    expected = stock.flip().crop(np.array([0, 0, 9, 9]))[::-1]
    np.testing.assert_array_equal(cropped.areas, expected.areas)
    torch.testing.assert_close(
        cropped.get_bboxes('hbox').tensor, expected.get_bboxes('hbox').tensor
    )


@PATIENT
@given(pairs(), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_expand(pair, top, bottom, left, right):
    ours, stock = pair
    place = (ours.height + top + bottom, ours.width + left + right, top, left)
    assert_same(ours.expand(*place), stock.expand(*place))


@PATIENT
@given(pairs(), st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 6))
def test_translate_by_whole_pixels(pair, right, down, larger):
    ours, stock = pair
    shape = (ours.height + larger, max(ours.width - larger, 1))
    for offset, direction in ((right, 'horizontal'), (down, 'vertical'), ((right, down), 'both')):
        assert_same(
            ours.translate(shape, offset, direction), stock.translate(shape, offset, direction)
        )


@pytest.mark.parametrize(
    'warp',
    [
        lambda m: m.rotate((m.height, m.width), 20.0),
        lambda m: m.rotate((m.height, m.width), -75.0, center=(100.0, 90.0), scale=1.2),
        lambda m: m.shear((m.height, m.width), 0.3),
        lambda m: m.shear((m.height, m.width), -0.2, 'vertical'),
        lambda m: m.translate((m.height, m.width), 7.4),
    ],
)
def test_warps_differ_from_blended_bitmaps_at_edges_only(warp):
    masks = cells(num=3)
    ours, stock = warp(masks), warp(masks.to_bitmap())
    assert isinstance(ours, LabelMapMasks)
    different = (ours.to_ndarray() != stock.to_ndarray()).sum()
    assert different < 0.05 * stock.areas.sum()


@pytest.mark.parametrize('dtype', [np.uint16, np.int32])
def test_warps_of_many_labels(dtype):
    large = LabelMapMasks.from_map(cells().label_map.astype(dtype) * 300, np.arange(21) * 300)
    small = LabelMapMasks.from_map(cells().label_map, np.arange(21))
    assert_same(large.rotate((240, 320), 20)[1:], small.rotate((240, 320), 20)[1:].to_bitmap())


def test_a_filled_border_gives_bitmaps():
    masks = cells(num=3)
    shape = (masks.height, masks.width)
    for warp in (
        lambda m: m.rotate(shape, 20.0, border_value=1),
        lambda m: m.shear(shape, 0.3, border_value=1),
        lambda m: m.translate(shape, 5, border_value=1),
    ):
        assert_same(warp(masks), warp(masks.to_bitmap()))


@settings(PATIENT, max_examples=50)
@given(pairs(max_side=40), st.integers(1, 9), st.booleans(), st.integers(0, 2**31))
def test_crop_and_resize_is_roi_align(pair, bins, binarize, seed):
    ours, stock = pair
    if not len(ours):
        return
    # Inside the image, as mask_target clips them: RoIAlign drops samples more than a pixel outside,
    # and one exactly there is a matter of rounding.
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, [ours.width, ours.height] * 2, (6, 4)).astype(np.float32)
    if seed % 2:
        corners = corners.round()
    boxes = np.concatenate(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])],
        axis=1,
    )
    inds = generator.integers(0, len(ours), 6)
    expected = stock.crop_and_resize(boxes, (bins, bins + 2), inds, binarize=False).to_ndarray()
    result = ours.crop_and_resize(boxes, (bins, bins + 2), inds, binarize=binarize).to_ndarray()
    if binarize:
        clear = np.abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(result[clear], expected[clear] >= 0.5)
    else:
        np.testing.assert_allclose(result, expected, atol=1e-4)
    labels = torch.from_numpy(ours.ids[inds].astype(np.int32))
    on_tensors = roi_align_labels(
        torch.from_numpy(ours.label_map.astype(np.int32)),
        labels,
        torch.from_numpy(boxes),
        (bins, bins + 2),
        max_elements=5000,
    )
    np.testing.assert_allclose(on_tensors.numpy(), expected, atol=1e-4)


def test_mask_targets_on_a_gpu_are_made_outside_half_precision():
    """The model's autocast is on where they are made; bfloat16 counts no further than 256."""
    masks = cells(num=40)
    boxes, inds = jittered_boxes(masks, 128)
    label_map, ids = masks._tensors('cpu')
    arguments = label_map, ids[torch.as_tensor(inds)], torch.as_tensor(boxes), (28, 28)
    expected = roi_align_labels(*arguments)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(roi_align_labels(*arguments), expected, rtol=0, atol=0)


def test_crop_and_resize_of_cells_differs_in_rounding_only():
    masks = cells(num=40)
    boxes, inds = jittered_boxes(masks, 128)
    stock = masks.to_bitmap().crop_and_resize(boxes, (28, 28), inds).to_ndarray()
    ours = masks.crop_and_resize(boxes, (28, 28), inds).to_ndarray()
    assert ours.dtype == stock.dtype
    assert 0.2 < stock.mean() < 0.8
    assert (ours != stock).mean() < 1e-4


def test_crop_and_resize_takes_tensors_and_nothing():
    masks = cells()
    boxes, inds = jittered_boxes(masks, 5)
    from_arrays = masks.crop_and_resize(boxes, (7, 7), inds)
    from_tensors = masks.crop_and_resize(torch.from_numpy(boxes), (7, 7), torch.from_numpy(inds))
    assert_same(from_arrays, from_tensors)
    assert masks[:0].crop_and_resize(boxes, (7, 7), inds).to_ndarray().shape == (0, 7, 7)
    assert masks.crop_and_resize(boxes[:0], (7, 7), inds[:0]).to_ndarray().shape == (0, 7, 7)


def test_mask_targets_of_the_head():
    masks = cells(num=40)
    boxes, inds = jittered_boxes(masks, 64)
    config = ConfigDict(mask_size=28)
    arguments = [torch.from_numpy(boxes)], [torch.from_numpy(inds)]
    ours = mask_target(*arguments, [masks], config)
    stock = mask_target(*arguments, [masks.to_bitmap()], config)
    assert ours.shape == stock.shape == (64, 28, 28)
    assert (ours != stock).float().mean() < 1e-4


@PATIENT
@given(pairs(), pairs())
def test_cat_of_masks_that_may_overlap(first, second):
    ours = [first[0], second[0].resize((first[0].height, first[0].width))]
    stock = [part.to_bitmap() for part in ours]
    assert_same(ours[0].cat(ours), BitmapMasks.cat(stock))


def test_cat_of_disjoint_masks_stays_a_map():
    left = cells(num=200).label_map.copy()
    right = left.copy()
    left[:, 160:], right[:, :160] = 0, 0
    parts = [LabelMapMasks.from_map(part, np.arange(1, 201)) for part in (left, right)]
    united = LabelMapMasks.cat(parts)
    assert isinstance(united, LabelMapMasks)
    assert united.label_map.dtype == np.uint16
    assert_same(united, BitmapMasks.cat([part.to_bitmap() for part in parts]))


def test_cat_with_bitmaps_and_of_a_repeated_instance():
    masks = cells(num=4)
    mixed = [masks, masks.to_bitmap()]
    assert_same(masks.cat(mixed), BitmapMasks.cat([masks.to_bitmap()] * 2))
    assert_same(mixed[1].cat(mixed[::-1]), BitmapMasks.cat([masks.to_bitmap()] * 2))
    repeated = [masks[[0, 0]], cells(num=4, seed=9)[[2, 1]]]
    assert_same(masks.cat(repeated), BitmapMasks.cat([part.to_bitmap() for part in repeated]))
    with pytest.raises(ValueError, match='empty'):
        LabelMapMasks.cat([])


def test_bitmaps_that_overlap_stay_bitmaps():
    overlapping = np.ones((2, 3, 3), np.uint8)
    assert type(LabelMapMasks(overlapping, 3, 3)) is BitmapMasks
    masks = LabelMapMasks(overlapping[:1], 3, 3)
    with pytest.raises(ValueError, match='overlap'):
        masks.masks = overlapping


def test_label_too_great_for_the_map_is_refused():
    with pytest.raises(ValueError, match='instance 300'):
        LabelMapMasks.from_map(np.ones((3, 3), np.uint8), np.array([1, 300]))


@PATIENT
@given(pairs())
def test_made_from_bitmaps(pair):
    ours, stock = pair
    assert_same(LabelMapMasks(stock.masks, stock.height, stock.width), stock)
    assert_same(LabelMapMasks(list(stock.masks), stock.height, stock.width), stock)
    assert [mask.tolist() for mask in ours] == [mask.tolist() for mask in stock]


def test_what_is_written_into_the_bitmaps_reaches_the_map():
    masks, shared = cells(), cells()
    untouched = shared[:5]
    shared.masks[:, 10:90, 10:200] = 0
    expected = masks.to_bitmap()
    expected.masks[:, 10:90, 10:200] = 0
    assert_same(shared, expected)
    assert_same(untouched, masks[:5].to_bitmap())
    shared.masks = np.where(np.arange(320) < 40, 0, shared.masks)
    assert not shared.to_ndarray()[:, :, :40].any()
    assert shared.areas.sum() > 0


def test_to_tensor():
    masks = cells()
    for dtype in (torch.float32, torch.bool, torch.uint8):
        ours = masks.to_tensor(dtype, 'cpu')
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, masks.to_bitmap().to_tensor(dtype, 'cpu'))


def test_lives_in_instance_data():
    masks = cells()
    data = InstanceData(masks=masks, labels=torch.zeros(20))
    third = torch.arange(20) % 3 == 0
    for index in (torch.tensor([5, 3]), third, np.array([1, 2]), slice(2, 9), 4):
        picked = data[index].masks
        positions = np.arange(20)[index.numpy() if isinstance(index, torch.Tensor) else index]
        assert_same(picked, masks.to_bitmap()[positions])
        assert picked.label_map is masks.label_map
    assert len(data.to('cpu').numpy()[torch.zeros(20, dtype=torch.bool)].masks) == 0
    assert len(InstanceData.cat([data, data]).masks) == 40


def test_copies_and_pickles_are_small():
    masks = cells().flip('diagonal').crop(np.array([10, 10, 110, 90]))
    stored = pickle.dumps(masks)
    assert len(stored) < 100 * 80 + 2000
    assert_same(pickle.loads(stored), masks.to_bitmap())
    assert_same(copy.deepcopy(masks), masks.to_bitmap())


def test_stock_visualizer_draws_it():
    masks = cells(60, 80, 3)
    data = InstanceData(
        masks=masks, labels=torch.zeros(3, dtype=torch.long), bboxes=masks.get_bboxes().tensor
    )
    image = np.zeros((60, 80, 3), np.uint8)
    drawn = DetLocalVisualizer()._draw_instances(image, data, ['cell'], None)
    assert (drawn != image).any()


def test_repr():
    masks = LabelMapMasks.from_map(np.zeros((10, 12), np.uint8), np.arange(1, 4))
    assert repr(masks) == 'LabelMapMasks(num_masks=3, height=10, width=12)'
