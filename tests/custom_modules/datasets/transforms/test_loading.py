"""LoadLabelMap and what follows it in a pipeline, against the stock way with bitmaps."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import mmdet.datasets.transforms
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from pycocotools import mask as coco_mask
from torch.utils.data import DataLoader

from cellkit import rle
from custom_modules.datasets.transforms.label_map_transforms import LabelMapAlbu, LabelMapCopyPaste
from custom_modules.datasets.transforms.loading import LoadLabelMap
from custom_modules.structures.label_map_masks import LabelMapMasks
from tests.custom_modules.structures.by_centres import by_centres

HEIGHT, WIDTH = 120, 160
ALBU = {
    'transforms': [
        {'type': 'ShiftScaleRotate', 'rotate_limit': 30, 'interpolation': 1, 'p': 1.0},
        {'type': 'RandomBrightnessContrast', 'p': 1.0},
    ],
    'bbox_params': {
        'type': 'BboxParams',
        'format': 'pascal_voc',
        'filter_lost_elements': True,
        'label_fields': ['gt_bboxes_labels', 'gt_ignore_flags'],
        'min_visibility': 0.3,
    },
}


@pytest.fixture(scope='module', autouse=True)
def _scope() -> None:
    register_all_modules(init_default_scope=True)


def make_record(folder: Path, seed: int = 0, num: int = 12) -> dict:
    """One image as CocoDataset hands it over: disjoint discs, two of them to be ignored."""
    generator = np.random.default_rng(seed)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    label_map = np.zeros((HEIGHT, WIDTH), np.int32)
    for k in range(1, num + 1):
        y, x = generator.uniform(0, HEIGHT), generator.uniform(0, WIDTH)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < generator.uniform(8, 20) ** 2
        label_map[disc & (label_map == 0)] = k
    path = folder / f'{seed}.png'
    cv2.imwrite(str(path), generator.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    instances = []
    for k, mask in enumerate(rle.encode_label_map(label_map, num)):
        x, y, w, h = coco_mask.toBbox(mask)
        if w and h:
            instances.append(
                {
                    'bbox': [x, y, x + w, y + h],
                    'bbox_label': k % 3,
                    'mask': mask,
                    'ignore_flag': int(k in (2, 5)),
                }
            )
    return {
        'img_path': str(path),
        'img_id': seed,
        'height': HEIGHT,
        'width': WIDTH,
        'instances': instances,
    }


@pytest.fixture
def record(tmp_path: Path) -> dict:
    return make_record(tmp_path)


def run(record: dict, load: dict, *steps: dict, seed: int = 0) -> dict | None:
    pipeline = Compose(
        [
            TRANSFORMS.build(step)
            for step in ({'type': 'LoadImageFromFile'}, load, *copy.deepcopy(steps))
        ]
    )
    np.random.seed(seed)  # noqa: NPY002 - what mmdet draws from
    random.seed(seed)
    return pipeline(copy.deepcopy(record))


STOCK = {'type': 'LoadAnnotations', 'with_mask': True}
OURS = {'type': 'LoadLabelMap'}


def both(record: dict, *steps: dict, seed: int = 0) -> tuple[dict, dict]:
    return run(record, OURS, *steps, seed=seed), run(record, STOCK, *steps, seed=seed)


def assert_same(ours: dict, stock: dict) -> None:
    assert (ours is None) == (stock is None)
    if ours is None:
        return
    for key in ('gt_bboxes_labels', 'gt_ignore_flags', 'img'):
        np.testing.assert_array_equal(ours[key], stock[key])
    torch.testing.assert_close(ours['gt_bboxes'].tensor, stock['gt_bboxes'].tensor)
    np.testing.assert_array_equal(ours['gt_masks'].to_ndarray(), stock['gt_masks'].to_ndarray())


EXACT = {
    'Resize': [{'type': 'Resize', 'scale': (97, 211), 'keep_ratio': True}],
    'Resize without keep_ratio': [{'type': 'Resize', 'scale': (90, 70)}],
    'RandomResize': [
        {'type': 'RandomResize', 'scale': (150, 100), 'ratio_range': (0.5, 2.0), 'keep_ratio': True}
    ],
    'RandomChoiceResize': [
        {'type': 'RandomChoiceResize', 'scales': [(80, 60), (300, 200)], 'keep_ratio': True}
    ],
    'RandomFlip': [
        {
            'type': 'RandomFlip',
            'prob': [0.3, 0.3, 0.3],
            'direction': ['horizontal', 'vertical', 'diagonal'],
        }
    ],
    'RandomCrop': [{'type': 'RandomCrop', 'crop_size': (60, 70)}],
    'RandomCrop, boxes anew': [
        {
            'type': 'RandomCrop',
            'crop_size': (60, 70),
            'recompute_bbox': True,
            'allow_negative_crop': True,
        }
    ],
    'a crop that may lose every cell': [
        {'type': 'RandomCrop', 'crop_size': (9, 9), 'allow_negative_crop': True},
        {'type': 'Resize', 'scale': (40, 40)},
        {'type': 'RandomFlip', 'prob': 1.0},
        {'type': 'Pad', 'size': (64, 64)},
    ],
    'MinIoURandomCrop': [{'type': 'MinIoURandomCrop'}],
    'Expand': [{'type': 'Expand'}],
    'Pad': [{'type': 'Pad', 'size_divisor': 64}],
    'RandomErasing': [{'type': 'RandomErasing', 'n_patches': 3, 'ratio': 0.3}],
    'TranslateX': [{'type': 'TranslateX', 'prob': 1.0, 'level': 3}],
    'FilterAnnotations': [
        {'type': 'RandomCrop', 'crop_size': (60, 70)},
        {'type': 'FilterAnnotations', 'by_mask': True, 'min_gt_mask_area': 150},
    ],
    'all together': [
        {
            'type': 'RandomResize',
            'scale': (200, 150),
            'ratio_range': (0.8, 1.25),
            'keep_ratio': True,
        },
        {'type': 'RandomFlip', 'prob': 0.5},
        {'type': 'RandomCrop', 'crop_size': (100, 100), 'recompute_bbox': True},
        {'type': 'FilterAnnotations'},
        {'type': 'Pad', 'size': (128, 128)},
    ],
}


@pytest.fixture
def stock_by_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock bitmaps are resized by the pixels' centres, as the image is; all else is as it was."""

    def of_its_size(stock: Callable) -> Callable:
        def resized(masks: BitmapMasks, size: tuple | float, *_: str) -> BitmapMasks:
            return by_centres(masks, *stock(masks, size).masks.shape[1:])

        return resized

    for name in ('resize', 'rescale'):
        monkeypatch.setattr(BitmapMasks, name, of_its_size(getattr(BitmapMasks, name)))


