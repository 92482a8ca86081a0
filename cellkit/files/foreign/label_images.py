"""Label images as Cellpose, StarDist and Fiji write them: 0 background, a whole number a cell."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import tifffile

from cellkit.errors import BadFile
from cellkit.files.pictures import decode, read_bytes
from cellkit.instances import label_instances

MASK_VALUES = (1, 255)


def read_label_image(file: Path, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Read a PNG or TIFF of 8, 16 or 32 bits.

    A picture of one value, 1 or 255, in several pieces is a mask: its cells are its pieces, by the
    rule of :mod:`cellkit.instances`.

    Args:
        file: The label image.
        size: (H, W) that it must have, pixels.

    Returns:
        (H, W) int32 label map, 1..N in order of the file's labels; and whether it was a mask.

    Raises:
        BadFile: It can't be read, is of another size, in colour, or holds other than whole numbers
            from 0.
    """
    name = str(file)
    values = np.squeeze(_read(file))
    if values.ndim == 3 and values.shape[2] in (3, 4):
        values = _one_channel(values, name)
    if values.ndim != 2:
        raise BadFile(name, f'has the shape {values.shape}', 'write one label image a file')
    if values.shape != tuple(size):
        what = '{1}x{0} pixels, its image {3}x{2}'.format(*values.shape, *size)
        raise BadFile(name, f'is of another size ({what})', 'write labels at full resolution')
    if values.dtype.kind == 'f' and not (np.isfinite(values).all() and (values % 1 == 0).all()):
        raise BadFile(name, 'holds fractions', 'write labels as whole numbers')
    if values.dtype.kind not in 'iufb' or values.min(initial=0) < 0:
        raise BadFile(name, 'holds other than numbers from 0', 'write labels as whole numbers')
    labels, label_map = np.unique(values, return_inverse=True)
    label_map = label_map.reshape(values.shape).astype(np.int32)
    if labels[:1] != 0:
        label_map += 1  # no background
    if len(cells := labels[labels > 0]) == 1 and cells[0] in MASK_VALUES:
        by_rule, _ = label_instances(label_map > 0)
        if by_rule.max() > 1:
            return by_rule, True
    return label_map, False


def _read(file: Path) -> np.ndarray:
    content = read_bytes(Path(), str(file))
    if file.suffix.lower() not in ('.tif', '.tiff'):
        return decode(content, str(file), cv2.IMREAD_UNCHANGED)
    try:
        return tifffile.imread(file)
    except Exception as error:  # tifffile raises many kinds on damaged files
        what = f"can't be read as TIFF ({error})"
        raise BadFile(str(file), what, 'export it again') from error


def _one_channel(values: np.ndarray, name: str) -> np.ndarray:
    """The one channel that three equal ones are."""
    if any((values[..., 0] != values[..., k]).any() for k in (1, 2)):
        raise BadFile(name, 'is in colour', 'write the labels themselves, one channel')
    return values[..., 0]
