"""What every change of the cells ends with: boxes, labels and flags that fit the masks."""

from __future__ import annotations

import numpy as np
from mmdet.structures.mask import BaseInstanceMasks

from cellkit.errors import BadSetting


def check_share(name: str, value: float) -> float:
    """A setting that is a share.

    Raises:
        BadSetting: It is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise BadSetting(f'{name} is {value}: use 0 to 1')
    return value


def keep_cells(results: dict, masks: BaseInstanceMasks, keep: np.ndarray) -> None:
    """Write the cells that are left into a pipeline's results, with tight boxes.

    Args:
        results: Its ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags`` fit ``masks``.
        masks: (N,) as they are now.
        keep: (N,) bool.
    """
    left = np.flatnonzero(keep)
    results['gt_masks'] = masks[left]
    if 'gt_bboxes' in results:
        results['gt_bboxes'] = results['gt_masks'].get_bboxes(type(results['gt_bboxes']))
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        if key in results:
            results[key] = results[key][left]
