"""One image/mask pair to everything the data set needs to know of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cellkit.changes import Changes
from cellkit.errors import BadFile, Problem
from cellkit.files.masks import read_mask
from cellkit.files.pictures import decode_picture, read_bytes
from cellkit.files.pixel_size import pixel_size_of
from cellkit.files.stored import UNKNOWN, Picture, Whites
from cellkit.instances import (
    CONNECTIVITY,
    MIN_AREA,
    THRESHOLD,
    label_cells,
    label_instances,
    split_touching,
)
from cellkit.label_maps import areas_and_boxes
from cellkit.rle import encode_label_map
from data_prep.duplicates import SIDE, thumbnail
from data_prep.pairs import Pair


@dataclass(frozen=True)
class InstanceRule:
    """How a mask becomes cells; see cellkit/instances.py and cellkit/files/masks.py."""

    threshold: int = THRESHOLD
    connectivity: int = CONNECTIVITY
    min_area: int = MIN_AREA
    split_touching: bool = False


@dataclass(frozen=True)
class MaskOptions:
    """How a mask's file is read; see :func:`cellkit.files.masks.read_mask`."""

    kind: str = 'auto'
    allow_grey: bool = False
    invert: bool = False


@dataclass
class Converted:
    """A pair after conversion.

    Attributes:
        pair: Where it came from.
        width: Pixels.
        height: Pixels.
        rles: COCO compressed RLE of each cell.
        areas: Pixels of each cell.
        boxes: ``[x, y, width, height]`` of each cell, pixels.
        specks: Areas in pixels of the components that were too small.
        merged: For each component that looks like several cells, ``{"bbox", "area", "pieces"}``.
        suspects: Indices of the cells that are such a component or a piece of one.
        thumbnail: Small grey picture for the search of near-duplicates.
        foreground: The cells, shrunk to the same size, uint8.
        border_share: Share of the image's outermost pixels that are cell.
        form: What the mask was read as where it is not plain 0 and 255, in the plural.
        remark: What is to be known of how it was read, often empty.
        digest: SHA-256 of the two files; of drawings, of the image's file and its cells.
        left_out: Number of drawings that are no cells, by reason; see cellkit/drawn.py.
        changes: What was changed in the image's predictions, if these are known.
        white: Value of the image's file that was read as white; None where it tells itself.
        pixel_size: Micrometres a pixel, where the image's file tells.
        remarks: What was left out of the image, and the like; they go on after its name.
    """

    pair: Pair
    width: int
    height: int
    rles: list[dict]
    areas: list[int]
    boxes: list[list[int]]
    thumbnail: np.ndarray = field(repr=False)
    foreground: np.ndarray = field(repr=False)
    border_share: float
    specks: list[int] = field(default_factory=list)
    merged: list[dict] = field(default_factory=list)
    suspects: list[int] = field(default_factory=list)
    form: str = ''
    remark: str = ''
    digest: str = ''
    left_out: dict[str, int] = field(default_factory=dict)
    changes: Changes | None = None
    white: float | None = None
    pixel_size: float | None = None
    remarks: tuple[str, ...] = ()


