"""Results of a pipeline after loading: discs on a smear, some of them ignored."""

from __future__ import annotations

import numpy as np
from mmdet.structures.bbox import HorizontalBoxes

from custom_modules.structures.label_map_masks import LabelMapMasks


def results(seed: int = 0, shape: tuple[int, int] = (90, 130), num: int = 9) -> dict:
    """Disjoint discs, also such as the border cuts; every fourth is ignored."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    label_map = np.zeros(shape, np.uint8)
    for k in range(1, num + 1):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        disc = (rows - y) ** 2 + (columns - x) ** 2 < rng.uniform(5, 13) ** 2
        label_map[disc & (label_map == 0)] = k
    image = rng.integers(180, 220, (*shape, 3), np.uint8)
    image[label_map > 0] -= 90
    masks = LabelMapMasks.from_map(label_map, np.flatnonzero(np.bincount(label_map.ravel()))[1:])
    count = len(masks)
    return dict(
        img=image,
        img_shape=shape,
        gt_masks=masks,
        gt_bboxes=HorizontalBoxes(masks.get_bboxes('hbox').tensor.clone()),
        gt_bboxes_labels=np.arange(count),  # tells them apart
        gt_ignore_flags=np.arange(count) % 4 == 3,
    )


def seeded(transform: object, given: dict, seed: int) -> dict:
    """A transform's output with numpy's global numbers seeded."""
    np.random.seed(seed)  # noqa: NPY002 - what MMDetection draws from
    return transform(given)


def assert_consistent(out: dict) -> None:
    """One box, label and flag a mask, none without a pixel, boxes tight."""
    masks = out['gt_masks']
    assert (masks.height, masks.width) == out['img'].shape[:2] == tuple(out['img_shape'])
    assert (np.asarray(masks.areas) > 0).all()
    tight = masks.get_bboxes('hbox').tensor
    np.testing.assert_array_equal(out['gt_bboxes'].tensor, tight)
    assert len(out['gt_bboxes_labels']) == len(out['gt_ignore_flags']) == len(masks)
    np.testing.assert_array_equal(out['gt_ignore_flags'], out['gt_bboxes_labels'] % 4 == 3)
