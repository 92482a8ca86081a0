"""Curves around cells, to be drawn with OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

CELL_COLOUR = (0, 235, 120)
"""RGB of what is drawn around cells; far from what Giemsa stains."""
OTHER_COLOUR = (255, 190, 0)
"""RGB of what is drawn around cells that are set apart."""

SHIFT = 4
"""Bits of a curve's coordinates below a pixel, as the drawing functions take them."""


def contours_of(
    label_map: np.ndarray, label: int, box: np.ndarray, smooth: float = 0.0, scale: float = 1.0
) -> list[np.ndarray]:
    """Closed curves around a label.

    Args:
        label_map: (H, W) integers.
        label: Which.
        box: Its (x1, y1, x2, y2), the right and lower edge exclusive.
        smooth: Standard deviation of the smoothing, pixels.
        scale: Size of the picture that is drawn on, as a multiple of the map's.

    Returns:
        (V, 2) int32 each, x and y in pixels of that picture times ``1 << SHIFT``.
    """
    x1, y1, x2, y2 = box.tolist()
    mask = np.pad(label_map[y1:y2, x1:x2] == label, 1).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    curves = []
    for contour in contours:
        points = contour[:, 0] + np.array([x1 - 1.0, y1 - 1.0])
        if smooth > 0 and len(points) > 8 * smooth:
            kernel = cv2.getGaussianKernel(2 * int(np.ceil(3 * smooth)) + 1, smooth)[:, 0]
            half = len(kernel) // 2
            around = np.concatenate([points[-half:], points, points[:half]])
            points = np.stack([np.convolve(axis, kernel, 'valid') for axis in around.T], axis=1)
            # An arc of radius r bends by s * s / 8 r between points s apart: here by a sixteenth of
            # a pixel, the drawing functions' step. They take as long as there are points.
            points = points[:: max(round(np.sqrt(min(mask.shape)) / 2), 1)]
        points = (points + 0.5) * scale - 0.5
        curves.append(np.rint(points * (1 << SHIFT)).astype(np.int32))
    return curves
