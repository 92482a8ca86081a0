"""Run a trained detector on a picture in memory, whole or in tiles."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.image import rescale_size
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope

from cellkit.rle import encode_crops, encode_label_map
from cellkit.tiles import Piece, Window, merge_pieces, pieces_of, tile_windows
from cellkit.visible import visible_cells
from tools.errors import UserError

RESIZERS = ('Resize', 'FixScaleResize')
ANNOTATION_STEPS = ('FilterAnnotations',)  # and all that load anything but the image


class Cells(NamedTuple):
    """The cells of one picture.

    Attributes:
        label_map: (H, W) int32, 0 background, 1..N; overlaps are resolved by score.
        scores: (N,) float64, of labels 1..N.
        resolution: Sides of one pixel of what the network saw, in pixels of the picture.
        full: Whether the network gave as many detections as it may, so that cells may be missing.
    """

    label_map: np.ndarray
    scores: np.ndarray
    resolution: float
    full: bool


def pick_device(name: str | None = None) -> str:
    """The device that was named, else the GPU if there is one.

    Raises:
        UserError: The device isn't there.
    """
    name = name or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name} can't be used ({reason}); try --device cpu") from error
    return name


class Detector:
    """A model and its test pipeline.

    Args:
        config: Of the training run.
        weights: The checkpoint's ``state_dict``.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …
        score_thr: Detections with a lower score are left out.
        scale: Enlarges what the network sees: 2 for cells half as large as in training.
        tile: (height, width) of the tiles, pixels of the picture; None for whole pictures. A tile
            is resized as a whole picture of this size would be, so all tiles have one scale.

    Raises:
        UserError: Weights of another model, or no resizing to scale in the test pipeline.
    """

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, torch.Tensor],
        device: str,
        score_thr: float,
        scale: float = 1.0,
        tile: tuple[int, int] | None = None,
    ) -> None:
        config = copy.deepcopy(config)
        init_default_scope(config.get('default_scope', 'mmdet'))
        self.score_thr, self.tile = score_thr, tile
        self.pipeline = Compose(picture_pipeline(get_test_pipeline_cfg(config), scale, tile))
        rcnn = config.model.get('test_cfg', {}).get('rcnn', {})
        self.limit = rcnn.get('max_per_img')
        if 'score_thr' in rcnn:
            # Suppression goes down the scores, so nothing changes above; masks below cost time.
            rcnn.score_thr = max(score_thr - 1e-4, 0.0)
        self.model = build_model(config, weights, device)

    def __call__(
        self, picture: np.ndarray, progress: Callable[[Iterable], Iterable] = iter
    ) -> Cells:
        """Find the cells of a picture.

        Args:
            picture: (H, W, 3) uint8 BGR.
            progress: Wraps the list of tiles, for a progress bar.
        """
        size = picture.shape[:2]
        if self.tile is None:
            masks, scores, factor, full = self.detect(picture)
            label_map, kept = visible_cells(masks, scores, size)
            return Cells(label_map, scores[kept], 1 / factor, full)
        overlap = min(self.tile) // 5
        pieces: list[Piece] = []
        any_full = False
        for window in progress(tile_windows(size, self.tile, overlap)):
            found, factor, full = self._pieces(picture, window, overlap // 20)
            pieces += found
            any_full |= full
        cells = merge_pieces(pieces)
        rles = encode_crops(
            [cell.mask for cell in cells],
            [cell.x for cell in cells],
            [cell.y for cell in cells],
            *size,
        )
        scores = np.array([cell.score for cell in cells], float)
        label_map, kept = visible_cells(rles, scores, size)
        return Cells(label_map, scores[kept], 1 / factor, any_full)

    def _pieces(
        self, picture: np.ndarray, window: Window, margin: int
    ) -> tuple[list[Piece], float, bool]:
        part = picture[window.y1 : window.y2, window.x1 : window.x2]
        masks, scores, factor, full = self.detect(np.ascontiguousarray(part))
        label_map, kept = visible_cells(masks, scores, part.shape[:2])
        margin = max(margin, 2)
        found = pieces_of(label_map, scores[kept], window, picture.shape[:2], margin)
        return list(found), factor, full

    @torch.no_grad()
    def detect(self, picture: np.ndarray) -> tuple[list[dict], np.ndarray, float, bool]:
        """What the model says of one picture.

        Args:
            picture: (H, W, 3) uint8 BGR.

        Returns:
            N RLE dicts and (N,) float64 scores of at least ``score_thr``; the factor by which the
            picture was resized; whether the model gave as many detections as it may.
        """
        data = self.pipeline({'img': picture, 'img_id': 0})
        sample = self.model.test_step(
            {'inputs': [data['inputs']], 'data_samples': [data['data_samples']]}
        )[0]
        scores = sample.pred_instances.scores.double().cpu().numpy()
        chosen = np.flatnonzero(scores >= self.score_thr)
        masks = sample.pred_instances.masks
        if isinstance(masks, torch.Tensor):
            masks = [
                encode_label_map(masks[int(k)].cpu().numpy().astype(bool), 1)[0] for k in chosen
            ]
        else:
            masks = [masks[k] for k in chosen]
        factor = float(np.min(sample.metainfo.get('scale_factor', 1.0)))
        return masks, scores[chosen], factor, self.limit is not None and len(scores) >= self.limit


def picture_pipeline(
    steps: list[Mapping[str, Any]], scale: float = 1.0, tile: tuple[int, int] | None = None
) -> list[dict[str, Any]]:
    """A test pipeline for pictures in memory, without annotations.

    Args:
        steps: The config's test pipeline.
        scale: Factor on the size to which it resizes.
        tile: (height, width) of the tiles, pixels; everything is then resized by the factor that a
            picture of this size gets, smaller ones too.

    Raises:
        UserError: A scale or tile was given, but there is no ``Resize`` with a ``scale``.
    """
    kept, resized = [], False
    for step in copy.deepcopy(steps):
        kind = step['type'] if isinstance(step['type'], str) else step['type'].__name__
        kind = kind.rsplit('.', 1)[-1]
        if kind == 'LoadImageFromFile':
            step['type'] = 'mmdet.LoadImageFromNDArray'
        elif kind in ANNOTATION_STEPS or (
            kind.startswith('Load') and kind != 'LoadImageFromNDArray'
        ):
            continue
        elif kind in RESIZERS and step.get('scale') is not None:
            resized = True
            sides = step['scale'] if not isinstance(step['scale'], int) else (step['scale'],) * 2
            target = tuple(max(round(side * scale), 1) for side in sides)
            if tile and step.get('keep_ratio'):
                step['scale_factor'] = rescale_size(tile[::-1], target, return_scale=True)[1]
                del step['scale']
            elif tile:
                step['scale_factor'] = (target[0] / tile[1], target[1] / tile[0])
                del step['scale']
            else:
                step['scale'] = target
        kept.append(step)
    if not resized and (tile or scale != 1):
        raise UserError(
            "the config's test pipeline has no Resize with a scale: leave out --scale and --tile"
        )
    return kept


def build_model(
    config: Config, weights: Mapping[str, torch.Tensor], device: str
) -> torch.nn.Module:
    """The config's model with a checkpoint's weights, ready to predict.

    Raises:
        UserError: The model can't be built, or the weights are of another one.
    """
    if 'init_cfg' in config.model.get('backbone', {}):
        config.model.backbone.init_cfg = None  # nothing to fetch
    try:
        model = revert_sync_batchnorm(MODELS.build(config.model))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the config's model can't be built ({' '.join(str(error).split())[:200]}); name "
            'another with --config FILE'
        ) from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise UserError(
            f"the checkpoint is not of this config's model ({lines[0] if lines else error}); "
            'name the config it was trained with (--config)'
        ) from error
    return model.to(device).eval()
