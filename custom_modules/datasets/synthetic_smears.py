"""Synthetic smears as a training set: every index is another field, drawn when it is asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from mmdet.registry import DATASETS
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from cellkit.errors import BadSetting
from cellkit.label_maps import smallest_dtype
from cellkit.smears.looks import REFERENCE_SIZE, look_of
from cellkit.smears.smear import draw_smear
from custom_modules.datasets.bccd_dataset import BCCDDataset
from custom_modules.structures.label_map_masks import LabelMapMasks


@DATASETS.register_module()
class SyntheticSmears(Dataset):
    """Fields of synthetic smears, drawn in the data loader's processes: no file, no folder.

    A field has the size in which the model takes it, so that no drawn pixel is cropped away. Cells
    cut by its border are labelled as in the real masks: if about half of them is visible. Image and
    masks go into the pipeline as ``LoadSmear`` and ``LoadLabelMap`` would leave them, so it
    starts with augmentation.

    Args:
        size: (width, height) of a field in pixels, as MMDetection's crops are given.
        scale: (width, height) of the picture that a whole image of the real set is trained and
            tested at; it says how large a cell is.
        ratio_range: Each field's scale is multiplied by a number drawn from it, (low, high).
        look: Name of one look, ``cellkit.smears.looks``; by chance if None.
        joined: Share of the neighbouring pairs that the masks don't part.
        length: Number of fields until they repeat.
        seed: Field i is made from (seed, i) alone: the same in every process and at any time.
        pipeline: MMDetection transforms. What they draw by chance is theirs.
        metainfo: Replaces entries of the data set's metainfo.

    Raises:
        ValueError: A number is out of its range.
        KeyError: There is no such look.
    """

    METAINFO = BCCDDataset.METAINFO

    def __init__(
        self,
        size: tuple[int, int] = (512, 384),
        scale: tuple[int, int] = (1024, 768),
        ratio_range: tuple[float, float] = (0.8, 1.25),
        look: str | None = None,
        joined: float = 0.02,
        length: int = 1_000_000,
        seed: int = 0,
        pipeline: Sequence[dict | Callable] = (),
        metainfo: dict | None = None,
    ) -> None:
        if min(*size, *scale, length) < 1 or not 0 < ratio_range[0] <= ratio_range[1]:
            raise BadSetting(
                f'SyntheticSmears: size {size}, scale {scale}, ratio_range {ratio_range} and '
                f'length {length} must be above 0, and ratios in ascending order.'
            )
        look_of(np.random.default_rng(0), look)  # an unknown name is an error now, not in a worker
        self.size, self.ratio_range, self.look, self.joined = size, ratio_range, look, joined
        self.length, self.seed = length, seed
        self._scale = scale[0] / REFERENCE_SIZE[1]
        self._metainfo = {**self.METAINFO, **(metainfo or {})}
        self.pipeline = Compose(pipeline)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Classes and palette, as every data set of the project names them; a copy."""
        return copy.deepcopy(self._metainfo)

    def __len__(self) -> int:
        return self.length

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Draw field ``index`` and hand it over as the loading transforms do.

        Returns:
            ``img`` (H, W, 3) uint8 BGR, ``gt_masks``, ``gt_bboxes``, ``gt_bboxes_labels``,
            ``gt_ignore_flags`` and the entries that describe an image.
        """
        index = index % self.length  # also counts from the end
        rng = np.random.default_rng([self.seed, index])
        scale = self._scale * rng.uniform(*self.ratio_range)
        shape = (self.size[1], self.size[0])
        image, label_map = draw_smear(rng, shape, None, self.look, self.joined, scale)
        count = int(label_map.max())
        masks = LabelMapMasks.from_map(
            label_map.astype(smallest_dtype(count)), np.arange(1, count + 1)
        )
        return dict(
            img=cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
            img_id=index,
            img_path=f'synthetic smear {index} of seed {self.seed}',
            height=shape[0],
            width=shape[1],
            ori_shape=shape,
            img_shape=shape,
            gt_masks=masks,
            gt_bboxes=masks.get_bboxes('hbox'),
            gt_bboxes_labels=np.zeros(count, np.int64),
            gt_ignore_flags=np.zeros(count, bool),
        )

    def __getitem__(self, index: int) -> Any:
        """Field ``index`` through the pipeline; the next one if it has no cell or is turned down.

        Raises:
            RuntimeError: A hundred fields in a row had no cell or were turned down.
        """
        for following in range(index, index + 100):
            field = self.get_data_info(following)
            if len(field['gt_masks']) and (results := self.pipeline(field)) is not None:
                return results
        raise RuntimeError(
            'SyntheticSmears: 100 fields in a row had no cell or were turned down by the pipeline'
        )
