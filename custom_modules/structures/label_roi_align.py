"""RoIAlign of the instances of a label map, on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor


def roi_align_labels(
    label_map: Tensor,
    labels: Tensor,
    boxes: Tensor,
    out_shape: tuple[int, int],
    max_elements: int = 1 << 26,
) -> Tensor:
    """:func:`cellkit.label_maps.crop_and_resize` for tensors on a GPU, many boxes at once.

    Args:
        label_map: (H, W) integers.
        labels: (N,) label to look for in each box, same type.
        boxes: (N, 4) float32 (x1, y1, x2, y2), pixels.
        out_shape: (height, width) of the result, bins.
        max_elements: bound on the numbers held at once; more boxes are done in parts.

    Returns:
        (N, *out_shape) float32, the share of each bin that the label fills.
    """
    height, width = label_map.shape
    rows, columns = out_shape
    longest = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).max(dim=0).values.ceil().int().tolist()
    span_x, span_y = min(longest[0] + 3, width), min(longest[1] + 3, height)
    samples_x, samples_y = longest[0] // columns + 1, longest[1] // rows + 1
    # A box needs its window of pixels, and along each axis a weight for each sample and pixel.
    per_box = max(span_x * span_y, columns * samples_x * span_x, rows * samples_y * span_y)
    at_once = max(max_elements // per_box, 1)
    parts = []
    for some, wanted in zip(boxes.split(at_once), labels.split(at_once), strict=True):
        x1, y1, x2, y2 = some.T
        x, across, count_x = _hat_weights(x1, x2, columns, width, span_x, samples_x)
        y, down, count_y = _hat_weights(y1, y2, rows, height, span_y, samples_y)
        window = label_map[y[:, :, None], x[:, None, :]]
        inside = (window == wanted[:, None, None]).float()
        with torch.autocast(label_map.device.type, enabled=False):  # half precision rounds counts
            total = torch.bmm(torch.bmm(down, inside), across.transpose(1, 2))
        parts.append(total / (count_x * count_y).clamp(min=1)[:, None, None])
    return torch.cat(parts)


def _hat_weights(
    lows: Tensor, highs: Tensor, bins: int, size: int, span: int, max_samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """RoIAlign's weights along one axis: bilinear sampling weighs a pixel by 1 - its distance.

    Returns:
        (N, span) pixels that are read, (N, bins, span) their weights, (N,) samples a bin.
    """
    device = lows.device
    steps = (highs - lows) / bins
    grid = steps.ceil().clamp(min=0)
    within = torch.arange(max_samples, device=device)
    bin_of = torch.arange(bins, device=device)
    position = ((lows - 0.5)[:, None] + bin_of * steps[:, None])[:, :, None] + (
        (within + 0.5) * steps[:, None] / grid.clamp(min=1)[:, None]
    )[:, None, :]
    counted = (position >= -1) & (position <= size) & (within < grid[:, None])[:, None, :]
    position = position.clamp(0, size - 1)
    first = position[:, 0, 0].long().clamp(max=size - span)
    pixels = first[:, None] + torch.arange(span, device=device)
    distance = (position[..., None] - pixels[:, None, None, :]).abs()
    weights = ((1 - distance).clamp(min=0) * counted[..., None]).sum(dim=2)
    return pixels, weights, grid
