"""A model that works in tiles finds what ``tools.predict`` finds in them, wherever it is run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from cellkit.errors import BadSetting
from cellkit.rle import decode_to_label_map
from cellkit.smears.smear import draw_smear
from tools.predict.detector import Detector
from tools.runs.run import BOX, Checkpoint, load_checkpoint

ROOT = Path(__file__).parents[3]
SIZE, TILE = (360, 480), (200, 280)
PATCHES = ROOT / 'configs/patches/bccd_hybrid_mask_rcnn_cpu_patches.py'


def opened(size: tuple[int, int] = SIZE, **model: object) -> Checkpoint:
    """The model in the box by the patches' config, which sees pictures of this size as they are."""
    config = Config.fromfile(PATCHES)
    config.model.update(precision='float32', **model)
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = size[::-1]
    content = load_checkpoint(BOX / 'model.safetensors')
    return Checkpoint(BOX / 'model.safetensors', content['state_dict'], config, '', content)


@pytest.fixture(scope='module')
def picture() -> np.ndarray:
    return draw_smear(np.random.default_rng(3), SIZE)[0][..., ::-1].copy()


@pytest.fixture(scope='module')
def whole(picture: np.ndarray) -> dict:
    """What the model itself gives for the whole picture."""
    init_default_scope('mmdet')
    detector = Detector(opened(tile=TILE), 'cpu', 0.5)
    data = detector.pipeline({'img': picture, 'img_id': 0})
    with torch.inference_mode():
        (found,) = detector.model.test_step({key: [value] for key, value in data.items()})
    return {'detector': detector, 'sample': found, 'cells': detector(picture)}


def test_the_tiles_are_those_of_predict(picture: np.ndarray, whole: dict) -> None:
    plain = opened(TILE, type='MixedPrecisionMaskRCNN')
    del plain.config.model['tile']
    wanted = Detector(plain, 'cpu', 0.5, tile=TILE)(picture)
    assert len(wanted.scores) > 10
    found = whole['cells']
    order, theirs = np.argsort(found.scores), np.argsort(wanted.scores)
    np.testing.assert_array_equal(found.scores[order], wanted.scores[theirs])
    np.testing.assert_array_equal(found.label_map > 0, wanted.label_map > 0)
    for one, other in zip(order + 1, theirs + 1, strict=True):
        np.testing.assert_array_equal(found.label_map == one, wanted.label_map == other)


def test_what_is_evaluated_is_what_predict_draws(whole: dict) -> None:
    instances = whole['sample'].pred_instances
    sure = (instances.scores >= 0.5).numpy()
    drawn = whole['cells'].label_map
    label_map = decode_to_label_map(
        [rle for rle, yes in zip(instances.masks, sure, strict=True) if yes],
        np.arange(sure.sum()),
        SIZE,
    )
    np.testing.assert_array_equal(label_map > 0, drawn > 0)
    assert label_map.max() == drawn.max()
    assert (~sure).any()  # average precision is that of all scores


def test_no_two_cells_share_a_pixel_and_boxes_are_tight(whole: dict) -> None:
    instances = whole['sample'].pred_instances
    masks = np.stack(
        [decode_to_label_map([m], np.zeros(1, int), SIZE) > 0 for m in instances.masks]
    )
    assert masks.sum(0).max() == 1
    for mask, box in zip(masks, instances.bboxes.tolist(), strict=True):
        ys, xs = np.nonzero(mask)
        assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_a_picture_without_cells(whole: dict) -> None:
    detector = whole['detector']
    data = detector.pipeline({'img': np.full((*SIZE, 3), 220, np.uint8), 'img_id': 0})
    detector.model.test_cfg.rcnn.score_thr = 0.999
    with torch.inference_mode():
        (found,) = detector.model.val_step({key: [value] for key, value in data.items()})
    assert len(found.pred_instances) == 0


def test_a_tile_that_is_none_is_refused() -> None:
    init_default_scope('mmdet')
    for tile in ((32, 64), (64,)):
        with pytest.raises(BadSetting, match=r'model\.tile is'):
            MODELS.build(opened(tile=tile).config.model)