@pytest.mark.usefixtures('stock_by_centres')
@pytest.mark.parametrize('steps', EXACT.values(), ids=EXACT)
def test_as_with_bitmaps(record, steps):
    for seed in range(4):
        assert_same(*both(record, *steps, seed=seed))
    assert isinstance(run(record, OURS, *steps)['gt_masks'], LabelMapMasks)


@pytest.mark.parametrize(
    'step',
    [
        {'type': 'Rotate', 'prob': 1.0, 'level': 5},
        {'type': 'ShearX', 'prob': 1.0, 'level': 5},
        {'type': 'ShearY', 'prob': 1.0, 'level': 5},
        {'type': 'TranslateY', 'prob': 1.0, 'level': 3},
        {'type': 'RandAugment', 'aug_num': 2},
    ],
)
def test_geometric_transforms_differ_at_edges_only(record, step):
    ours, stock = both(record, step)
    assert isinstance(ours['gt_masks'], LabelMapMasks)
    torch.testing.assert_close(ours['gt_bboxes'].tensor, stock['gt_bboxes'].tensor)
    different = ours['gt_masks'].to_ndarray() != stock['gt_masks'].to_ndarray()
    assert different.sum() < 0.08 * stock['gt_masks'].areas.sum()


@pytest.mark.usefixtures('stock_by_centres')
@pytest.mark.parametrize(
    'step',
    [
        {'type': 'CachedMosaic', 'img_scale': (160, 160), 'prob': 1.0},
        {'type': 'CachedMixUp', 'img_scale': (120, 120), 'ratio_range': (1.0, 1.0), 'prob': 1.0},
    ],
)
def test_mixing_of_cached_images(tmp_path, step):
    results = []
    for load in (OURS, STOCK):
        transform = TRANSFORMS.build(copy.deepcopy(step))
        np.random.seed(3)  # noqa: NPY002
        random.seed(3)
        for seed in range(8):
            out = transform(run(make_record(tmp_path, seed), load, seed=seed))
        results.append(out)
    assert_same(*results)
    mosaic = step['type'] == 'CachedMosaic'
    assert isinstance(results[0]['gt_masks'], LabelMapMasks) == mosaic


