"""One image/mask pair to everything the data set needs to know of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from cellkit.instances import CONNECTIVITY, MIN_AREA, THRESHOLD, label_instances, split_touching
from cellkit.label_maps import areas_and_boxes
from cellkit.rle import encode_label_map
from data_prep.duplicates import thumbnail
from data_prep.pairs import Pair, Problem
from data_prep.reading import BadFile, check_file, decode_image, decode_mask, read_bytes


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
        digest: SHA-256 of the two files.
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


def convert_pair(
    data: Path, pair: Pair, rule: InstanceRule, allow_grey: bool = False
) -> Converted | list[Problem]:
    """Convert one pair, or say what is wrong with its files.

    Args:
        data: Folder that holds train and test.
        pair: Image and mask.
        rule: Instance rule.
        allow_grey: Cut grey values in the mask at the threshold.

    Returns:
        The converted pair, or at least one problem.
    """
    problems = []
    image = mask = None
    image_turn = mask_turn = 1
    image_bytes = mask_bytes = b''
    try:
        image_bytes = read_bytes(data, pair.image)
        image_turn = check_file(image_bytes, pair.image)
        image = decode_image(image_bytes, pair.image)
    except BadFile as error:
        problems.append(error.problem)
    try:
        mask_bytes = read_bytes(data, pair.mask)
        mask_turn = check_file(mask_bytes, pair.mask)
        mask = decode_mask(mask_bytes, pair.mask, rule.threshold, allow_grey)
    except BadFile as error:
        problems.append(error.problem)
    if image is not None and mask is not None:
        problems += _check_agreement(pair, image, mask, image_turn, mask_turn)
    if problems:
        return problems

    labels, specks = label_instances(mask, rule.threshold, rule.connectivity, rule.min_area)
    if not labels.any():
        return [
            Problem(
                pair.mask,
                f'holds no component of {rule.min_area} pixels or more',
                'draw its cells, lower --min-area or remove the pair',
            )
        ]
    cut_labels, pieces = split_touching(labels, rule.min_area)
    areas, boxes = _measure(labels)
    merged = [
        {'bbox': boxes[k - 1], 'area': areas[k - 1], 'pieces': number}
        for k, number in pieces.items()
    ]
    suspects = [k - 1 for k in pieces]
    if rule.split_touching and pieces:
        suspected = np.isin(labels, list(pieces))
        labels, (areas, boxes) = cut_labels, _measure(cut_labels)
        suspects = [int(k) - 1 for k in np.unique(cut_labels[suspected])]
    digest = hashlib.sha256(
        hashlib.sha256(image_bytes).digest() + hashlib.sha256(mask_bytes).digest()
    )
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
        digest=digest.hexdigest(),
    )


def _measure(labels: np.ndarray) -> tuple[list[int], list[list[int]]]:
    """Pixels and ``[x, y, width, height]`` of each cell of a label map."""
    # Not pycocotools' area(): with NumPy 2 it fails on more than 255 masks.
    areas, boxes = areas_and_boxes(labels, int(labels.max()))
    boxes[:, 2:] -= boxes[:, :2]
    return areas[1:].tolist(), boxes[1:].tolist()


def _check_agreement(
    pair: Pair, image: np.ndarray, mask: np.ndarray, image_turn: int, mask_turn: int
) -> list[Problem]:
    """Whether the mask lies on the image as training sees it."""
    same_size = image.shape[:2] == mask.shape
    swapped = image_turn >= 5  # orientations 5 to 8 exchange width and height
    if not same_size and swapped and mask_turn == 1 and image.shape[1::-1] == mask.shape:
        return [
            Problem(
                pair.image,
                f'is turned by its EXIF orientation ({image_turn}) and its mask is not',
                'save the image without that tag or turn the mask',
            )
        ]
    if not same_size:
        return [
            Problem(
                pair.mask,
                f'is {mask.shape[1]}x{mask.shape[0]} pixels but its image {pair.image} is '
                f'{image.shape[1]}x{image.shape[0]}',
                'export both at the same size',
            )
        ]
    square = image.shape[0] == image.shape[1]
    if image_turn not in (1, mask_turn) and (not swapped or square):
        return [
            Problem(
                pair.image,
                f'is turned by its EXIF orientation ({image_turn}) and its mask may not be',
                'check that they lie on each other and save both without that tag',
            )
        ]
    return []
