"""Measure and sample all instances of a label map without making a bitmap of any."""

from __future__ import annotations

import numpy as np


def smallest_dtype(greatest: int) -> type[np.integer]:
    """The smallest type for labels up to ``greatest`` that OpenCV can warp."""
    return np.uint8 if greatest < 1 << 8 else np.uint16 if greatest < 1 << 16 else np.int32


def areas_and_boxes(label_map: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Areas and tight boxes of labels 0..num of a (H, W) map, from one pass over the rows' runs.

    Returns:
        areas: (num + 1,) int64, pixels of each label; the background's is 0.
        boxes: (num + 1, 4) int64, (x1, y1, x2, y2) with the right and lower edge exclusive; zeros
            for labels without a pixel.
    """
    areas, boxes = np.zeros(num + 1, np.int64), np.zeros((num + 1, 4), np.int64)
    if label_map.size == 0:
        return areas, boxes
    edge = np.ones(label_map.shape, bool)
    np.not_equal(label_map[:, 1:], label_map[:, :-1], out=edge[:, 1:])
    starts = np.flatnonzero(edge)
    lengths = np.diff(starts, append=label_map.size)
    rows, columns = np.divmod(starts, label_map.shape[1])
    labels = label_map[rows, columns].astype(np.intp)
    cells = labels > 0
    labels, rows, columns, lengths = labels[cells], rows[cells], columns[cells], lengths[cells]
    np.add.at(areas, labels, lengths)
    boxes[:, :2] = max(label_map.shape)
    np.minimum.at(boxes[:, 0], labels, columns)
    np.minimum.at(boxes[:, 1], labels, rows)
    np.maximum.at(boxes[:, 2], labels, columns + lengths)
    np.maximum.at(boxes[:, 3], labels, rows + 1)
    boxes[areas == 0] = 0
    return areas, boxes


def resize(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A label map at another size: each new pixel takes the label under its centre.

    In whole numbers, so exact at any size. OpenCV's ``INTER_NEAREST``, which resizes MMDetection's
    masks, takes the label under a pixel's upper left corner: the cells come out half a new pixel to
    the right and below of those in the image, which it resizes by the centres. Its
    ``INTER_NEAREST_EXACT`` differs from this where a centre lies between two pixels.

    Args:
        label_map: (H, W) integers.
        size: (height, width) of the result, pixels.

    Returns:
        (height, width) of the same type; the map itself if it has the size.
    """
    if label_map.shape == tuple(size):
        return label_map
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip(size, label_map.shape, strict=True)
    )
    return label_map.take(rows, axis=0).take(columns, axis=1)


def crop_and_resize(
    label_map: np.ndarray, labels: np.ndarray, boxes: np.ndarray, out_shape: tuple[int, int]
) -> np.ndarray:
    """The share of each output bin that a label fills, for one label and one box at a time.

    The same average of bilinear samples as RoIAlign (``aligned=True``, ``sampling_ratio=0``) takes
    of the label's bitmap. RoIAlign's weights are a product of one factor a row and one a column, so
    a box costs two small matrix products instead of a full-size bitmap.

    Args:
        label_map: (H, W) integers.
        labels: (N,) label to look for in each box.
        boxes: (N, 4) (x1, y1, x2, y2), pixels.
        out_shape: Bins down and across.

    Returns:
        (N, *out_shape) float32 in 0..1.
    """
    height, width = label_map.shape
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    result = np.zeros((len(boxes), *out_shape), np.float32)
    if label_map.size == 0:
        return result
    across = _axis_weights(boxes[:, 0], boxes[:, 2], out_shape[1], width)
    down = _axis_weights(boxes[:, 1], boxes[:, 3], out_shape[0], height)
    for k, ((x, column_weights), (y, row_weights)) in enumerate(zip(across, down, strict=True)):
        window = label_map[y : y + row_weights.shape[1], x : x + column_weights.shape[1]]
        inside = (window == labels[k]).astype(np.float32)
        np.matmul(row_weights @ inside, column_weights.T, out=result[k])
    # Sample points in a bin: rows by columns.
    grid = np.ceil((boxes[:, 2:] - boxes[:, :2]) / np.float32(out_shape[::-1])).astype(np.int64)
    return result / np.maximum(grid.prod(axis=1), 1)[:, None, None]


def _axis_weights(
    lows: np.ndarray, highs: np.ndarray, bins: int, size: int
) -> list[tuple[int, np.ndarray]]:
    """What each box's bins weigh the pixels along one axis.

    Returns:
        N pairs of the first pixel that is read and the (bins, pixels) float32 weights from there.
        A bin's weights add up to the number of its sample points, less those that lie more than a
        pixel outside the image.
    """
    count = len(lows)
    steps = (highs - lows) / np.float32(bins)
    grid = np.ceil(steps).astype(np.int64)
    samples = grid * bins
    stops = np.cumsum(samples)
    box = np.repeat(np.arange(count), samples)
    bin_of, within = np.divmod(np.arange(len(box)) - (stops - samples)[box], grid[box])
    # Single precision and this order of operations, as in the RoIAlign kernel.
    position = (lows - np.float32(0.5))[box] + bin_of.astype(np.float32) * steps[box]
    inside = within.astype(np.float32) + np.float32(0.5)
    position += inside * steps[box] / grid[box].astype(np.float32)
    counted = (position >= -1) & (position <= size)
    position = np.clip(position, 0, size - 1)
    low = position.astype(np.int64)
    high = np.minimum(low + 1, size - 1)
    share = (position - low) * counted
    first, last = np.zeros(count, np.int64), np.full(count, -1)
    filled = samples > 0
    first[filled] = low[(stops - samples)[filled]]
    last[filled] = high[stops[filled] - 1]
    spans = last - first + 1
    offsets = np.concatenate(([0], np.cumsum(spans * bins)))
    row = offsets[:-1][box] + bin_of * spans[box] - first[box]
    weights = np.bincount(row + low, counted - share, offsets[-1])
    weights += np.bincount(row + high, share, offsets[-1])
    parts = np.split(weights.astype(np.float32), offsets[1:])[:-1]
    return [(x, part.reshape(bins, -1)) for x, part in zip(first.tolist(), parts, strict=True)]
