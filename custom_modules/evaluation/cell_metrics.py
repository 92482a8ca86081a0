"""The project's metrics for MMDetection: all read one record an image, which the first one makes.

Definitions, averaging and empty cases stand in the modules of :mod:`cellkit.metrics`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.metrics.average_precision import COCO_VALUES, MAX_DETECTIONS, coco_values
from cellkit.metrics.boundary import BOUNDARY_TOLERANCE
from cellkit.metrics.counting import count_by_score, count_values
from cellkit.metrics.instances import CELL_IOU_THRESHOLDS
from cellkit.metrics.pixel import pixel_counts, pixel_values
from cellkit.metrics.records import (
    DEFAULT_THRESHOLD,
    SCORE_THRESHOLDS,
    ImageRecord,
    choose_threshold,
    instance_values,
    measure_image,
)
from custom_modules.structures.detections import detections_of


class CellMetric(BaseMetric):
    """Compares each image's predictions with its annotations at original resolution.

    Ground truth comes from the annotation file by ``img_id``, never from the pipeline, whose masks
    are resized. The cells that are measured are those that ``make predict`` gives. Classes are not
    told apart. MMEngine hands the same samples to all metrics of an evaluator: the first one puts
    the image's :class:`~cellkit.metrics.records.ImageRecord` into its sample, the others find it.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        boundary_tolerance: Of boundary F1, in pixels of the original image.
        **kwargs: ``collect_device``, ``prefix``, ``collect_dir``.

    Raises:
        UserError: There is no such annotation file.
    """

    def __init__(
        self,
        ann_file: str | PathLike,
        boundary_tolerance: float = BOUNDARY_TOLERANCE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.truth = GroundTruth(ann_file)
        self.boundary_tolerance = boundary_tolerance

    @abstractmethod
    def values(self, records: list[ImageRecord]) -> Mapping[str, float]:
        """The values of the data set, by key, from the records of its images."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keeps the record of each sample, a dict with ``img_id`` and ``pred_instances``."""
        key = self.truth.path, self.boundary_tolerance
        for sample in data_samples:
            made = sample.setdefault('records', {})
            if key not in made:
                image_id = sample['img_id']
                found = detections_of(sample['pred_instances'])
                made[key] = measure_image(
                    image_id, self.truth[image_id], found, self.boundary_tolerance
                )
            self.results.append(made[key])

    def compute_metrics(self, results: list[ImageRecord]) -> dict[str, float]:
        """The values of the data set; an image that several processes saw counts once."""
        records = {record.image_id: record for record in results}
        values = self.values([records[image_id] for image_id in sorted(records)])
        # NumPy scalars would land in the checkpoint, which torch then refuses to load.
        return {key: float(value) for key, value in values.items()}