def pasted(tmp_path: Path, transform: type, load: dict) -> dict:
    target, source = (run(make_record(tmp_path, seed), load) for seed in (1, 2))
    np.random.seed(0)  # noqa: NPY002
    return transform(max_num_pasted=9)(target | {'mix_results': [source]})


def test_copy_paste(tmp_path):
    stock_class = mmdet.datasets.transforms.CopyPaste
    stock = pasted(tmp_path, stock_class, STOCK)
    assert len(stock['gt_masks']) > 12
    assert_same(pasted(tmp_path, stock_class, OURS), stock)
    ours = pasted(tmp_path, LabelMapCopyPaste, OURS)
    assert_same(ours, stock)
    assert isinstance(ours['gt_masks'], LabelMapMasks)
    assert ours['img'].dtype == np.uint8
    assert_same(pasted(tmp_path, LabelMapCopyPaste, STOCK), stock)


def albu(record: dict, load: dict, name: str, seed: int, **config) -> dict:
    out = run(record, load, seed=seed)
    transform = TRANSFORMS.build({'type': name, **copy.deepcopy(ALBU | config)})
    transform.aug.set_random_seed(seed)
    return transform(out)


WITHOUT_RESAMPLING = [
    {'type': 'D4', 'p': 1.0},
    {'type': 'RandomCrop', 'height': 70, 'width': 90},
    {'type': 'PadIfNeeded', 'min_height': 200, 'min_width': 200},
]


@pytest.mark.parametrize('count', [12, 1])
def test_albu_on_the_map_is_albu_on_bitmaps(record, count):
    record['instances'] = record['instances'][:count]
    for seed in range(3):
        for steps in (ALBU['transforms'], WITHOUT_RESAMPLING):
            stock = albu(record, STOCK, 'Albu', seed, transforms=steps)
            assert_same(albu(record, OURS, 'Albu', seed, transforms=steps), stock)
            assert_same(albu(record, STOCK, 'LabelMapAlbu', seed, transforms=steps), stock)
        ours = albu(record, OURS, 'LabelMapAlbu', seed, transforms=steps)
        assert_same(ours, stock)
        assert isinstance(ours['gt_masks'], LabelMapMasks)


def test_albu_warps_the_map_to_the_nearest_pixel(record):
    ours = albu(record, OURS, 'LabelMapAlbu', 0)
    stock = albu(record, STOCK, 'Albu', 0)  # blends masks, as this version of albumentations does
    torch.testing.assert_close(ours['gt_bboxes'].tensor, stock['gt_bboxes'].tensor)
    different = ours['gt_masks'].to_ndarray() != stock['gt_masks'].to_ndarray()
    assert different.sum() < 0.05 * stock['gt_masks'].areas.sum()
    assert set(np.unique(ours['gt_masks'].label_map)) <= set(range(13))


