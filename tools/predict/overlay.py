"""Draw the outlines of a picture's cells and their number."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cellkit.contours import CELL_COLOUR, OTHER_COLOUR, SHIFT, contours_of
from cellkit.label_maps import areas_and_boxes

WHOLE_COLOUR, BORDER_COLOUR = CELL_COLOUR, OTHER_COLOUR
HALO_COLOUR = (20, 20, 20)
SHADE = 0.45  # how much darker the count's ground is, and once more so the outlines on it
WIDTH_OF_DIAMETER = 45  # a typical cell is this many line widths across


def draw_overlay(
    picture: np.ndarray,
    label_map: np.ndarray,
    touches_border: np.ndarray,
    smooth: float = 1.0,
    total: int | None = None,
) -> np.ndarray:
    """Outline every cell, those at the border in another colour, with the count in a corner.

    Args:
        picture: (H, W, 3) uint8 BGR.
        label_map: (H, W) int, 0 background, 1..N.
        touches_border: (N,) bool, of labels 1..N.
        smooth: Standard deviation of the smoothing of an outline, pixels: about what one pixel of
            the network's picture measures.
        total: Number of cells, where some are too small to be drawn; of those drawn when None.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    drawn = picture.copy()
    areas, boxes = areas_and_boxes(label_map, len(touches_border))
    present = np.flatnonzero(areas)
    at_border = touches_border[present - 1]
    total = len(present) if total is None else total
    text = _text(total, int(np.count_nonzero(touches_border)), min(picture.shape[:2]))
    corner = _emptiest_corner(label_map, text.size)
    drawn[corner] = (drawn[corner] * (1 - SHADE)).astype(np.uint8)  # below the outlines
    diameter = float(np.median(2 * np.sqrt(areas[present] / np.pi))) if len(present) else 0.0
    width = max(1, round(diameter / WIDTH_OF_DIAMETER))
    outlines = [contours_of(label_map, k, boxes[k], smooth) for k in present.tolist()]
    layers = [(at_border, BORDER_COLOUR, width), (~at_border, WHOLE_COLOUR, width)]
    if width > 1:  # a dark rim keeps the line clear on a light ground
        layers.insert(0, (np.ones_like(at_border), HALO_COLOUR, width + 2))
    for chosen, colour, thickness in layers:
        curves = [curve for k in np.flatnonzero(chosen) for curve in outlines[k]]
        cv2.polylines(drawn, curves, True, colour[::-1], thickness, cv2.LINE_AA, SHIFT)
    below = Image.fromarray(drawn[corner][..., ::-1]).convert('RGBA')
    text = text.crop((0, 0, *below.size))
    drawn[corner] = np.asarray(Image.alpha_composite(below, text))[..., 2::-1]
    return drawn


def _text(cells: int, border: int, side: int) -> Image.Image:
    """The count on a half-transparent ground, for a picture of this shorter side in pixels."""
    size = max(12, round(side * 0.032))
    big, small = ImageFont.load_default(size), ImageFont.load_default(round(size * 0.62))
    lines = [(f'{cells} cell' + 's' * (cells != 1), big, (255, 255, 255))]
    if border:
        lines.append((f'{border} of them at the border', small, BORDER_COLOUR))
    pad = size // 2
    boxes = [font.getbbox(text) for text, font, _ in lines]
    width = max(box[2] for box in boxes) + 2 * pad
    height = sum(box[3] + pad // 2 for box in boxes) + 2 * pad - pad // 2
    shape = (int(np.ceil(width)), int(np.ceil(height)))
    drawn = Image.new('RGBA', shape, (0, 0, 0, round(255 * SHADE)))
    draw, y = ImageDraw.Draw(drawn), pad
    for (text, font, colour), box in zip(lines, boxes, strict=True):
        draw.text((pad, y), text, colour, font, stroke_width=size // 20, stroke_fill=HALO_COLOUR)
        y += box[3] + pad // 2
    return drawn


def _emptiest_corner(label_map: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the (width, height) corner with the fewest cell pixels."""
    height, width = min(size[1], label_map.shape[0]), min(size[0], label_map.shape[1])
    corners = [
        (slice(y, y + height), slice(x, x + width))
        for y in (0, label_map.shape[0] - height)
        for x in (0, label_map.shape[1] - width)
    ]
    return min(corners, key=lambda corner: np.count_nonzero(label_map[corner]))
