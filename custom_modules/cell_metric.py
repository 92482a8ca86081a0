"""What the project's metrics share: ground truth by image id, and one small record an image."""

from abc import abstractmethod
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from cellkit.metrics.ground_truth import GroundTruth, TrueImage
from cellkit.rle import encode_label_map
from cellkit.visible import visible_cells


class CellMetric(BaseMetric):
    """Compares each image's predictions with its annotations at original resolution.

    Ground truth comes from the annotation file by ``img_id``, never from the pipeline, whose masks
    are resized. Overlapping predictions are resolved by score, the higher one wins, and what better
    ones hide is left out (:func:`cellkit.visible.visible_cells`), so that the cells that are
    measured are those that ``make predict`` gives. Classes are not told apart.

    Args:
        ann_file: COCO annotation file of the images that are evaluated.
        collect_device: ``'cpu'`` or ``'gpu'``, for collecting the records of several processes.
        prefix: Replaces the default prefix of the keys.
        collect_dir: Folder for collecting over the CPU.
    """

    # Metrics of one evaluator get the same predictions one after the other: resolve them once.
    _latest: tuple[Any, tuple[np.ndarray, np.ndarray]] | None = None

    def __init__(
        self,
        ann_file: str | PathLike,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.truth = GroundTruth(ann_file)

    @abstractmethod
    def reduce(self, true: TrueImage, pred_map: np.ndarray, scores: np.ndarray) -> Any:
        """One image's record: small, picklable, without pixels.

        Args:
            true: The image's annotations.
            pred_map: (H, W) int32 label map of the predictions, 0 background, 1..N.
            scores: (N,) float64, of labels 1..N. Dropping the labels below a threshold gives the
                map of the predictions that reach it.
        """

    @abstractmethod
    def figures(self, records: list[Any]) -> dict[str, float]:
        """The figures of the data set, by key, from the records of its images."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Reduces each image of a batch to its record.

        Args:
            data_batch: Not used.
            data_samples: The model's output: ``img_id`` and ``pred_instances`` with ``scores`` and
                ``masks``, a list of COCO RLE dicts or a bool tensor (N, H, W).
        """
        for sample in data_samples:
            true = self.truth[sample['img_id']]
            record = self.reduce(true, *self._resolved(sample['pred_instances'], true.size))
            self.results.append((sample['img_id'], record))

    def compute_metrics(self, results: list[tuple[int, Any]]) -> dict[str, float]:
        """The figures of the data set; an image that several processes saw counts once."""
        figures = self.figures(list(dict(results).values()))
        # NumPy scalars would land in the checkpoint, which torch then refuses to load.
        return {key: float(value) for key, value in figures.items()}

    @staticmethod
    def _resolved(predicted: Any, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Label map of an image's predictions and the scores of its labels."""
        masks = predicted['masks']
        if CellMetric._latest is None or CellMetric._latest[0] is not masks:
            scores = predicted['scores'].detach().cpu().numpy().astype(float)
            pred_map, kept = visible_cells(_as_rles(masks), scores, size)
            CellMetric._latest = masks, (pred_map, scores[kept])
        return CellMetric._latest[1]


def _as_rles(masks: Sequence[dict] | torch.Tensor) -> Sequence[dict]:
    if isinstance(masks, torch.Tensor):
        return [encode_label_map(mask, 1)[0] for mask in masks.detach().cpu().numpy().astype(bool)]
    return masks


def threshold_suffix(threshold: float) -> str:
    """What is appended to a key for a score threshold that is not the default one."""
    return f'_thr{threshold:.2f}'