def test_albu_that_loses_every_cell(record):
    crop = {
        'transforms': [{'type': 'Crop', 'x_max': 2, 'y_max': 2}],
        'bbox_params': copy.deepcopy(ALBU['bbox_params']),
    }
    kept = LabelMapAlbu(**copy.deepcopy(crop))(run(record, OURS))
    assert len(kept['gt_masks']) == len(kept['gt_bboxes']) == 0
    assert (kept['gt_masks'].height, kept['gt_masks'].width) == (2, 2)
    assert LabelMapAlbu(**crop, skip_img_without_anno=True)(run(record, OURS)) is None


def test_packed_sample(record):
    ours, stock = both(record, {'type': 'PackDetInputs'})
    for part in ('gt_instances', 'ignored_instances'):
        a, b = getattr(ours['data_samples'], part), getattr(stock['data_samples'], part)
        np.testing.assert_array_equal(a.masks.to_ndarray(), b.masks.to_ndarray())
        assert torch.equal(a.labels, b.labels)
        assert len(a) > 0


def test_image_without_cells(record):
    assert_same(
        *both(
            record | {'instances': []},
            {'type': 'Resize', 'scale': (50, 50)},
            {
                'type': 'RandomCrop',
                'crop_size': (20, 20),
                'allow_negative_crop': True,
                'recompute_bbox': True,
            },
        )
    )


def test_polygons_and_plain_run_lengths_become_a_map(record):
    polygon = [[10.0, 10, 40, 12, 38, 50, 9, 45], [100.0, 70, 120, 70, 120, 90]]
    plain = {'size': [HEIGHT, WIDTH], 'counts': [60 * HEIGHT + 20, 30, HEIGHT * WIDTH]}
    plain['counts'][-1] -= sum(plain['counts'][:-1])
    record['instances'] = record['instances'][:2]
    for instance, mask in zip(record['instances'], (polygon, plain), strict=True):
        instance['mask'] = mask
    ours = run(record, OURS)
    assert isinstance(ours['gt_masks'], LabelMapMasks)
    rles = [
        coco_mask.merge(coco_mask.frPyObjects(polygon, HEIGHT, WIDTH)),
        coco_mask.frPyObjects(plain, HEIGHT, WIDTH),
    ]
    np.testing.assert_array_equal(
        ours['gt_masks'].to_ndarray(), [coco_mask.decode(item) for item in rles]
    )


@pytest.mark.parametrize('broken', [[], [[1.0, 2.0]], {'size': [HEIGHT, WIDTH]}, {'counts': '1'}])
def test_unusable_mask_is_ignored_as_in_stock(record, broken):
    record['instances'][0]['mask'] = broken
    assert_same(*both(record))
    assert run(record, OURS)['gt_ignore_flags'][0]


def test_overlapping_masks_are_loaded_as_bitmaps_with_one_message(record, caplog):
    record['instances'][1]['mask'] = record['instances'][0]['mask']
    load = LoadLabelMap()
    image = run(record, {'type': 'LoadAnnotations'})
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        results = [load(copy.deepcopy(image)) for _ in range(2)]
    finally:
        logger.removeHandler(caplog.handler)
    assert ['masks overlap' in message for message in caplog.messages] == [True]
    assert type(results[0]['gt_masks']) is BitmapMasks
    assert_same(results[1], run(record, STOCK))


def test_mask_of_another_size_names_the_image(record):
    record['instances'][0]['mask'] = {'size': [5, 5], 'counts': 'i0'}
    with pytest.raises(ValueError, match=r'0\.png'):
        run(record, OURS)


def test_polygon_masks_on_request(record):
    for instance in record['instances']:
        x1, y1, x2, y2 = instance['bbox']
        instance['mask'] = [[x1, y1, x2, y1, x2, y2]]
    masks = run(record, OURS | {'poly2mask': False})['gt_masks']
    assert type(masks).__name__ == 'PolygonMasks'


