"""One image/mask pair to everything the data set needs to know of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from cellkit.changes import Changes
from cellkit.errors import BadFile, Problem
from cellkit.files.pictures import check_file, decode_mask, decode_picture, read_bytes
from cellkit.files.stored import UNKNOWN, Whites
from cellkit.instances import CONNECTIVITY, MIN_AREA, THRESHOLD, label_instances, split_touching
from cellkit.label_maps import areas_and_boxes
from cellkit.rle import encode_label_map
from data_prep.duplicates import thumbnail
from data_prep.pairs import Pair


@dataclass(frozen=True)
class InstanceRule:
    """How a mask becomes cells; see cellkit/instances.py."""

    threshold: int = THRESHOLD
    connectivity: int = CONNECTIVITY
    min_area: int = MIN_AREA
    split_touching: bool = False


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
        digest: SHA-256 of the two files; of drawings, of the image's file and its cells.
        left_out: Number of drawings that are no cells, by reason; see cellkit/drawn.py.
        changes: What was changed in the image's predictions, if these are known.
        white: Value of the image's file that was read as white; None where it tells itself.
        remarks: What was left out of the image, and the like; they go on after its name.
    """

    pair: Pair
    width: int
    height: int
    rles: list[dict]
    areas: list[int]
    boxes: list[list[int]]
    specks: list[int]
    merged: list[dict]
    suspects: list[int]
    thumbnail: np.ndarray = field(repr=False)
    digest: str = ''
    left_out: dict[str, int] = field(default_factory=dict)
    changes: Changes | None = None
    white: float | None = None
    remarks: tuple[str, ...] = ()


def convert_pair(
    data: Path,
    pair: Pair,
    rule: InstanceRule,
    allow_grey: bool = False,
    whites: Whites = UNKNOWN,
) -> Converted | list[Problem]:
    """Convert one pair of the folder ``data``, or say what is wrong with its files.

    ``allow_grey`` cuts grey values in the mask at the threshold; else they are a problem.
    ``whites`` are of all images.
    """
    as_image = partial(decode_picture, whites=whites)
    as_mask = partial(_decode_mask, threshold=rule.threshold, allow_grey=allow_grey)
    read, problems = [], []
    for file, decode in ((pair.image, as_image), (pair.mask, as_mask)):
        try:
            content = read_bytes(data, file)
            read.append((decode(content, file), hashlib.sha256(content).digest()))
        except BadFile as error:
            problems.append(error.problem)
    if problems:
        return problems
    (picture, image_digest), ((mask, mask_turn), mask_digest) = read
    image = picture.pixels
    if problem := _disagreement(pair, image, mask, picture.turn, mask_turn):
        return [problem]

    labels, specks = label_instances(mask, rule.threshold, rule.connectivity, rule.min_area)
    if not labels.any():
        what = f'holds no component of {rule.min_area} pixels or more'
        return [Problem(pair.mask, what, 'draw its cells, lower --min-area or remove the pair')]
    cut_labels, pieces = split_touching(labels, rule.min_area)
    areas, boxes = _measure(labels)
    merged = [{'bbox': boxes[k - 1], 'area': areas[k - 1], 'pieces': n} for k, n in pieces.items()]
    suspects = [k - 1 for k in pieces]
    if rule.split_touching and pieces:
        suspected = np.isin(labels, list(pieces))
        labels, (areas, boxes) = cut_labels, _measure(cut_labels)
        suspects = [int(k) - 1 for k in np.unique(cut_labels[suspected])]
    return Converted(
        pair=pair,
        width=image.shape[1],
        height=image.shape[0],
        rles=encode_label_map(labels),
        areas=areas,
        boxes=boxes,
        specks=[speck.area for speck in specks],
        merged=merged,
        suspects=suspects,
        thumbnail=thumbnail(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)),
        digest=hashlib.sha256(image_digest + mask_digest).hexdigest(),
        white=picture.white,
        remarks=picture.remarks,
    )


def _decode_mask(
    content: bytes, file: str, threshold: int, allow_grey: bool
) -> tuple[np.ndarray, int]:
    """A mask and its EXIF orientation."""
    turn = check_file(content, file)
    return decode_mask(content, file, threshold, allow_grey), turn


def _measure(labels: np.ndarray) -> tuple[list[int], list[list[int]]]:
    """Pixels and ``[x, y, width, height]`` of each cell of a label map."""
    # Not pycocotools' area(): with NumPy 2 it fails on more than 255 masks.
    areas, boxes = areas_and_boxes(labels, int(labels.max()))
    boxes[:, 2:] -= boxes[:, :2]
    return areas[1:].tolist(), boxes[1:].tolist()


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
