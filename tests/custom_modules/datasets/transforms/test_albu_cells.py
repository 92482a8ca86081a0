"""albumentations on label maps: exact where it can be, masks left alone where they should be."""

from __future__ import annotations

import copy
from pathlib import Path

import albumentations
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets.transforms import PhotoMetricDistortion
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config

from cellkit.errors import UserError
from custom_modules import AlbuCells
from tests.custom_modules.datasets.transforms.drawn import assert_consistent, results, seeded

FRAGMENTS = Path(__file__).parents[4] / 'configs' / '_base_' / 'augment'


def fragment(name: str) -> dict:
    """The step of albumentations in a fragment."""
    (steps,) = Config.fromfile(FRAGMENTS / f'{name}.py').to_dict().values()
    return next(step for step in steps if step['type'] == 'AlbuCells')


def made(step: dict) -> AlbuCells:
    return AlbuCells(**{key: value for key, value in step.items() if key != 'type'})


@settings(max_examples=40, deadline=None)
@given(data=st.integers(0, 500), seed=st.integers(0, 10_000))
def test_right_angles_and_flips_lose_nothing_and_can_be_undone(data: int, seed: int) -> None:
    before = results(data)
    out = seeded(made(fragment('geometry')), copy.deepcopy(before), seed)
    assert_consistent(out)
    np.testing.assert_array_equal(out['gt_bboxes_labels'], before['gt_bboxes_labels'])
    np.testing.assert_array_equal(out['gt_masks'].areas, before['gt_masks'].areas)
    undone = []
    for turns in range(4):  # one of the eight symmetries undoes it, for image and map alike
        for flip in (1, -1):
            image = np.rot90(out['img'], turns)[:, ::flip]
            label_map = np.rot90(out['gt_masks'].label_map, turns)[:, ::flip]
            undone.append(
                np.array_equal(image, before['img'])
                and np.array_equal(label_map, before['gt_masks'].label_map)
            )
    assert any(undone)


@pytest.mark.parametrize('name', ['optics', 'colour'])
def test_light_and_colour_leave_the_cells_untouched(name: str) -> None:
    transform, changed = made(fragment(name)), 0
    for seed in range(12):
        before = results(seed)
        out = seeded(transform, copy.deepcopy(before), seed)
        changed += not np.array_equal(out['img'], before['img'])
        assert out['img'].dtype == np.uint8
        assert_consistent(out)
        np.testing.assert_array_equal(out['gt_masks'].label_map, before['gt_masks'].label_map)
        np.testing.assert_array_equal(out['gt_bboxes_labels'], before['gt_bboxes_labels'])
    assert changed > 6


def test_the_same_seed_gives_the_same_sample_and_another_another() -> None:
    transform = made(fragment('optics'))
    images = [seeded(transform, results(), seed)['img'] for seed in (*range(8), *range(8))]
    for one, again in zip(images[:8], images[8:], strict=True):
        np.testing.assert_array_equal(one, again)
    assert len({image.tobytes() for image in images}) > 5
    fresh = seeded(made(fragment('optics')), results(), 3)['img']
    np.testing.assert_array_equal(fresh, images[3])


def test_each_step_draws_numbers_of_its_own() -> None:
    """albumentations seeds all steps of a list alike, so that all are applied or none."""
    flips = [dict(type='HorizontalFlip', p=0.5), dict(type='VerticalFlip', p=0.5)]
    transform, image, seen = AlbuCells(flips), results()['img'], set()
    for seed in range(40):
        out = seeded(transform, results(), seed)['img']
        flipped = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
        seen |= {k for k, other in enumerate(flipped) if np.array_equal(out, other)}
    assert seen == {0, 1, 2, 3}


def test_a_cell_with_too_little_left_is_dropped() -> None:
    before = results(3)
    crop = dict(type='Crop', x_min=30, y_min=0, x_max=100, y_max=90)
    for least in (0.0, 0.5, 1.0):
        out = seeded(AlbuCells([crop], least), copy.deepcopy(before), 0)
        assert_consistent(out)
        inside = before['gt_masks'].label_map[:, 30:100]
        left = np.bincount(inside.ravel(), minlength=256)[before['gt_masks'].ids]
        wanted = (left > 0) & (left >= least * before['gt_masks'].areas)
        np.testing.assert_array_equal(out['gt_bboxes_labels'], np.flatnonzero(wanted))


def test_masks_that_overlap_are_turned_too() -> None:
    before = results(1)
    before['gt_masks'] = before['gt_masks'].to_bitmap()
    out = seeded(made(fragment('geometry')), copy.deepcopy(before), 5)
    assert type(out['gt_masks']) is BitmapMasks
    mapped = seeded(made(fragment('geometry')), results(1), 5)
    np.testing.assert_array_equal(out['gt_masks'].masks, mapped['gt_masks'].to_ndarray())
    assert_consistent(out)


def test_without_cells_and_after_mmdetection_s_floats() -> None:
    empty = results(num=0)
    assert_consistent(seeded(made(fragment('geometry')), empty, 1))
    floats = PhotoMetricDistortion()(results())
    assert floats['img'].dtype == np.float32
    out = seeded(AlbuCells([dict(type='NoOp')]), dict(floats), 1)
    assert out['img'].dtype == np.uint8
    assert np.abs(out['img'] - np.clip(floats['img'], 0, 255)).max() <= 0.5


def test_colours_reach_albumentations_as_rgb() -> None:
    step = dict(type='HueSaturationValue', hue_shift_limit=(20, 20), p=1.0)
    step |= dict(sat_shift_limit=0, val_shift_limit=0)
    image = np.full((8, 8, 3), (40, 90, 200), np.uint8)  # BGR
    out = AlbuCells([step])(dict(img=image))['img']
    kind = {key: value for key, value in step.items() if key != 'type'}
    peer = albumentations.HueSaturationValue(**kind)(image=image[..., ::-1].copy())['image']
    np.testing.assert_array_equal(out, peer[..., ::-1])


@pytest.mark.parametrize(
    ('step', 'said'),
    [
        (dict(type='GausNoise'), 'the nearest is GaussNoise'),
        (dict(type='GaussNoise', std=3), r'steps\.0: GaussNoise'),
        (dict(type='OneOf', transforms=[dict(type='Blurr')]), r'steps\.0\.transforms\.0\.type'),
        (dict(p=1.0), 'has no None'),
    ],
)
def test_a_wrong_step_is_one_sentence(step: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        AlbuCells([step])