def test_travels_through_loader_workers(tmp_path):
    steps = (
        {'type': 'RandomFlip', 'prob': 1.0},
        {'type': 'RandomCrop', 'crop_size': (50, 50)},
        {'type': 'PackDetInputs'},
    )
    samples = [run(make_record(tmp_path, seed), OURS, *steps) for seed in range(2)]
    for batch, sample in zip(
        DataLoader(samples, num_workers=1, collate_fn=pseudo_collate), samples, strict=True
    ):
        masks = batch['data_samples'][0].gt_instances.masks
        np.testing.assert_array_equal(
            masks.to_ndarray(), sample['data_samples'].gt_instances.masks.to_ndarray()
        )


TINY_MASK_RCNN = {
    'type': 'MaskRCNN',
    'data_preprocessor': {'type': 'DetDataPreprocessor', 'pad_mask': True, 'pad_size_divisor': 32},
    'backbone': {
        'type': 'ResNet',
        'depth': 18,
        'base_channels': 8,
        'num_stages': 1,
        'strides': (1,),
        'dilations': (1,),
        'out_indices': (0,),
    },
    'neck': {'type': 'ChannelMapper', 'in_channels': [8], 'out_channels': 8},
    'rpn_head': {
        'type': 'RPNHead',
        'in_channels': 8,
        'feat_channels': 8,
        'anchor_generator': {
            'type': 'AnchorGenerator',
            'scales': [8],
            'ratios': [1.0],
            'strides': [4],
        },
        'bbox_coder': {'type': 'DeltaXYWHBBoxCoder'},
    },
    'roi_head': {
        'type': 'StandardRoIHead',
        'bbox_roi_extractor': {
            'type': 'SingleRoIExtractor',
            'out_channels': 8,
            'roi_layer': {'type': 'RoIAlign', 'output_size': 7},
            'featmap_strides': [4],
        },
        'bbox_head': {
            'type': 'Shared2FCBBoxHead',
            'in_channels': 8,
            'fc_out_channels': 8,
            'num_classes': 3,
            'bbox_coder': {'type': 'DeltaXYWHBBoxCoder'},
        },
        'mask_roi_extractor': {
            'type': 'SingleRoIExtractor',
            'out_channels': 8,
            'roi_layer': {'type': 'RoIAlign', 'output_size': 14},
            'featmap_strides': [4],
        },
        'mask_head': {
            'type': 'FCNMaskHead',
            'num_convs': 1,
            'in_channels': 8,
            'conv_out_channels': 8,
            'num_classes': 3,
        },
    },
    'train_cfg': {
        'rpn': {
            'assigner': {
                'type': 'MaxIoUAssigner',
                'pos_iou_thr': 0.5,
                'neg_iou_thr': 0.3,
                'min_pos_iou': 0.3,
            },
            'sampler': {'type': 'RandomSampler', 'num': 64, 'pos_fraction': 0.5},
            'allowed_border': -1,
            'pos_weight': -1,
        },
        'rpn_proposal': {
            'nms_pre': 200,
            'max_per_img': 100,
            'nms': {'type': 'nms', 'iou_threshold': 0.7},
            'min_bbox_size': 0,
        },
        'rcnn': {
            'assigner': {
                'type': 'MaxIoUAssigner',
                'pos_iou_thr': 0.5,
                'neg_iou_thr': 0.5,
                'min_pos_iou': 0.5,
                'match_low_quality': True,
            },
            'sampler': {
                'type': 'RandomSampler',
                'num': 64,
                'pos_fraction': 0.5,
                'add_gt_as_proposals': True,
            },
            'mask_size': 28,
            'pos_weight': -1,
        },
    },
    'test_cfg': {'rpn': {}, 'rcnn': {}},
}


def test_training_loss_is_that_of_bitmaps(tmp_path):
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(copy.deepcopy(TINY_MASK_RCNN)))
    losses = []
    for load in (OURS, STOCK):
        samples = [
            run(make_record(tmp_path, seed), load, {'type': 'PackDetInputs'}) for seed in range(2)
        ]
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        data = model.data_preprocessor(pseudo_collate(samples), training=True)
        losses.append(model(**data, mode='loss')['loss_mask'])
    assert losses[0] > 0
    torch.testing.assert_close(*losses, rtol=1e-4, atol=0)
