"""Does each mask lie on its picture? Compare it with that, turned, and with the other pictures.

Cells are darker than the background of a stained smear, so a small picture of a mask correlates
with the small picture of its image, once dark is turned to bright. Measured on 60 real pairs:

- a mask with its own picture at least 0.81, median 0.93;
- with another picture at most 0.14; mirrored or turned, with its own at most 0.19;
- inverted at most -0.81.

Made wrong on purpose among the right ones, all were found and no right one was accused: 500
exchanged pairs, 500 masks of a picture that is not there, each mask inverted, upside down, mirrored
and turned by 180°. A shift by 50 pixels (half a cell) is found in 58 of 60, one by 20 never; half
of the cells missing never, 70 % in 17 of 60.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from cellkit.errors import Problem
from data_prep.convert import Converted
from data_prep.duplicates import SIDE

MARGIN = 0.3
"""A mask is on the wrong picture, or turned, where the correlation is better by this elsewhere: on
the real pairs it is never better by more than -0.68."""

DOUBT = 0.4
"""A mask with less correlation with its picture than this, and than MARGIN below the median of
all, is doubtful."""

INVERTED = -0.3
"""A correlation below this says that foreground is brighter than background."""

MOST = 0.5
"""A foreground is inverted rather than bright cells where its greatest component has more than
this share of it or it fills more than this share of the border. On the real masks these are at
most 0.09 and 0.46, on the same ones inverted at least 0.998 and 0.54."""

SHEET = 0.5
"""Greatest share of a picture that one cell may fill; on the real masks it is 0.02."""

HOLLOW = 0.35
"""Least median share of its box that a cell fills; a disc fills 0.79. On the real masks it is at
least 0.69, on their outlines, 3 to 7 pixels wide, at most 0.21."""

_TURNS = {  # of a picture: what undoes it on the mask, and whether width and height stay
    'upside down': (lambda m: m[::-1], True),
    'mirrored': (lambda m: m[:, ::-1], True),
    'turned by 180°': (lambda m: m[::-1, ::-1], True),
    'turned left by 90°': (lambda m: np.rot90(m), False),
    'turned right by 90°': (lambda m: np.rot90(m, 3), False),
    'transposed': (lambda m: m.T, False),
    'transposed and turned by 180°': (lambda m: m[::-1, ::-1].T, False),
}


class Doubt(NamedTuple):
    """Something implausible about a mask.

    Attributes:
        problem: The mask's file, what is wrong and what to do.
        impossible: Whether it is certain enough to be an error.
    """

    problem: Problem
    impossible: bool


def doubts(converted: Sequence[Converted]) -> list[Doubt]:
    """The masks that don't fit their pictures, at most one doubt a mask, in order."""
    if not converted:
        return []
    pictures = -np.stack([_vector(item.thumbnail) for item in converted])
    fit = pictures @ np.stack([_vector(item.foreground) for item in converted]).T
    own = np.diag(fit)
    flat = ~pictures.any(axis=1)
    median = float(np.median(own[~flat])) if not flat.all() else 0.0
    sizes = np.array([(item.width, item.height) for item in converted])
    found = []
    for k, item in enumerate(converted):
        doubt = None if flat[k] else _inverted(item, own[k])
        doubt = doubt or _sheet(item, own[k]) or _hollow(item)
        if not doubt and not flat[k]:
            elsewhere = np.where((sizes == sizes[k]).all(axis=1), fit[:, k], -1)
            doubt = (
                _turned(item, pictures[k], own[k])
                or _exchanged(converted, k, elsewhere)
                or _loose(item, own[k], median)
            )
        if doubt:
            found.append(doubt)
    return found


def _vector(small: np.ndarray) -> np.ndarray:
    """A small picture without uneven light, flat, of mean 0 and norm 1; zeros when it is even."""
    picture = small.astype(np.float32)
    picture -= cv2.GaussianBlur(picture, (0, 0), SIDE / 16)
    picture -= picture.mean()
    norm = float(np.linalg.norm(picture))
    return np.ravel(picture / norm if norm >= 0.1 * SIDE else picture * 0)


def _inverted(item: Converted, own: float) -> Doubt | None:
    if own > INVERTED:
        return None
    what = f'has a foreground that is brighter than its background (correlation {own:.2f})'
    if item.border_share > MOST or max(item.areas) > MOST * sum(item.areas):
        what += ' and surrounds it: it is inverted'
        remedy = 'exchange its two values, or pass --invert if all masks are like this'
        return Doubt(Problem(item.pair.mask, what, remedy), True)
    return Doubt(Problem(item.pair.mask, what, 'look whether it lies on the cells'), False)


def _sheet(item: Converted, own: float) -> Doubt | None:
    share = max(item.areas) / (item.width * item.height)
    if share <= SHEET:
        return None
    what = f'has one cell over {share:.0%} of the picture'
    remedy = 'set its background to 0 and draw its cells apart'
    return Doubt(Problem(item.pair.mask, what, remedy), own < DOUBT and item.border_share > MOST)


def _hollow(item: Converted) -> Doubt | None:
    shares = [a / (w * h) for a, (_, _, w, h) in zip(item.areas, item.boxes, strict=True)]
    share = float(np.median(shares))
    if share >= HOLLOW:
        return None
    what = f'has outlines, not cells: half of them fill less than {share:.0%} of their boxes'
    return Doubt(Problem(item.pair.mask, what, 'fill them'), True)


def _turned(item: Converted, picture: np.ndarray, own: float) -> Doubt | None:
    fits = {
        name: float(picture @ _vector(np.ascontiguousarray(turn(item.foreground))))
        for name, (turn, keeps) in _TURNS.items()
        if keeps or item.width == item.height
    }
    best = max(fits, key=lambda name: fits[name])
    if fits[best] < own + MARGIN:
        return None
    what = f'fits its picture far better {best} (correlation {fits[best]:.2f} for {own:.2f})'
    return Doubt(Problem(item.pair.mask, what, 'turn it back'), True)


def _exchanged(converted: Sequence[Converted], k: int, fit: np.ndarray) -> Doubt | None:
    """``fit``: correlation of each picture with mask ``k``."""
    best = int(np.argmax(fit))
    if fit[best] < fit[k] + MARGIN:
        return None
    what = (
        f'fits {converted[best].pair.image} far better than its own picture (correlation '
        f'{fit[best]:.2f} for {fit[k]:.2f})'
    )
    return Doubt(Problem(converted[k].pair.mask, what, 'give each picture its own mask'), True)


def _loose(item: Converted, own: float, median: float) -> Doubt | None:
    if own >= min(DOUBT, median - MARGIN):
        return None
    what = f'hardly follows its picture (correlation {own:.2f}, median of all {median:.2f})'
    return Doubt(Problem(item.pair.mask, what, 'look whether it is the right one'), False)
