"""Run a trained detector on a picture in memory, whole or in tiles."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.image import rescale_size
from mmcv.transforms import Compose
from mmdet.utils import get_test_pipeline_cfg
from mmengine.registry import init_default_scope

from cellkit.errors import UserError
from cellkit.files.writing import sha256_of, sha256_of_settings
from cellkit.overlaps import keep_labels
from cellkit.rows import cells_of
from cellkit.tiles import Piece, Window, cut_margin, least_overlap, pieces_of, tile_windows
from cellkit.visible import visible_cells
from custom_modules.structures.detections import detections_of
from tools.runs.model import build_model, most_detections
from tools.runs.run import Checkpoint
from tools.runs.views import with_views


class Segmentation(NamedTuple):
    """The cells of one picture.

    Attributes:
        label_map: (H, W) int32, 0 background, 1..N; overlaps are resolved by score.
        scores: (N,) float64, of labels 1..N.
        resolution: Sides of one pixel of what the network saw, in pixels of the picture.
        full: Whether the network gave as many detections as it may, so that cells may be missing.
        doubtful: (M,) float64 scores of what else might be a cell, below the score threshold.
    """

    label_map: np.ndarray
    scores: np.ndarray
    resolution: float
    full: bool
    doubtful: np.ndarray = np.zeros(0)

    def counted(self, threshold: float) -> Segmentation:
        """The same with the cells below a score threshold as doubtful ones."""
        sure = self.scores >= threshold
        if sure.all():
            return self
        label_map, _ = keep_labels(self.label_map, sure)
        return self._replace(
            label_map=label_map, scores=self.scores[sure], doubtful=self.scores[~sure]
        )


class Tile(NamedTuple):
    """What one tile of a picture shows; ``resolution`` and ``full`` as of a segmentation."""

    pieces: list[Piece]
    resolution: float
    full: bool


class Detector:
    """A model and its test pipeline.

    Args:
        checkpoint: With the config of the training run.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …
        score_thr: Detections with a lower score are no cells.
        least_score: From here on they are doubtful; lower ones are left out. All are when None.
        scale: Enlarges what the network sees: 2 for cells half as large as in training.
        tile: (height, width) of the tiles, pixels of the picture; None for whole pictures. A tile
            is resized as a whole picture of this size would be, so all tiles have one scale.
        tta: Merge four flips of each picture or tile, in four times the time.

    Raises:
        UserError: Weights of another model, or no resizing to scale in the test pipeline.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str,
        score_thr: float,
        scale: float = 1.0,
        tile: tuple[int, int] | None = None,
        tta: bool = False,
        least_score: float | None = None,
    ) -> None:
        config = with_views(checkpoint.config) if tta else copy.deepcopy(checkpoint.config)
        init_default_scope(config.get('default_scope', 'mmdet'))
        self.device, self.score_thr, self.tile, self.scale = device, score_thr, tile, scale
        self.least_score = score_thr if least_score is None else min(least_score, score_thr)
        self._pipeline = lambda tile: Compose(
            picture_pipeline(get_test_pipeline_cfg(config), scale, tile)
        )
        self.pipeline = self._pipeline(tile)
        self._resize = resize_step(get_test_pipeline_cfg(config))
        self.limit = most_detections(config.model)
        rcnn = config.model.get('test_cfg', {}).get('rcnn', {})
        # Not of several views, where what one is unsure of counts in the mean, nor of a model that
        # merges its own tiles, where it may be a better outline.
        if 'score_thr' in rcnn and 'tile' not in config.model:
            # Suppression goes down the scores, so nothing changes above, but for which of two equal
            # scores stays; masks below cost time.
            rcnn.score_thr = max(self.least_score - 1e-4, 0.0)
        self.model = build_model(config, checkpoint.weights, device)
        self._checkpoint, self._options = checkpoint, {'scale': scale, 'tta': tta}

    def __call__(
        self,
        picture: np.ndarray,
        run: Callable[[Callable, Iterable], Iterable] = map,
        progress: Callable[..., Iterable] = lambda results, total: results,
    ) -> Segmentation:
        """Find the cells of a picture.

        Args:
            picture: (H, W, 3) uint8 BGR.
            run: As ``map``: calls the network. A pool's ``map`` has it see several tiles at once.
            progress: Wraps the tiles' results, of which there are ``total``, for a progress bar.
        """
        if self.tile is None:
            (found,) = run(self.segment, [picture])
            return found.counted(self.score_thr)
        size = picture.shape[:2]
        windows = self.windows(size)

        def of_tile(window: Window) -> Tile:
            part = picture[window.y1 : window.y2, window.x1 : window.x2]
            return self.look_at(np.ascontiguousarray(part), window, size)

        tiles = list(progress(run(of_tile, windows), total=len(windows)))
        pieces = [piece for tile in tiles for piece in tile.pieces]
        label_map, scores = cells_of(pieces, size, self.score_thr)
        full = any(tile.full for tile in tiles)
        found = Segmentation(label_map, scores, tiles[-1].resolution, full)
        return found.counted(self.score_thr)

    def in_tiles(self, tile: tuple[int, int]) -> Detector:
        """The same model, that works in tiles of (height, width) pixels."""
        other = copy.copy(self)
        other.tile, other.pipeline = tile, self._pipeline(tile)
        return other

    @property
    def resizes(self) -> bool:
        """Whether pictures of all sizes are resized to one, so that there is a scale to choose."""
        return self._resize is not None

    def factor(self, size: tuple[int, int]) -> float:
        """By how much a picture of (height, width) pixels, seen whole, is enlarged for the network
        without a scale.
        """
        target = _sides(self._resize)
        if self._resize.get('keep_ratio'):
            return float(rescale_size(size[::-1], target, return_scale=True)[1])
        return min(target[0] / size[1], target[1] / size[0])

    def identity(self) -> dict[str, Any]:
        """What its results hang on, for JSON: weights, config and options."""
        return {
            'weights': sha256_of(self._checkpoint.file),
            'config': sha256_of_settings(self._checkpoint.config.to_dict()),
            'scores': [self.score_thr, self.least_score],
            'tile': list(self.tile or ()),
            'device': self.device,
            **self._options,
        }

    def windows(self, size: tuple[int, int]) -> list[Window]:
        """The places of the tiles of a picture of (height, width) pixels, row by row."""
        return tile_windows(size, self.tile, least_overlap(self.tile))

    def look_at(self, part: np.ndarray, window: Window, size: tuple[int, int]) -> Tile:
        """What a tile shows.

        Args:
            part: (h, w, 3) uint8 BGR, the tile.
            window: Its place.
            size: (height, width) of the picture.
        """
        found = self.segment(part)
        margin = cut_margin(self.tile)
        pieces = pieces_of(found.label_map, found.scores, window, size, margin)
        return Tile(list(pieces), found.resolution, found.full)

    @torch.inference_mode()
    def segment(self, picture: np.ndarray) -> Segmentation:
        """Cells and doubtful ones, not told apart, of a picture that the network sees whole.

        Args:
            picture: (H, W, 3) uint8 BGR.
        """
        data = self.pipeline({'img': picture, 'img_id': 0})
        if isinstance(data['inputs'], list):  # views
            batch = {key: [[view] for view in views] for key, views in data.items()}
        else:
            batch = {key: [value] for key, value in data.items()}
        sample = self.model.test_step(batch)[0]
        predicted = sample.pred_instances
        full = self.limit is not None and len(predicted) >= self.limit
        # Before masks are encoded: it is slow.
        above = predicted.scores.double() >= self.least_score
        rles, scores, _ = detections_of(predicted[above])
        label_map, kept = visible_cells(rles, scores, picture.shape[:2])
        factor = float(np.min(sample.metainfo.get('scale_factor', 1.0)))
        return Segmentation(label_map, scores[kept], 1 / factor, full)


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
        kind = _kind(step)
        if kind in ('LoadSmear', 'LoadImageFromFile'):
            step['type'] = 'mmdet.LoadImageFromNDArray'
        elif kind != 'LoadImageFromNDArray' and kind.startswith(('Load', 'FilterAnnotations')):
            continue
        elif resize_step([step]):
            resized = True
            target = tuple(max(round(side * scale), 1) for side in _sides(step))
            del step['scale']
            if not tile:
                step['scale'] = target
            elif step.get('keep_ratio'):
                step['scale_factor'] = rescale_size(tile[::-1], target, return_scale=True)[1]
            else:
                step['scale_factor'] = (target[0] / tile[1], target[1] / tile[0])
        kept.append(step)
    if not resized and (tile or scale != 1):
        raise UserError(
            "the config's test pipeline has no Resize with a scale: leave out --scale and --tile"
        )
    return kept


def resize_step(steps: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The step that resizes pictures to one size, if there is one."""
    sized = (step for step in steps if _kind(step) in ('Resize', 'FixScaleResize'))
    return next((step for step in sized if step.get('scale') is not None), None)


def _kind(step: Mapping[str, Any]) -> str:
    return getattr(step['type'], '__name__', step['type']).rsplit('.', 1)[-1]


def _sides(step: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) to which a step resizes, pixels."""
    sides = step['scale']
    return (sides, sides) if isinstance(sides, int) else tuple(sides)
