"""Label Studio's own JSON export: brush, polygon, ellipse and rectangle regions of many tasks.

Regions are in percent of the picture. The brush is a bitmap packed in bits, one byte a pixel and
channel (RGBA), with the run lengths of thi.ng's rle-pack: a head of the number of values (32
bits), their width (5) and four widths of lengths (4 each); then runs of a flag, the length's width
(2), the length, and one value if the flag is set, else as many values as the length says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from cellkit.drawn import Drawn
from cellkit.errors import BadFile
from cellkit.files.formats import DAMAGED
from cellkit.files.formats.geojson import checked
from cellkit.outlines import ellipse, rectangle
from cellkit.rle import encode_label_map

UPLOADED = re.compile(r'^[0-9a-f]{8}-')
"""Label Studio puts this before the name of a file that was uploaded."""


def is_label_studio(content: Any) -> bool:
    """Whether parsed JSON is a list of Label Studio's tasks."""
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, Mapping) and 'annotations' in first and 'data' in first


def by_image(content: Sequence[Mapping[str, Any]], file: str) -> dict[str, list[dict]]:
    """The regions of each picture by its file name; of several annotations of a task the last one.

    Raises:
        BadFile: The file is no export of this kind; it is named ``file``.
    """
    found: dict[str, list[dict]] = {}
    try:
        for task in content:
            values = [v for v in task['data'].values() if isinstance(v, str) and '.' in v]
            given = task.get('file_upload') or values[0]
            name = UPLOADED.sub('', PurePosixPath(given.split('?')[-1].split('=')[-1]).name)
            done = [a for a in task['annotations'] if not a.get('was_cancelled')]
            if done:
                found[name] = [r for r in done[-1]['result'] if 'value' in r]
        return found
    except DAMAGED as error:
        raise _bad(file, error) from error


def read(regions: Sequence[Mapping[str, Any]], file: str) -> tuple[list[Drawn], set]:
    """What was drawn on a picture, and the (height, width) that the regions name.

    Raises:
        BadFile: A region can't be read; the file is named ``file``.
    """
    try:
        drawn, sizes = [], set()
        for region in regions:
            if region.get('type') in ('choices', 'textarea', 'rating', 'relation', 'labels'):
                continue
            size = int(region['original_height']), int(region['original_width'])
            sizes.add(size)
            drawn.append(_drawn(region['value'], size))
        return drawn, sizes
    except DAMAGED as error:
        raise _bad(file, error) from error


def _drawn(value: Mapping[str, Any], size: tuple[int, int]) -> Drawn:
    percent = np.array(size[::-1]) / 100
    if 'rle' in value:
        mask = unpack(np.array(value['rle'], np.uint8).tobytes()).reshape(*size, -1)[..., -1] > 0
        return encode_label_map(mask, 1)[0]
    if 'points' in value:
        return [[checked(np.array(value['points'], float) * percent)]]
    turn = value.get('rotation', 0)
    if 'radiusX' in value:
        sides = [value[key] for key in ('x', 'y', 'radiusX', 'radiusY')]
        return [[checked(ellipse(*np.array(sides) * np.tile(percent, 2), turn)[0])]]
    if 'width' in value:
        sides = [value[key] for key in ('x', 'y', 'width', 'height')]
        return [[checked(rectangle(*np.array(sides) * np.tile(percent, 2), turn)[0])]]
    return []


def unpack(packed: bytes) -> np.ndarray:
    """The values of a bitmap that was packed as the module says, uint8.

    Raises:
        ValueError: The bits end too early, or the values are not bytes.
    """
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    text = (bits + ord('0')).tobytes().decode('ascii')
    num, width = int(text[:32] or '0', 2), int(text[32:37] or '0', 2) + 1
    widths = [int(text[k : k + 4] or '0', 2) + 1 for k in range(37, 53, 4)]
    if width != 8:
        raise ValueError(f'a brush mask has values of {width} bits, not of 8')
    parts, place, count = [], 53, 0
    while count < num:
        same = text[place : place + 1] == '1'
        size = widths[int(text[place + 1 : place + 3] or '0', 2)]
        length = int(text[place + 3 : place + 3 + size] or '0', 2) + 1
        place += 3 + size
        values = bits[place : place + 8 * (1 if same else length)]
        if not len(values) or len(values) % 8:
            raise ValueError('a brush mask is cut off')
        place += len(values)
        values = np.packbits(values)
        parts.append(np.repeat(values, length) if same else values)
        count += length
    return np.concatenate([*parts, np.zeros(0, np.uint8)])[:num]


def _bad(file: str, error: Exception) -> BadFile:
    what = f"is not Label Studio's JSON export ({type(error).__name__}: {error})"
    return BadFile(file, what, 'export it again as JSON, or as COCO')
