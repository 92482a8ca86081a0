"""What a person changed in cells that were predicted: added, deleted, reshaped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellkit.overlaps import intersection_table, iou_matrix, optimal_matching

SAME = 0.5
"""Least IoU at which two outlines are of one cell: each then has at most one partner."""


class Changes(NamedTuple):
    """Numbers of cells.

    Attributes:
        kept: In both, the same pixel for pixel.
        reshaped: In both, with another outline.
        added: Only in the corrected map.
        deleted: Only in the predicted map.
    """

    kept: int
    reshaped: int
    added: int
    deleted: int


def changes(predicted: np.ndarray, corrected: np.ndarray) -> Changes:
    """Compare the cells of two (H, W) label maps, 0 background, labels 1..N without gaps.

    Cells are paired one to one at an IoU of :data:`SAME` or more. A cell that was moved or redrawn
    beyond that counts as deleted and added; one that was cut in two as reshaped or deleted, and
    its other parts as added.

    Raises:
        ValueError: The maps differ in shape.
    """
    iou = iou_matrix(intersection_table(predicted, corrected))
    before, after = optimal_matching(iou, SAME)
    same = int(np.count_nonzero(iou[before, after] == 1))
    pairs = len(before)
    return Changes(same, pairs - same, iou.shape[1] - pairs, iou.shape[0] - pairs)
