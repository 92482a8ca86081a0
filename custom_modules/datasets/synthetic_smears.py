"""Synthetic smears drawn while a model trains, so that it need not see one twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import DATASETS
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from cellkit import smears
from cellkit.files.writing import sha256_of_code
from cellkit.label_maps import smallest_dtype
from cellkit.smears import scene
from custom_modules.datasets.bccd_dataset import BCCDDataset
from custom_modules.structures.label_map_masks import LabelMapMasks


@DATASETS.register_module()
class SyntheticSmears(Dataset):
    """Fields of synthetic smears with their label maps; no file is read.

    Field ``i`` depends on ``seed`` and ``i`` alone: it is the same in every process and every run.
    A field is drawn at the size at which the model sees it, by the random looks of
    :func:`cellkit.smears.scene.random_look`; the pipeline starts after the loading of annotations.

    Args:
        pipeline: Transforms, from what ``LoadLabelMap`` leaves on.
        length: Number of fields.
        size: (height, width) of a field, pixels.
        scale: Least and greatest size of the cells over their size in the real images (100 px).
        seed: Of everything random.
        keep: Folder where drawn fields are kept and found again (1.5 MB for 480x640 px): for GPUs
            that train faster than the cores draw.
    """

    METAINFO = BCCDDataset.METAINFO

    def __init__(
        self,
        pipeline: Sequence[dict | Callable],
        length: int = 1_000_000,
        size: tuple[int, int] = (480, 640),
        scale: tuple[float, float] = (0.51, 0.8),
        seed: int = 0,
        keep: str | Path | None = None,
    ) -> None:
        self.pipeline = Compose(pipeline)
        self.length, self.size, self.scale, self.seed = length, tuple(size), tuple(scale), seed
        self.metainfo = dict(self.METAINFO)
        self.keep = keep and Path(keep)
        if self.keep:
            made_from = f'{(self.size, self.scale, seed)} {sha256_of_code(smears.__file__)}'
            self.keep /= hashlib.sha256(made_from.encode()).hexdigest()[:16]
            self.keep.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return self.length

    def draw(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A field: (H, W, 3) uint8 BGR, and its label map, (H, W), 0 background, 1..n cells."""
        file = self.keep and self.keep / f'{index}.npz'
        if file and file.is_file():
            with np.load(file) as kept:
                return kept['image'], kept['label_map']
        rng = np.random.default_rng([self.seed, index])
        look, scale = scene.random_look(rng), rng.uniform(*self.scale)
        rgb, label_map = scene.draw_smear(rng, self.size, look=look, scale=scale)
        image = np.ascontiguousarray(rgb[..., ::-1])
        label_map = label_map.astype(smallest_dtype(int(label_map.max())))
        if file:
            part = file.with_suffix(f'.{os.getpid()}.part')  # whole or not at all, for all workers
            with part.open('wb') as stream:
                np.savez(stream, image=image, label_map=label_map)
            part.replace(file)
        return image, label_map

    def __getitem__(self, index: int) -> Any:
        """What the pipeline makes of field ``index``, or of a later one if it holds no cell."""
        while (data := self._transformed(index)) is None:
            index = (index + 1) % self.length
        return data

    def _transformed(self, index: int) -> Any:
        image, label_map = self.draw(index)
        masks = LabelMapMasks.from_map(label_map)
        number = len(masks)
        if not number:
            return None
        return self.pipeline(
            dict(
                img=image,
                img_id=index,
                img_path=f'field {index}',
                img_shape=self.size,
                ori_shape=self.size,
                height=self.size[0],
                width=self.size[1],
                gt_masks=masks,
                gt_bboxes=masks.get_bboxes(),
                gt_bboxes_labels=np.zeros(number, np.int64),
                gt_ignore_flags=np.zeros(number, bool),
            )
        )
