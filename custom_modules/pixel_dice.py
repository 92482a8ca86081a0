"""Dice and IoU of pixels as a metric of MMDetection."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from mmdet.registry import METRICS

from cellkit.metrics.ground_truth import TrueImage
from cellkit.metrics.pixel import counts_by_score, pixel_figures

from .cell_metric import CellMetric, threshold_suffix


@METRICS.register_module()
class PixelDice(CellMetric):
    """Dice and IoU between the union of predicted and the union of true instances.

    Keys: ``pixel/dice``, ``pixel/iou`` (mean over images), ``pixel/dice_pooled`` and
    ``pixel/iou_pooled`` (over all pixels) at ``score_thr``; for each further threshold the same
    with, say, ``_thr0.30`` appended. An image with neither true nor predicted cells scores 1, one
    with exactly one of the two 0. Formulas in :mod:`cellkit.metrics.pixel`.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        score_thr: Predictions with a lower score are left out of the headline figures.
        score_thrs: Further thresholds to report; they share one pass over the pixels.
        **kwargs: ``collect_device``, ``prefix``, ``collect_dir``.
    """

    default_prefix = 'pixel'

    def __init__(
        self,
        ann_file: str | PathLike,
        score_thr: float = 0.5,
        score_thrs: Sequence[float] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, **kwargs)
        self.score_thrs = [score_thr, *score_thrs]

    def reduce(self, true: TrueImage, pred_map: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(S, 3) pixels in both unions, the true and the predicted one, for each threshold."""
        return counts_by_score(true.label_map(), pred_map, scores, self.score_thrs)

    def figures(self, records: list[np.ndarray]) -> dict[str, float]:
        """Mean and pooled Dice and IoU for each threshold."""
        values = pixel_figures(np.array(records).reshape(-1, len(self.score_thrs), 3))
        suffixes = ['', *map(threshold_suffix, self.score_thrs[1:])]
        return {
            name + suffix: value[k]
            for k, suffix in enumerate(suffixes)
            for name, value in values.items()
        }
