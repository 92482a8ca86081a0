"""Quality of instances as the cell field measures it, as a metric of MMDetection."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from mmdet.registry import METRICS

from cellkit.metrics.ground_truth import TrueImage
from cellkit.metrics.instances import IOU_THRESHOLDS
from cellkit.metrics.summary import (
    BOUNDARY_TOLERANCE,
    InstanceCounts,
    instance_counts,
    instance_figures,
)
from cellkit.overlaps import keep_labels

from .cell_metric import CellMetric


@METRICS.register_module()
class InstanceMetrics(CellMetric):
    """F1, precision, recall, average precision, panoptic quality, AJI and boundary F1.

    Keys, with 50 for an IoU of 0.5 and so on: ``instance/f1_50``, ``instance/precision_50``,
    ``instance/recall_50``, ``instance/cell_ap_50`` = TP / (TP + FP + FN), ``instance/cell_ap`` (its
    mean over the thresholds), ``instance/pq``, ``instance/rq``, ``instance/sq``, ``instance/aji``
    and ``instance/boundary_f1`` (means over images), ``instance/aji_pooled``. Definitions,
    averaging and empty cases stand in the modules of :mod:`cellkit.metrics`.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        score_thr: Predictions with a lower score are left out.
        iou_thrs: IoU thresholds of F1, precision, recall and average precision.
        boundary_tolerance: Of boundary F1, in pixels of the original image.
        **kwargs: ``collect_device``, ``prefix``, ``collect_dir``.
    """

    default_prefix = 'instance'

    def __init__(
        self,
        ann_file: str | PathLike,
        score_thr: float = 0.5,
        iou_thrs: Sequence[float] = IOU_THRESHOLDS,
        boundary_tolerance: float = BOUNDARY_TOLERANCE,
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, **kwargs)
        self.score_thr = score_thr
        self.iou_thrs = tuple(iou_thrs)
        self.boundary_tolerance = boundary_tolerance

    def reduce(self, true: TrueImage, pred_map: np.ndarray, scores: np.ndarray) -> InstanceCounts:
        """The image's counts."""
        kept_map, number = keep_labels(pred_map, scores >= self.score_thr)
        return instance_counts(
            true.label_map(),
            kept_map,
            len(true.rles),
            number,
            self.iou_thrs,
            self.boundary_tolerance,
        )

    def figures(self, records: list[InstanceCounts]) -> dict[str, float]:
        """The figures of the data set."""
        return instance_figures(records, self.iou_thrs)
