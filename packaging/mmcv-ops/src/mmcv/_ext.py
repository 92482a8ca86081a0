"""Operators of mmcv without a compiler: torchvision's, in mmcv's calling convention.

mmcv looks for its compiled operators in ``mmcv._ext``. Built without a compiler it has none, and
this module stands in: ``nms`` and RoIAlign are torchvision's kernels for the CPU and every GPU that
torch supports, soft-NMS is NumPy. Python prefers a compiled ``_ext.*.so`` (``.pyd``) in the same
folder, so compiling mmcv replaces this module without removing it. Every other operator imports,
and says what to do when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import torch
import torchvision
from torch import Tensor

COMPILE = (
    'python -m pip install --no-build-isolation --no-binary onedl-mmcv --no-cache-dir '
    '--force-reinstall --no-deps onedl-mmcv'
)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Non-maximum suppression: a box goes if a better one overlaps it by more than the threshold.

    Args:
        boxes: x1, y1, x2, y2 in pixels, shape (N, 4), floating.
        scores: Shape (N,), the type of ``boxes``.
        iou_threshold: In the boxes' own precision, as in mmcv.
        offset: 0, or 1 where x2 and y2 are the last pixels inside the box.

    Returns:
        Indices of the boxes that stay, best first, of equal scores the earlier one, int64 of shape
        (K,). Boxes of lower scores decide nothing among better ones.
    """
    threshold = torch.tensor(iou_threshold, dtype=boxes.dtype).item()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # A sort that isn't stable orders equal scores by whatever else is in the input; torchvision's
    # own one is another again.
    order = scores.sort(descending=True, stable=True).indices
    return order[torchvision.ops.nms(boxes[order], scores[order], threshold)]


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., 2017): an overlap lowers a score, and low scores go.

    The order of mmcv's own loop is kept, ties included. Two boxes without area overlap by 0 here,
    where mmcv's Gaussian would give NaN.

    Args:
        boxes: x1, y1, x2, y2 in pixels, shape (N, 4), floating, on the CPU.
        scores: Shape (N,), the type of ``boxes``.
        dets: Takes the boxes that stay and their new scores, shape (N, 5); rows past K stay as
            they are.
        iou_threshold: Overlap from which the naive and the linear method act.
        sigma: Width of the Gaussian.
        min_score: A box with a lower new score goes.
        method: 0 naive (the score becomes 0), 1 linear (times 1 - IoU), 2 Gaussian.
        offset: 0, or 1 where x2 and y2 are the last pixels inside the box.

    Returns:
        Indices of the boxes that stay, in the order of ``dets``, int64 of shape (K,).
    """
    x1, y1, x2, y2 = boxes.detach().numpy().T
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    # One column a box. Those left of `first` are settled, those right of it wait.
    table = np.stack([x1, y1, x2, y2, scores.detach().numpy(), area])
    iou_threshold, sigma, min_score = np.array([iou_threshold, sigma, min_score], table.dtype)
    order = np.arange(len(boxes))
    first = 0
    while first < table.shape[1]:
        best = first + int(table[4, first:].argmax())
        for columns in (table, order):
            columns[..., [first, best]] = columns[..., [best, first]]
        x1, y1, x2, y2, _, area = table[:, first]
        first += 1
        rest = table[:, first:]
        width = np.maximum(np.minimum(x2, rest[2]) - np.maximum(x1, rest[0]) + offset, 0)
        height = np.maximum(np.minimum(y2, rest[3]) - np.maximum(y1, rest[1]) + offset, 0)
        shared = width * height
        union = area + rest[5] - shared
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union != 0)
        if method == 2:
            rest[4] *= np.exp(-(iou * iou) / sigma)
        else:
            over = iou >= iou_threshold
            rest[4, over] *= 1 - iou[over] if method == 1 else 0
        keep = rest[4] >= min_score
        kept = int(keep.sum())
        if kept < len(keep):  # the last ones take the places of those that go, as in mmcv
            places = first + np.flatnonzero(~keep[:kept])
            movers = first + kept + np.flatnonzero(keep[kept:])[::-1]
            table[:, places], order[places] = table[:, movers], order[movers]
            table, order = table[:, : first + kept], order[: first + kept]
    dets[: len(order)] = torch.from_numpy(table[:5].T)
    return torch.from_numpy(order)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign by averages; 16-bit inputs are computed in float32.

    Args:
        input: Feature maps, shape (B, C, H, W), floating.
        rois: Index of the map and x1, y1, x2, y2 in pixels of the image, shape (N, 5).
        output: Takes the result, shape (N, C, aligned_height, aligned_width).
        argmax_y: Not used, as in mmcv where ``pool_mode`` is 1.
        argmax_x: Not used.
        aligned_height: Rows of the result.
        aligned_width: Columns of the result.
        spatial_scale: Pixels of the feature map to one of the image.
        sampling_ratio: Samples a bin along each axis; 0 takes one a pixel.
        pool_mode: 1 for averages.
        aligned: Whether pixel centres lie at half coordinates.

    Raises:
        NotImplementedError: ``pool_mode`` is 0, the maximum.
    """
    if pool_mode != 1:
        not_compiled("roi_align with pool_mode='max'")
    wide = torch.promote_types(input.dtype, torch.float32)
    size = (aligned_height, aligned_width)
    result = torchvision.ops.roi_align(
        input.to(wide), rois.to(wide), size, spatial_scale, sampling_ratio, aligned
    )
    output.copy_(result)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of ``roi_align_forward``, added to ``grad_input``.

    Args:
        grad_output: Gradient of the result, shape (N, C, aligned_height, aligned_width).
        grad_input: Shape (B, C, H, W), zeros as mmcv hands it over.

    The others are those of ``roi_align_forward``.

    Raises:
        NotImplementedError: ``pool_mode`` is 0, the maximum.
    """
    if pool_mode != 1:
        not_compiled("roi_align with pool_mode='max'")
    wide = torch.promote_types(grad_output.dtype, torch.float32)
    result = torch.ops.torchvision._roi_align_backward(
        grad_output.to(wide), rois.to(wide), spatial_scale, aligned_height, aligned_width,
        *grad_input.shape, sampling_ratio, aligned,
    )  # fmt: skip
    grad_input.add_(result)


def get_compiler_version() -> str:
    """For mmcv's report on the environment."""
    return 'none (torchvision operators)'


def get_compiling_cuda_version() -> str:
    """For mmcv's report on the environment."""
    return 'none (torchvision operators)'


def not_compiled(operator: str) -> NoReturn:
    """Tells how to get an operator that is not here.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(
        f"mmcv's operator {operator} exists only compiled: run `{COMPILE}` with a C++ compiler "
        'at hand (docs/setup.md says what it needs).'
    )


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Any other operator: it imports, and a call says how to get it."""
    if name.startswith('__'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def operator(*args: object, **kwargs: object) -> NoReturn:
        not_compiled(name)

    operator.__name__ = name
    return operator
