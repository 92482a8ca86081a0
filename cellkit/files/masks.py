"""Read a mask as what it is: a foreground of two values, or a map that numbers its cells.

What a file holds is decided by its tags and by the regions of its values; docs/data.md tells the
rules. A file that could be two things, one of which would lose cells, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from cellkit.errors import BadFile
from cellkit.files.mask_pages import CHOICE, DIVIDED_SHARE, join_pages
from cellkit.files.mask_planes import Planes, read_planes
from cellkit.instances import CONNECTIVITY, THRESHOLD
from cellkit.value_regions import ValueRegions, flat_grey, regions_of_value, value_regions

MASK_KINDS: tuple[str, ...] = ('auto', 'binary', 'labels', 'regions')
"""What a mask of several values is: recognised; all of them one foreground; a value a cell; a
connected region of one value a cell."""

SOLID_SHARE = 0.8
"""Least share of values that lie in solid regions where values number cells. On 20 real masks
as label maps it is 1.0, on the same masks smoothed or through JPEG at most 0.33."""

LOOSE_SHARE = 0.005
"""Greatest share of the foreground outside solid regions where values number cells. On those label
maps it is at most 0.0002, on the same ones smoothed, scaled or through JPEG at least 0.015."""

FLAT_SHARE = 0.005
"""Least share of the foreground in even grey regions that a smoothed mask of two values has not.
On those masks smoothed or through JPEG it is at most 0.003, on such label maps above 0.1."""

PLAIN = ''
"""The form of a mask of 0 and 255."""


@dataclass(frozen=True)
class Mask:
    """A mask that was read.

    Attributes:
        cells: ``(H, W)`` bool foreground, whose connected components are the cells, or an int32
            label map of ``0..N``, whose labels are the cells.
        form: What the file was read as, in the plural: 'label maps'; empty for 0 and 255.
        orientation: The file's EXIF orientation, 1 to 8, which ``cells`` has obeyed already.
        remark: What a user should know of it, often empty.
    """

    cells: np.ndarray
    form: str = PLAIN
    orientation: int = 1
    remark: str = ''


def read_mask(
    content: bytes,
    file: str,
    kind: str = 'auto',
    threshold: int = THRESHOLD,
    allow_grey: bool = False,
    invert: bool = False,
    connectivity: int = CONNECTIVITY,
) -> Mask:
    """Read the mask that a file's bytes hold.

    Args:
        content: The file's bytes.
        file: Its name, for the message.
        kind: One of :data:`MASK_KINDS`.
        threshold: Of a grey mask, foreground is greater than this.
        allow_grey: Cut grey between the two values at the threshold; else it is an error.
        invert: Of a mask of two values, the lower one is the foreground.
        connectivity: Neighbours of a pixel of a region, 4 or 8.

    Raises:
        BadFile: Damaged, empty, full, grey or not clearly one thing; the message says what to do.
    """
    planes = read_planes(content, file)
    if len(planes.pages) > 1:
        cells, remark = join_pages(planes.pages, file, kind, connectivity)
        mask = Mask(cells, 'pages, one a cell' if cells.dtype != bool else 'pages', remark=remark)
    else:
        values, form, grey = _values(planes, file)
        reader = _Reader(file, kind, threshold, allow_grey, connectivity)
        mask = reader.read(values, form, grey)
    if invert and mask.cells.dtype == bool:
        form = f'{mask.form}, inverted' if mask.form else 'inverted masks'
        mask = replace(mask, cells=~mask.cells, form=form)
    return replace(mask, orientation=planes.orientation)


def _values(planes: Planes, file: str) -> tuple[np.ndarray, str, bool]:
    """One number a pixel, 0 for the background, without joining what differs.

    Returns:
        ``(H, W)`` numbers; the form, if the numbers are not the file's own; and whether they are
        shades of grey, or else names of colours.
    """
    values, form, grey = planes.pages[0], PLAIN, True
    if planes.palette is not None:
        values, grey = _from_palette(values, planes.palette, file)
        form = PLAIN if grey else 'palette pictures'
    elif values.ndim == 3:
        values, grey = _from_colours(values)
        form = PLAIN if grey else 'coloured cells'
    if planes.min_is_white:
        form = 'masks where 0 is white'
    alpha = planes.alpha
    if alpha is not None and alpha.min() != alpha.max():
        if values.min() == values.max():
            return alpha, 'alpha channels', True
        if ((values != 0) & (alpha == 0)).any():
            what = 'has an alpha channel that hides a part of its foreground'
            raise BadFile(file, what, 'export it without transparency')
    return values, form, grey


def _from_colours(samples: np.ndarray) -> tuple[np.ndarray, bool]:
    """A number for each colour of ``(H, W, 3)``, black being 0, and whether they are shades."""
    channels = cv2.split(samples)
    if all(np.array_equal(channels[0], c) for c in channels[1:]):
        return channels[0], True
    used = [c for c in channels if c.any()]
    if len(used) == 1:
        return used[0], True
    bits = 8 * samples.dtype.itemsize
    if samples.dtype.kind != 'u' or bits > 16:
        return np.unique(samples.reshape(-1, 3), axis=0, return_inverse=True)[1].reshape(
            samples.shape[:2]
        ), False
    colours = np.zeros(samples.shape[:2], np.int64)
    for channel in channels:
        colours = (colours << bits) | channel
    return colours, False


def _from_palette(indices: np.ndarray, palette: np.ndarray, file: str) -> tuple[np.ndarray, bool]:
    """Shades of grey where the palette has these alone or two colours, else indices.

    The background is the index that is black, or else index 0; where these are two, the one that
    most of the border has.
    """
    used = np.flatnonzero(np.bincount(indices.ravel()))
    colours = palette[used].astype(np.int64)
    shades = colours @ (299, 587, 114) // 1000
    if len(np.unique(shades)) == len(used) and (
        np.ptp(colours, axis=1).max() == 0 or len(used) < 3
    ):
        lookup = np.zeros(int(used[-1]) + 1, np.uint8)
        lookup[used] = shades
        return lookup[indices], True
    black = used[~colours.any(axis=1)]
    candidates = np.union1d(black[:1], used[used == 0])
    if not len(candidates):
        what = 'is a palette picture with neither black nor index 0, so its background is not known'
        raise BadFile(file, what, 'export it as a label map whose background is 0')
    border = np.concatenate([indices[0], indices[-1], indices[:, 0], indices[:, -1]])
    background = max(candidates, key=lambda k: np.count_nonzero(border == k))
    numbers = indices.astype(np.int64) + 1
    numbers[indices == background] = 0
    return numbers, False


@dataclass(frozen=True)
class _Reader:
    """Decides what the values of one page are; the fields are those of :func:`read_mask`."""

    file: str
    kind: str
    threshold: int
    allow_grey: bool
    connectivity: int

    def read(self, values: np.ndarray, form: str, grey: bool) -> Mask:
        values = self._whole_numbers(values)
        found, ranks = _ranks(values)
        if len(found) == 1:
            if found[0] == 0:
                remedy = 'draw its cells or remove the pair'
                raise BadFile(self.file, 'is an empty mask (all black)', remedy)
            what = 'is white all over' if found[0] > 0 else 'has one value all over'
            raise BadFile(self.file, what, 'draw its background black or remove the pair')
        if len(found) == 2 and self.kind in ('auto', 'binary'):
            low, high = (f'{v:g}' for v in found)
            plain = not grey or (found[0] == 0 and found[1] in (255, 65535))
            return Mask(
                ranks.astype(bool, copy=False),
                form or ('' if plain else f'masks of {low} and {high}'),
            )
        ranks = ranks.astype(np.int32)
        regions = value_regions(ranks)
        solid = regions.solid >= SOLID_SHARE * regions.values or self.kind != 'auto'
        if solid and regions.loose <= LOOSE_SHARE:
            return self._numbers(found, ranks, regions, form)
        return self._shades(values, regions, form, grey)

    def _whole_numbers(self, values: np.ndarray) -> np.ndarray:
        """The same values as the smallest unsigned type, if they are whole and not negative."""
        if values.dtype in (np.uint8, np.uint16):
            return values
        if values.dtype.kind not in 'iuf' or not np.isfinite(values).all():
            what = 'has values that are no numbers'
            raise BadFile(self.file, what, 'export it as PNG of 0 and 255 or as a label map')
        low, high = values.min(), values.max()
        if low < 0:
            what = f'has values below 0 (its least is {low:g})'
            raise BadFile(self.file, what, 'export it as a label map whose background is 0')
        if values.dtype.kind == 'f' and (high >= 1 << 53 or (values != np.rint(values)).any()):
            return values
        return values.astype(np.uint16 if high < 1 << 16 else np.uint64)

    def _numbers(
        self, found: np.ndarray, ranks: np.ndarray, regions: ValueRegions, form: str
    ) -> Mask:
        """Cells of a map whose values lie in solid regions."""
        if found[0] != 0:
            what = f'has {len(found)} values and no 0, so its background is not known'
            raise BadFile(self.file, what, 'export it with 0 as background')
        if self.kind == 'binary':
            return Mask(ranks > 0, form or 'masks of several values, all one foreground')
        if self.kind == 'regions':
            cells = regions_of_value(ranks, self.connectivity).astype(np.int32)
            return Mask(cells, form or 'maps of which each region is a cell')
        if self.kind == 'auto' and regions.divided > DIVIDED_SHARE * regions.values:
            what = (
                f'has {regions.values} values beside its background, {regions.divided} of them in '
                'several separate regions, so it may be a map of cells or of classes'
            )
            raise BadFile(self.file, what, CHOICE.format('value'))
        remark = ''
        if regions.divided:
            remark = f'{regions.divided} of its labels lie in several regions, each still one cell'
        return Mask(ranks, form or 'label maps', remark=remark)

    def _shades(self, values: np.ndarray, regions: ValueRegions, form: str, grey: bool) -> Mask:
        """The foreground of a mask with grey between its two values, if that is allowed."""
        if not grey:
            what = 'is a picture in several colours, not a mask'
            remedy = 'export it as PNG of 0 and 255, or with one even colour a cell on black'
            raise BadFile(self.file, what, remedy)
        if values.dtype not in (np.uint8, np.uint16):
            what = f'is a mask of {values.dtype} values that are neither two nor numbers of cells'
            raise BadFile(self.file, what, 'export it as 8-bit PNG of 0 and 255')
        if values.dtype == np.uint16:
            values = (values >> 8 if values.max() > 255 else values).astype(np.uint8)
        low, high = int(values.min()), int(values.max())
        if (even := flat_grey(values)) >= FLAT_SHARE:
            what = (
                f'has even regions of grey ({even:.0%} of its foreground) beside shades, as a map '
                'of cells has that was smoothed or saved as JPEG; a threshold would lose cells'
            )
            remedy = 'export it again without smoothing, scaling and JPEG'
            if regions.loose <= LOOSE_SHARE:
                remedy += ', or pass --masks labels if each of its values is one cell'
            raise BadFile(self.file, what, remedy)
        if not self.allow_grey:
            shades = int(np.count_nonzero((values > low) & (values < high)))
            what = (
                f'has grey values between black and white ({shades} pixels, '
                f'{regions.values + 1} values)'
            )
            remedy = 'export it as PNG without smoothing or scaling, or pass --allow-grey to cut it'
            raise BadFile(self.file, what, f'{remedy} at {self.threshold}')
        if not low <= self.threshold < high:
            what = f'has grey values from {low} to {high}, none on one side of {self.threshold}'
            remedy = f'scale it to 0 and 255 or pass --threshold {(low + high) // 2}'
            raise BadFile(self.file, what, remedy)
        words = f'grey masks, cut at {self.threshold}'
        return Mask(values > self.threshold, f'{form}, {words}' if form else words)


def _ranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that occur, ascending, and for each pixel the place of its value among them."""
    if values.dtype == np.uint8:
        found = np.flatnonzero(cv2.calcHist([values], [0], None, [256], [0, 256]))
    elif values.dtype == np.uint16:
        found = np.flatnonzero(np.bincount(values.ravel()))
    else:
        found, ranks = np.unique(values, return_inverse=True)
        return found, ranks.reshape(values.shape)
    if len(found) < 3:
        return found, values == int(found[-1])  # not NumPy's own integer, which is 64 bit
    lookup = np.zeros(int(found[-1]) + 1, np.int32)
    lookup[found] = np.arange(len(found))
    return found, lookup[values]
