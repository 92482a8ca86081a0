"""Transforms of albumentations for dense instances."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import albumentations
import cv2
import numpy as np
from albumentations.core.composition import BaseCompose
from albumentations.core.transforms_interface import BasicTransform
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks

from cellkit.errors import BadSetting
from custom_modules.datasets.transforms.kept_cells import check_share, keep_cells
from custom_modules.structures.label_map_masks import LabelMapMasks

Step = BasicTransform | BaseCompose


@TRANSFORMS.register_module()
class AlbuCells(BaseTransform):
    """Steps of albumentations on an image and the label map of its cells.

    Unlike MMDetection's ``Albu`` it

    - warps one map instead of a bitmap a cell, and takes the nearest label;
    - takes boxes from the masks, so that they stay tight, and needs no ``bbox_params``;
    - draws from numpy's global generator, which is seeded for each image (albumentations draws
      from its own, which loader workers inherit, all in the same state), and seeds each step by
      itself (albumentations gives all steps of one list the same numbers);
    - hands albumentations RGB, as its colours expect, not BGR;
    - refuses an unknown argument, of which albumentations only warns.

    Required keys: ``img`` (H, W, 3) BGR, 0 to 255, which is uint8 then; ``gt_masks``,
    ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags`` if there are any. All of them are
    modified, and ``img_shape``.

    Args:
        steps: Dicts of a class' name in ``albumentations`` as ``type`` and its arguments;
            ``OneOf`` and the like take ``transforms``, a list of such dicts.
        min_visible: Least share of its area that a cell must keep, else it is dropped: in the data
            a cell cut by the border is labelled if about half of it is visible. A step that
            shrinks cells that much would drop them all: scale with ``RandomResize``.

    Raises:
        UserError: A step can't be built.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]], min_visible: float = 0.5) -> None:
        self.steps = [_build(step, f'steps.{k}') for k, step in enumerate(steps)]
        self.compose = albumentations.Compose(self.steps)
        self.min_visible = check_share('AlbuCells.min_visible', min_visible)

    @cache_randomness
    def _seeds(self, count: int) -> list[int]:
        return np.random.randint(1 << 31, size=count).tolist()  # noqa: NPY002 - seeded in workers

    def transform(self, results: dict) -> dict:
        """Changes image and cells."""
        everything = [self.compose, *_inside(self.steps)]
        for step, seed in zip(everything, self._seeds(len(everything)), strict=True):
            step.set_random_seed(seed)
        given = {'image': _rgb(results['img'])}
        masks = results.get('gt_masks')
        if isinstance(masks, LabelMapMasks):
            given['mask'] = np.ascontiguousarray(masks.label_map)
        elif masks is not None and len(masks):  # they overlap
            given['mask'] = np.ascontiguousarray(masks.to_ndarray().transpose(1, 2, 0))
        done = self.compose(**given)
        results['img'] = cv2.cvtColor(done['image'], cv2.COLOR_RGB2BGR)
        results['img_shape'] = results['img'].shape[:2]
        # Light and colour hand the map back as it came: nothing to measure.
        if 'mask' in given and done['mask'] is not given['mask']:
            before = np.asarray(masks.areas)
            masks = _masks_of(done['mask'], masks)
            areas = np.asarray(masks.areas)
            keep_cells(results, masks, (areas > 0) & (areas >= self.min_visible * before))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(steps={self.steps}, min_visible={self.min_visible})'


def _rgb(image: np.ndarray) -> np.ndarray:
    """8 bits again: MMDetection's PhotoMetricDistortion leaves float32, some of it above 255."""
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _masks_of(mask: np.ndarray, before: BitmapMasks) -> BitmapMasks:
    if isinstance(before, LabelMapMasks):
        return LabelMapMasks.from_map(mask, before.ids)
    layers = mask[..., None] if mask.ndim == 2 else mask
    return BitmapMasks(np.ascontiguousarray(layers.transpose(2, 0, 1)), *mask.shape[:2])


def _inside(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, those within others too, the outer one first."""
    for step in steps:
        yield step
        yield from _inside(getattr(step, 'transforms', ()))


def step_class(name: object) -> type[Step] | None:
    """The class of albumentations that a step names, None if there is none."""
    found = getattr(albumentations, name, None) if isinstance(name, str) else None
    return found if inspect.isclass(found) and issubclass(found, Step) else None


@cache
def step_names() -> frozenset[str]:
    """Names of all steps that albumentations has."""
    return frozenset(name for name in dir(albumentations) if step_class(name))


def _build(step: Mapping[str, Any], where: str) -> Step:
    kind, arguments = step_class(step.get('type')), dict(step)
    name = arguments.pop('type', None)
    if kind is None:
        near = difflib.get_close_matches(str(name), sorted(step_names()), 1)
        hint = f'the nearest is {near[0]}' if near else 'see its documentation'
        raise BadSetting(f'AlbuCells.{where}.type: albumentations has no {name}, {hint}')
    if 'transforms' in arguments:
        arguments['transforms'] = [
            _build(inner, f'{where}.transforms.{k}')
            for k, inner in enumerate(arguments['transforms'])
        ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', UserWarning)
            return kind(**arguments)
    except (TypeError, ValueError, UserWarning) as error:
        reason = ' '.join(str(error).split())[:200]
        raise BadSetting(f"AlbuCells.{where}: {name} can't be made ({reason})") from error
