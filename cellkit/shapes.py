"""Size and shape of every cell of a label map."""

from __future__ import annotations

import numpy as np

from cellkit.label_maps import areas_and_boxes

COLUMNS: tuple[str, ...] = (
    'label',
    'x',
    'y',
    'width',
    'height',
    'centroid_x',
    'centroid_y',
    'area',
    'equivalent_diameter',
    'eccentricity',
    'circularity',
    'touches_border',
)
"""The values that :func:`shape_values` gives, in order."""

_D = np.sqrt(0.5)
_CROFTON = np.pi / 4 * np.array([0, 1 + _D, _D, 2 * _D, 0, 1 + _D, 0, _D, 1, 2, _D, _D, 1, 2, 0, 0])
"""Crofton's formula in 4 directions: what each pattern of 2x2 pixels adds to a perimeter.

A pattern's number has 1 for a cell's pixel at the upper left, 2 at the lower left, 4 and 8 right of
these. Source: S. Rivollier's thesis, as in scikit-image's ``perimeter_crofton``.
"""


def shape_values(label_map: np.ndarray, border: int = 1) -> dict[str, np.ndarray]:
    """Measure all cells of an image.

    With area A and perimeter P of a cell, and l1 >= l2 the eigenvalues of its pixels' covariance:

        equivalent_diameter   sqrt(4 A / pi), of the disc of equal area
        eccentricity          sqrt(1 - l2 / l1), of the ellipse of equal second moments; 0 a disc
        circularity           4 pi A / P^2, 1 for a disc; P by Crofton's formula in 4 directions.
                              Sampled small discs come out a little above 1 and are cut to 1.

    Args:
        label_map: (H, W) int, 0 background. Labels need not be consecutive or connected.
        border: A cell touches the border if a pixel of it is among the outermost ``border`` rows or
            columns of the image, pixels, at least 1.

    Returns:
        One array of N cells a value of :data:`COLUMNS`, labels ascending. Lengths in pixels; a
        pixel's centre has whole coordinates, (0, 0) the upper left one. ``label``, the box
        (``x, y, width, height``) and ``area`` are int64, ``touches_border`` bool, the rest float64.

    Raises:
        ValueError: The map is not two-dimensional.
    """
    if label_map.ndim != 2:
        raise ValueError(f'a label map must be (H, W), not {label_map.shape}')
    height, width = label_map.shape
    areas, boxes = areas_and_boxes(label_map, int(label_map.max(initial=0)))
    labels = np.flatnonzero(areas)
    areas, boxes = areas[labels], boxes[labels]
    sums, perimeters = np.zeros((len(labels), 5)), np.zeros(len(labels))
    for k, (label, (x1, y1, x2, y2)) in enumerate(zip(labels, boxes.tolist(), strict=True)):
        cell = np.zeros((y2 - y1 + 2, x2 - x1 + 2), np.uint8)  # a margin of one pixel
        np.equal(label_map[y1:y2, x1:x2], label, out=cell[1:-1, 1:-1].view(bool))
        left, right = cell[:, :-1], cell[:, 1:]
        patterns = left[:-1] + 2 * left[1:] + 4 * right[:-1] + 8 * right[1:]
        perimeters[k] = np.bincount(patterns.ravel(), minlength=16) @ _CROFTON
        sums[k] = _moments(cell[1:-1, 1:-1])
    x, y, xx, xy, yy = (sums / np.maximum(areas, 1)[:, None]).T
    half, rest = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    long = half + rest
    ratio = np.divide(half - rest, long, out=np.ones_like(long), where=long > 0)
    perimeters = np.maximum(perimeters, np.finfo(float).tiny)
    (x1, y1, x2, y2) = boxes.T
    values = {
        'label': labels,
        'x': x1,
        'y': y1,
        'width': x2 - x1,
        'height': y2 - y1,
        'centroid_x': x1 + x,
        'centroid_y': y1 + y,
        'area': areas,
        'equivalent_diameter': np.sqrt(4 * areas / np.pi),
        'eccentricity': np.sqrt(1 - np.clip(ratio, 0, 1)),
        'circularity': np.minimum(4 * np.pi * areas / perimeters / perimeters, 1.0),
        'touches_border': (np.minimum(x1, y1) < border)
        | (x2 > width - border)
        | (y2 > height - border),
    }
    return {name: values[name] for name in COLUMNS}


def _moments(cell: np.ndarray) -> tuple[float, float, float, float, float]:
    """Sums over a cell's pixels, of an (h, w) uint8 bitmap: x, y, and the squares and product of
    their distances from the means.
    """
    columns, rows = cell.sum(axis=0, dtype=float), cell.sum(axis=1, dtype=float)
    x, y = np.arange(cell.shape[1], dtype=float), np.arange(cell.shape[0], dtype=float)
    area, sum_x, sum_y = columns.sum(), columns @ x, rows @ y
    x -= sum_x / area
    y -= sum_y / area
    return sum_x, sum_y, columns @ (x * x), y @ (cell @ x), rows @ (y * y)