def convert_pair(
    data: Path,
    pair: Pair,
    rule: InstanceRule,
    options: MaskOptions | None = None,
    whites: Whites = UNKNOWN,
) -> Converted | list[Problem]:
    """Convert one pair of the folder ``data``, or say what is wrong with its files.

    ``whites`` are of all images.
    """
    options = options or MaskOptions()
    picture = mask = None
    digests, problems = [], []
    try:
        content = read_bytes(data, pair.image)
        digests.append(hashlib.sha256(content).digest())
        picture = decode_picture(content, pair.image, whites)
    except BadFile as error:
        problems.append(error.problem)
    try:
        content = read_bytes(data, pair.mask)
        digests.append(hashlib.sha256(content).digest())
        mask = read_mask(
            content,
            pair.mask,
            options.kind,
            rule.threshold,
            options.allow_grey,
            options.invert,
            rule.connectivity,
        )
    except BadFile as error:
        problems.append(error.problem)
    if picture is None or mask is None:
        return problems
    if problem := _disagreement(pair, picture.pixels, mask.cells, picture.turn, mask.orientation):
        return [problem]

    numbered = mask.cells.dtype != bool
    if numbered:
        labels, specks = label_cells(mask.cells, rule.min_area)
    else:
        labels, specks = label_instances(
            mask.cells, connectivity=rule.connectivity, min_area=rule.min_area
        )
    if not labels.any():
        what = f'holds no component of {rule.min_area} pixels or more'
        return [Problem(pair.mask, what, 'draw its cells, lower --min-area or remove the pair')]
    # What numbers its cells says itself where one ends.
    cut_labels, pieces = (labels, {}) if numbered else split_touching(labels, rule.min_area)
    areas, boxes = _measure(labels)
    merged = [{'bbox': boxes[k - 1], 'area': areas[k - 1], 'pieces': n} for k, n in pieces.items()]
    suspects = [k - 1 for k in pieces]
    if rule.split_touching and pieces:
        suspected = np.isin(labels, list(pieces))
        labels, (areas, boxes) = cut_labels, _measure(cut_labels)
        suspects = [int(k) - 1 for k in np.unique(cut_labels[suspected])]
    return described(
        data,
        pair,
        picture,
        labels,
        (areas, boxes),
        digest=hashlib.sha256(b''.join(digests)).hexdigest(),
        specks=[speck.area for speck in specks],
        merged=merged,
        suspects=suspects,
        form=mask.form,
        remark=mask.remark,
    )


Measured = tuple[list[int], list[list[int]]]


def described(
    data: Path,
    pair: Pair,
    picture: Picture,
    labels: np.ndarray,
    measured: Measured | None = None,
    **more: Any,
) -> Converted:
    """A pair whose cells are known.

    Args:
        data: The folder that it is in.
        pair: Where it came from.
        picture: Its image.
        labels: ``(H, W)`` label map of its cells, 1 to N.
        measured: Areas and boxes of the cells, where they are known.
        **more: Other fields of :class:`Converted`.
    """
    areas, boxes = measured or _measure(labels)
    foreground = cv2.compare(labels, 0, cv2.CMP_GT)
    pixel_size = pixel_size_of(data / pair.image)
    return Converted(
        pair=pair,
        width=labels.shape[1],
        height=labels.shape[0],
        rles=encode_label_map(labels),
        areas=areas,
        boxes=boxes,
        thumbnail=thumbnail(cv2.cvtColor(picture.pixels, cv2.COLOR_BGR2GRAY)),
        foreground=cv2.resize(foreground, (SIDE, SIDE), interpolation=cv2.INTER_AREA),
        border_share=_border_share(labels),
        white=picture.white,
        pixel_size=pixel_size and pixel_size.value,
        remarks=picture.remarks,
        **more,
    )


def _measure(labels: np.ndarray) -> Measured:
    """Pixels and ``[x, y, width, height]`` of each cell of a label map."""
    # Not pycocotools' area(): with NumPy 2 it fails on more than 255 masks.
    areas, boxes = areas_and_boxes(labels, int(labels.max()))
    boxes[:, 2:] -= boxes[:, :2]
    return areas[1:].tolist(), boxes[1:].tolist()


def _border_share(labels: np.ndarray) -> float:
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return float(np.count_nonzero(border) / border.size)


def _disagreement(
    pair: Pair, image: np.ndarray, mask: np.ndarray, image_turn: int, mask_turn: int
) -> Problem | None:
    """Why the mask does not lie on the image as training sees it."""
    height, width = image.shape[:2]
    turned = f'is turned by its EXIF orientation ({image_turn}) and its mask'
    swapped = image_turn >= 5  # orientations 5 to 8 exchange width and height
    if mask.shape != (height, width):
        if swapped and mask_turn == 1 and mask.shape == (width, height):
            remedy = 'save the image without that tag or turn the mask'
            return Problem(pair.image, f'{turned} is not', remedy)
        mask_size = f'{mask.shape[1]}x{mask.shape[0]}'
        what = f'is {mask_size} pixels but its image {pair.image} is {width}x{height}'
        return Problem(pair.mask, what, 'export both at the same size')
    if image_turn not in (1, mask_turn) and (not swapped or height == width):
        remedy = 'check that they lie on each other and save both without that tag'
        return Problem(pair.image, f'{turned} may not be', remedy)
    return None
