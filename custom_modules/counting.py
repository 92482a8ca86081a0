"""Error of the number of cells as a metric of MMDetection."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from mmdet.registry import METRICS

from cellkit.metrics.counting import best_threshold, count_by_score, count_figures
from cellkit.metrics.ground_truth import TrueImage
from cellkit.metrics.pixel import counts_by_score, pixel_figures

from .cell_metric import CellMetric, threshold_suffix


@METRICS.register_module()
class CountError(CellMetric):
    """How far the number of predicted cells is from the number of true ones.

    Keys at ``score_thr``: ``count/mae``, ``count/relative_error`` (sum of absolute errors over the
    sum of true cells), ``count/relative_error_per_image``, ``count/bias``, ``count/relative_bias``;
    for each further threshold the same with, say, ``_thr0.30`` appended. Definitions and empty
    cases in :mod:`cellkit.metrics.counting`.

    With ``choose=True`` also ``count/best_score_thr``: of all the thresholds given, the one of
    least relative error, ties by the greatest pooled Dice, and ``count/best_relative_error``, its
    error. It is chosen on the very images it is measured on, so use it on validation only.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        score_thr: Predictions with a lower score are not counted.
        score_thrs: Further thresholds.
        choose: Whether to report the best threshold; the further ones are then not listed singly.
        **kwargs: ``collect_device``, ``prefix``, ``collect_dir``.
    """

    default_prefix = 'count'

    def __init__(
        self,
        ann_file: str | PathLike,
        score_thr: float = 0.5,
        score_thrs: Sequence[float] = (),
        choose: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, **kwargs)
        self.score_thrs = [score_thr, *score_thrs]
        self.choose = choose

    def reduce(
        self, true: TrueImage, pred_map: np.ndarray, scores: np.ndarray
    ) -> tuple[int, np.ndarray, np.ndarray | None]:
        """Number of true cells, (S,) predicted ones, and (S, 3) pixel counts if they are needed."""
        pixels = None
        if self.choose:
            pixels = counts_by_score(true.label_map(), pred_map, scores, self.score_thrs)
        return len(true.rles), count_by_score(scores, self.score_thrs), pixels

    def figures(self, records: list[tuple[int, np.ndarray, np.ndarray | None]]) -> dict[str, float]:
        """The figures of each threshold, or of the first one and the best one."""
        true = np.array([record[0] for record in records])
        pred = np.array([record[1] for record in records]).reshape(-1, len(self.score_thrs))
        values = count_figures(true, pred)
        listed = self.score_thrs[:1] if self.choose else self.score_thrs
        suffixes = ['', *map(threshold_suffix, listed[1:])]
        figures = {
            name + suffix: value[k]
            for k, suffix in enumerate(suffixes)
            for name, value in values.items()
        }
        if self.choose:
            pooled = pixel_figures(np.array([record[2] for record in records]))['dice_pooled']
            best = 0  # nothing was predicted: nothing to choose by
            if pred.any():
                best = best_threshold(self.score_thrs, values['relative_error'], pooled)
            figures['best_score_thr'] = self.score_thrs[best]
            figures['best_relative_error'] = values['relative_error'][best]
        return figures
