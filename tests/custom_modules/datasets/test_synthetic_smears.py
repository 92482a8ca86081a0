"""Smears drawn in the data loader: the same for an index, another for each, labelled as loaded."""

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from torch.utils.data import DataLoader

from cellkit.instances import label_instances
from custom_modules import BCCDDataset, LabelMapMasks, SyntheticSmears

FIELD = dict(size=(160, 120), scale=(512, 384))


def build(**changed) -> SyntheticSmears:
    return DATASETS.build(dict(type='SyntheticSmears', **{**FIELD, **changed}))


def test_an_index_is_always_the_same_field_and_every_index_another():
    first, again, other = build(), build(), build(seed=1)
    pictures = [first[i]['img'] for i in range(4)]
    assert all(np.array_equal(again[i]['img'], pictures[i]) for i in (3, 1, 0, 2))
    assert not any(np.array_equal(pictures[i], pictures[j]) for i in range(4) for j in range(i))
    assert not np.array_equal(other[0]['img'], pictures[0])


def test_processes_change_nothing():
    fields = build(length=4)
    for workers in (0, 2):
        loader = DataLoader(fields, batch_size=None, num_workers=workers)
        images = [item['img'] for item in loader]
        if not workers:
            expected = images
    assert all(np.array_equal(a, b) for a, b in zip(images, expected, strict=True))


def test_what_the_loading_transforms_would_leave():
    item = build()[5]
    masks, boxes = item['gt_masks'], item['gt_bboxes']
    assert item['img'].shape == (120, 160, 3)
    assert item['img'].dtype == np.uint8
    assert item['ori_shape'] == item['img_shape'] == (120, 160)
    assert isinstance(masks, LabelMapMasks)
    assert len(masks) == len(boxes) == len(item['gt_bboxes_labels']) > 0
    assert np.array_equal(masks.get_bboxes().tensor, boxes.tensor)
    assert (masks.areas > 0).all()
    assert not item['gt_ignore_flags'].any()
    assert not item['gt_bboxes_labels'].any()


def test_image_is_bgr_and_cells_are_dark():
    blue = darker = 0
    for i in range(20):
        item = build(look='indigo', size=(320, 240))[i]
        cells = item['gt_masks'].label_map > 0
        image = item['img'].astype(float)
        blue += image[cells][:, 0].mean() > image[cells][:, 2].mean()
        darker += image[cells].mean() < image[~cells].mean() - 30
    assert blue == darker == 20


def test_masks_follow_the_instance_rule():
    for i in range(10):
        label_map = build(joined=0.0, size=(320, 240))[i]['gt_masks'].label_map
        assert label_instances(label_map > 0)[0].max() == label_map.max()


def test_cells_have_the_size_of_the_whole_images_scale():
    areas = {}
    for width in (512, 1024):
        fields = build(size=(512, 384), scale=(width, 384), ratio_range=(1, 1), look='lilac')
        areas[width] = np.median(np.concatenate([fields[i]['gt_masks'].areas for i in range(10)]))
    assert areas[1024] / 0.64**2 == pytest.approx(9250, rel=0.15)
    assert areas[1024] / areas[512] == pytest.approx(4, rel=0.25)


def test_turned_down_fields_are_passed_over():
    shown = build(pipeline=[lambda results: results if results['img_id'] >= 7 else None])
    assert shown[2]['img_id'] == 7
    with pytest.raises(RuntimeError, match='turned down by the pipeline'):
        build(size=(40, 30), pipeline=[lambda results: None])[0]


def test_fields_without_a_cell_are_passed_over():
    fields = build(size=(60, 45))
    counts = [len(fields.get_data_info(i)['gt_masks']) for i in range(20)]
    assert 0 in counts
    assert all(len(fields[i]['gt_masks']) for i in range(20))


def test_length_repeats_and_counts_from_the_end():
    fields = build(length=3)
    assert len(fields) == 3
    assert fields[-1]['img_id'] == 2


def test_metainfo_is_the_real_data_set_s():
    assert build().metainfo == BCCDDataset.METAINFO
    assert build(metainfo=dict(note='x')).metainfo['note'] == 'x'


@pytest.mark.parametrize('wrong', [dict(size=(0, 10)), dict(ratio_range=(2, 1)), dict(length=0)])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match='SyntheticSmears'):
        build(**wrong)


def test_an_unknown_look_is_refused():
    with pytest.raises(KeyError):
        build(look='neon')


def test_the_picture_is_not_a_view_that_opencv_refuses():
    cv2.GaussianBlur(build()[0]['img'], (3, 3), 0)
