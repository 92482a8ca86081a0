"""One pair: exact to the pixel, and read as training reads it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import tifffile
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from data_prep.coco import coco_dict
from data_prep.convert import Converted, InstanceRule, convert_pair
from data_prep.pairs import Pair

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=30)).filter(
    lambda mask: mask.any() and not mask.all()
)


# A component of two pixels whose seeds lie beside it.
BESIDE = np.array([[1, 0, 0, 0], *[[0] * 4] * 4, [1, 1, 0, 0], [0, 0, 1, 1]], bool)


@given(masks, st.sampled_from([4, 8]), st.integers(1, 6), st.booleans())
@example(BESIDE, 8, 1, True)
@settings(max_examples=60, deadline=None)
def test_united_instances_are_the_mask_less_the_specks(mask, connectivity, min_area, split):
    pair = Pair('train', 'a', 'image.png', 'mask.png')
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(f'{folder}/image.png', np.full((*mask.shape, 3), 90, np.uint8))
        cv2.imwrite(f'{folder}/mask.png', mask.astype(np.uint8) * 255)
        rule = InstanceRule(connectivity=connectivity, min_area=min_area, split_touching=split)
        item = convert_pair(Path(folder), pair, rule)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    large = stats[:, cv2.CC_STAT_AREA] >= min_area
    large[0] = False
    assume(large.any())
    assert isinstance(item, Converted)
    bitmaps = coco_mask.decode(item.rles)
    np.testing.assert_array_equal(bitmaps.sum(2), large[labels])  # 1, never 2: no overlap
    assert sorted(item.specks) == sorted(stats[1:count][~large[1:], cv2.CC_STAT_AREA])
    assert item.areas == [int(v) for v in bitmaps.sum((0, 1))]
    assert item.boxes == [list(cv2.boundingRect(bitmaps[..., k])) for k in range(len(item.rles))]
    assert (item.height, item.width) == mask.shape


def test_more_cells_than_a_byte_counts(tmp_path: Path) -> None:
    """pycocotools' own measuring fails on more than 255 masks."""
    grid = np.kron(np.ones((18, 18), np.uint8), np.pad(np.full((4, 4), 255, np.uint8), 1))
    cv2.imwrite(str(tmp_path / 'image.png'), np.full((*grid.shape, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / 'mask.png'), grid)
    pair = Pair('train', 'a', 'image.png', 'mask.png')
    item = convert_pair(tmp_path, pair, InstanceRule(min_area=1))
    assert item.areas == [16] * 324
    assert item.boxes[1] == [7, 1, 4, 4]


def test_the_pixel_size_of_a_file_goes_into_the_data_set(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:16, 5:20] = 255
    cv2.imwrite(str(tmp_path / 'mask.png'), mask)
    tags = dict(resolution=(40000, 40000), resolutionunit='CENTIMETER')
    picture = np.full((20, 30, 3), 90, np.uint8)
    tifffile.imwrite(tmp_path / 'told.tif', picture, photometric='rgb', **tags)
    cv2.imwrite(str(tmp_path / 'untold.png'), picture)
    images = ['told.tif', 'untold.png']
    pairs = [Pair('train', name, name, 'mask.png') for name in images]
    found = [convert_pair(tmp_path, pair, InstanceRule()) for pair in pairs]
    told, untold = coco_dict(found, {'told.tif': 1, 'untold.png': 2}, {})['images']
    assert told['pixel_size_um'] == 0.25
    assert 'pixel_size_um' not in untold
