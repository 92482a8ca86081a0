"""COCO's figures for images with hundreds of objects."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger

from cellkit.metrics.average_precision import (
    COCO_AREAS,
    ImageMatches,
    match_boxes,
    match_masks,
    precision_recall,
)


@METRICS.register_module()
class DenseCocoMetric(CocoMetric):
    """``CocoMetric`` without its limit of 100 detections, and many times faster.

    The stock metric takes mAP at 100 detections an image but mAP_50 and mAP_75 at the largest of
    ``proposal_nums``, and no setting changes the former. Here all figures are taken at
    ``max_dets``. Keys are MMDetection's (``coco/segm_mAP``, ``coco/segm_mAP_50``...), values are
    not rounded and agree with pycocotools to 1e-9. A model that predicts nothing scores 0 (the
    stock metric then gives no keys at all and the choice of the best checkpoint fails); where an
    area range has no true object the figure is -1, as pycocotools gives it.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        metric: ``'bbox'``, ``'segm'`` or both.
        max_dets: Only so many detections of highest score an image and class take part.
        **kwargs: Other arguments of ``CocoMetric``: ``iou_thrs``, ``metric_items``,
            ``outfile_prefix``, ``format_only``, ``prefix``, ``collect_device``, ``backend_args``.
    """

    ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')

    def __init__(
        self,
        ann_file: str | PathLike,
        metric: str | Sequence[str] = ('bbox', 'segm'),
        max_dets: int = 1000,
        **kwargs: Any,
    ) -> None:
        metric = [metric] if isinstance(metric, str) else list(metric)
        super().__init__(ann_file=str(ann_file), metric=metric, **kwargs)
        self.max_dets = max_dets
        if unknown := set(metric) - {'bbox', 'segm'}:
            raise ValueError(
                f'DenseCocoMetric.metric is {sorted(unknown)[0]!r}: use "bbox" or "segm", '
                'and CocoMetric for proposals.'
            )
        if unknown := set(self.metric_items or ()) - set(self.ITEMS):
            raise ValueError(
                f'DenseCocoMetric.metric_items has {sorted(unknown)[0]!r}: use {self.ITEMS}.'
            )

    def compute_metrics(self, results: list[tuple[dict, dict]]) -> dict[str, float]:
        """The figures of the data set from the results of its images."""
        api = self._coco_api
        self.cat_ids = api.get_cat_ids(cat_names=self.dataset_meta['classes'])
        self.img_ids = sorted(api.get_img_ids())
        predicted = {prediction['img_id']: prediction for _, prediction in results}
        if unknown := set(predicted) - set(self.img_ids):
            raise ValueError(
                f'The annotations have no image with the id {min(unknown)!r}: they are of another '
                'data set than the predictions; set ann_file to the file the images came from.'
            )
        if self.outfile_prefix is not None:
            self.results2json(list(predicted.values()), self.outfile_prefix)
        if self.format_only:
            return {}
        figures = {}
        for kind in self.metrics:
            figures |= self._figures(kind, predicted)
        if all(not len(prediction['scores']) for prediction in predicted.values()):
            MMLogger.get_current_instance().warning('Nothing was predicted: all figures are 0.')
        return figures

    def _figures(self, kind: str, predicted: dict[int, dict]) -> dict[str, float]:
        """The figures of boxes or masks, averaged over the classes."""
        thresholds = np.atleast_1d(np.asarray(self.iou_thrs, float))
        per_class = []
        for label, category in enumerate(self.cat_ids):
            images = [
                self._match(kind, image_id, category, label, predicted.get(image_id), thresholds)
                for image_id in self.img_ids
            ]
            per_class.append(precision_recall(images).precision)
        precision = np.stack(per_class)  # (class, area range, threshold, recall)
        figures = {}
        for item in self.metric_items or self.ITEMS:
            area = {'mAP_s': 1, 'mAP_m': 2, 'mAP_l': 3}.get(item, 0)
            at = {'mAP_50': np.isclose(thresholds, 0.5), 'mAP_75': np.isclose(thresholds, 0.75)}
            values = precision[:, area, at.get(item, np.ones(len(thresholds), bool))]
            known = values[~np.isnan(values)]
            figures[f'{kind}_{item}'] = float(known.mean()) if known.size else -1.0
        return figures

    def _match(
        self,
        kind: str,
        image_id: int,
        category: int,
        label: int,
        prediction: dict | None,
        thresholds: np.ndarray,
    ) -> ImageMatches:
        """The matches of one class in one image."""
        api = self._coco_api
        true = api.load_anns(api.get_ann_ids(img_ids=[image_id], cat_ids=[category]))
        areas = np.array([item['area'] for item in true], float)
        options = {
            'max_dets': self.max_dets,
            'crowd': np.array([bool(item.get('iscrowd', 0)) for item in true], bool),
            'iou_thresholds': thresholds,
            'area_ranges': COCO_AREAS,
        }
        if prediction is None:
            prediction = {'labels': np.zeros(0), 'scores': np.zeros(0)}
        chosen = np.flatnonzero(prediction['labels'] == label)
        scores = prediction['scores'][chosen]
        if kind == 'segm':
            scores = prediction.get('mask_scores', prediction['scores'])[chosen]
            if len(chosen) and 'masks' not in prediction:
                raise ValueError(
                    'DenseCocoMetric.metric asks for "segm", but the model predicts no masks: '
                    'set metric="bbox".'
                )
            rles = [prediction['masks'][k] for k in chosen]
            true_rles = [api.annToRLE(item) for item in true]
            return match_masks(rles, scores, true_rles, areas, **options)
        boxes = np.zeros((0, 4))
        if len(chosen):
            boxes = prediction['bboxes'][chosen].astype(float)
            boxes[:, 2:] -= boxes[:, :2]
        true_boxes = np.array([item['bbox'] for item in true], float)
        return match_boxes(boxes, scores, true_boxes, areas, **options)