class ThresholdMetric(CellMetric):
    """A metric at several score thresholds, the keys of the further ones with a suffix.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        score_thr: Predictions with a lower score are left out.
        score_thrs: Further thresholds; their keys end in, say, ``_thr0.30``.
        **kwargs: See :class:`CellMetric`.
    """

    def __init__(
        self,
        ann_file: str | PathLike,
        score_thr: float = DEFAULT_THRESHOLD,
        score_thrs: Sequence[float] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, **kwargs)
        self.score_thrs = [score_thr, *score_thrs]

    def by_key(self, values: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Values by key, from (S,) arrays by name."""
        suffixes = ['', *(f'_thr{threshold:.2f}' for threshold in self.score_thrs[1:])]
        return {
            name + suffix: column[k]
            for k, suffix in enumerate(suffixes)
            for name, column in values.items()
        }


@METRICS.register_module()
class PixelDice(ThresholdMetric):
    """Dice and IoU between the union of predicted and the union of true cells.

    Keys: ``pixel/dice``, ``pixel/iou`` (mean over images), ``pixel/dice_pooled`` and
    ``pixel/iou_pooled`` (over all pixels). An image with neither true nor predicted cells scores 1,
    one with exactly one of the two 0.
    """

    default_prefix = 'pixel'

    def values(self, records: list[ImageRecord]) -> dict[str, float]:
        """Mean and pooled Dice and IoU for each threshold."""
        pixels = [pixel_counts(r.table, r.scores, self.score_thrs) for r in records]
        return self.by_key(pixel_values(np.array(pixels).reshape(-1, len(self.score_thrs), 3)))


@METRICS.register_module()
class CountError(ThresholdMetric):
    """How far the number of predicted cells is from the number of true ones.

    Keys: ``count/mae``, ``count/relative_error`` (sum of absolute errors over the sum of true
    cells), ``count/relative_error_per_image``, ``count/bias``, ``count/relative_bias``.

    With ``choose=True`` also ``count/best_score_thr``, the threshold that ``make evaluate`` would
    choose (:func:`cellkit.metrics.records.choose_threshold`), and ``count/best_relative_error``,
    its error. It is chosen on the very images it is measured on, so use it on validation only.

    Args:
        *args: See :class:`ThresholdMetric`.
        choose: Whether to choose a threshold, of those given or else of
            :data:`cellkit.metrics.records.SCORE_THRESHOLDS`; they are then not listed singly.
        **kwargs: See :class:`ThresholdMetric`.
    """

    default_prefix = 'count'

    def __init__(self, *args: Any, choose: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.candidates = ()
        if choose:
            default, *given = self.score_thrs
            self.candidates = (default, *(given or SCORE_THRESHOLDS))
            self.score_thrs = [default]

    def values(self, records: list[ImageRecord]) -> dict[str, float]:
        """The values of each threshold, or of the first one and the chosen one."""
        true = np.array([record.true for record in records])
        found = [count_by_score(record.scores, self.score_thrs) for record in records]
        counted = count_values(true, np.array(found).reshape(-1, len(self.score_thrs)))
        result = self.by_key(counted)
        if self.candidates and records:
            choice = choose_threshold(records, self.candidates, default=self.candidates[0])
            chosen = choice.thresholds.index(choice.value)
            result['best_score_thr'] = choice.value
            result['best_relative_error'] = choice.relative_error[chosen]
        return result


@METRICS.register_module()
class InstanceMetrics(CellMetric):
    """F1, precision, recall, average precision, panoptic quality, AJI and boundary F1.

    Keys, with 50 for an IoU of 0.5 and so on: ``instance/f1_50``, ``instance/precision_50``,
    ``instance/recall_50``, ``instance/cell_ap_50`` = TP / (TP + FP + FN), ``instance/cell_ap`` (its
    mean over the thresholds), ``instance/pq``, ``instance/rq``, ``instance/sq``, ``instance/aji``
    and ``instance/boundary_f1`` (means over images), ``instance/aji_pooled``.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        score_thr: Predictions with a lower score are left out.
        iou_thrs: IoU thresholds of F1, precision, recall and average precision.
        **kwargs: See :class:`CellMetric`.
    """

    default_prefix = 'instance'

    def __init__(
        self,
        ann_file: str | PathLike,
        score_thr: float = DEFAULT_THRESHOLD,
        iou_thrs: Sequence[float] = CELL_IOU_THRESHOLDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, **kwargs)
        self.score_thr, self.iou_thrs = score_thr, tuple(iou_thrs)

    def values(self, records: list[ImageRecord]) -> dict[str, float]:
        """The values of the data set; nothing without images."""
        counts = [record.counts(self.score_thr, self.iou_thrs) for record in records]
        return instance_values(counts, self.iou_thrs) if counts else {}


@METRICS.register_module()
class DenseCocoMetric(CellMetric):
    """MMDetection's ``CocoMetric`` without its limit of 100 detections, and many times faster.

    The stock metric takes mAP at 100 detections an image but mAP_50 and mAP_75 at the largest of
    ``proposal_nums``, and no setting changes the former. Here all values are taken at
    ``max_dets``. Keys are MMDetection's (``coco/segm_mAP``, ``coco/segm_mAP_50``...), values are
    not rounded and agree with pycocotools to 1e-9. A model that predicts nothing scores 0 (the
    stock metric then gives no keys at all and the choice of the best checkpoint fails); where an
    area range has no true cell the value is nan.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        metric: ``'bbox'``, ``'segm'`` or both.
        max_dets: Only so many detections of highest score an image take part.
        metric_items: Some of :data:`~cellkit.metrics.average_precision.COCO_VALUES`; all when None.
        **kwargs: See :class:`CellMetric`.

    Raises:
        UserError: There is no such metric or item.
    """

    default_prefix = 'coco'

    def __init__(
        self,
        ann_file: str | PathLike,
        metric: str | Sequence[str] = ('bbox', 'segm'),
        max_dets: int = MAX_DETECTIONS,
        metric_items: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, **kwargs)
        self.kinds = [metric] if isinstance(metric, str) else list(metric)
        self.items, self.max_dets = list(metric_items or COCO_VALUES), max_dets
        self._check('metric', self.kinds, ('bbox', 'segm'))
        self._check('metric_items', self.items, COCO_VALUES)

    @staticmethod
    def _check(argument: str, given: Sequence[str], known: Sequence[str]) -> None:
        for item in given:
            if item not in known:
                raise UserError(
                    f'DenseCocoMetric.{argument} has {item!r}, which it does not know; '
                    f'use {", ".join(known)}'
                )

    def values(self, records: list[ImageRecord]) -> dict[str, float]:
        """Average precision of boxes and masks."""
        if not any(record.detections for record in records):
            MMLogger.get_current_instance().warning('Nothing was predicted: all values are 0.')
        result = {}
        for kind in self.kinds:
            found = coco_values([getattr(r, kind) for r in records], None, self.max_dets)
            result |= {f'{kind}_{item}': found[item] for item in self.items}
        return result
