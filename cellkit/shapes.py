"""Size and shape of every cell of a label map."""

from __future__ import annotations

import numpy as np
from skimage.measure import regionprops_table

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

_NAMES = {
    'label': 'label',
    'bbox-1': 'x',
    'bbox-0': 'y',
    'bbox-2': 'bottom',
    'bbox-3': 'right',
    'centroid-1': 'centroid_x',
    'centroid-0': 'centroid_y',
    'num_pixels': 'area',
    'eccentricity': 'eccentricity',
    'perimeter_crofton': 'perimeter',
}


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
    wanted = tuple(dict.fromkeys(name.split('-')[0] for name in _NAMES))
    found = regionprops_table(label_map, properties=wanted) if label_map.any() else {}
    values = {ours: np.asarray(found.get(theirs, [])) for theirs, ours in _NAMES.items()}
    for name in ('label', 'x', 'y', 'bottom', 'right', 'area'):
        values[name] = values[name].astype(np.int64)
    values['width'] = values['right'] - values['x']
    values['height'] = values['bottom'] - values['y']
    values['equivalent_diameter'] = np.sqrt(4 * values['area'] / np.pi)
    perimeter = np.maximum(values['perimeter'].astype(float), np.finfo(float).tiny)
    values['circularity'] = np.minimum(4 * np.pi * values['area'] / perimeter / perimeter, 1.0)
    upper_left = np.minimum(values['x'], values['y']) < border
    values['touches_border'] = (
        upper_left | (values['right'] > width - border) | (values['bottom'] > height - border)
    )
    return {name: values[name] for name in COLUMNS}
