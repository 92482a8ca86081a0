"""Several pages of two values to one map of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellkit.errors import BadFile
from cellkit.value_regions import regions_of_value, value_regions

LOST_SHARE = 0.5
"""Greatest share of a cell that may lie under smaller cells."""

DIVIDED_SHARE = 0.05
"""Greatest share of values, or pages, with several large regions where each is one cell."""

CHOICE = (
    'pass --masks labels if each {0} is one cell, --masks regions if each connected region of a '
    '{0} is a cell, or --masks binary if all of it is one foreground'
)


def join_pages(
    pages: Sequence[np.ndarray], file: str, kind: str, connectivity: int
) -> tuple[np.ndarray, str]:
    """Lay the pages of one mask on each other.

    Each page is one cell, the pages without a foreground excepted. Where pages overlap, a pixel
    belongs to the smaller cell, of equal ones to that of the earlier page.

    Args:
        pages: ``(H, W)`` arrays of one size.
        file: The mask's name, for the message.
        kind: One of :data:`cellkit.files.masks.MASK_KINDS`; 'binary' unites the pages, 'regions'
            makes each connected region of a page a cell.
        connectivity: Neighbours of a pixel of a region, 4 or 8.

    Returns:
        ``(H, W)`` int32 label map in the order of the pages, or for 'binary' the bool foreground;
        and a remark for the user, often empty.

    Raises:
        BadFile: A page has more than two values or several large regions, or the pages show each
            other's cells.
    """
    number, divided, cells = 0, 0, []
    for n, page in enumerate(pages, start=1):
        foreground = _foreground(page, f'page {n} of {len(pages)}', file)
        if not foreground.any():
            continue
        number += 1
        if kind == 'regions':
            regions = regions_of_value(foreground, connectivity)
            cells += [_crop(regions == k, n) for k in range(1, int(regions.max()) + 1)]
        else:
            cells.append(_crop(foreground, n))
            divided += value_regions(cells[-1][1].astype(np.uint8)).divided
    if not cells:
        raise BadFile(file, 'is an empty mask (all black)', 'draw its cells or remove the pair')
    if kind == 'auto' and divided > DIVIDED_SHARE * number:
        what = f'has {len(pages)} pages, {divided} of them with several separate regions'
        raise BadFile(file, f'{what}, so they may not be a cell each', CHOICE.format('page'))
    labels = np.zeros(pages[0].shape[:2], np.int32)
    areas = [int(np.count_nonzero(cell)) for _, cell, _ in cells]
    for k in sorted(range(len(cells)), key=lambda k: (-areas[k], -k)):
        place, cell, _ = cells[k]
        labels[place][cell] = k + 1
    if kind == 'binary':
        return labels > 0, ''
    left = np.bincount(labels.ravel(), minlength=len(cells) + 1)[1:]
    for (_, _, n), area, rest in zip(cells, areas, left.tolist(), strict=True):
        if area - rest > LOST_SHARE * area:
            what = f'has {len(pages)} pages that overlap, so that little is left of page {n}'
            raise BadFile(file, what, 'export a label map, or one page a cell without overlap')
    remarks = []
    if hidden := sum(areas) - int(left.sum()):
        remarks.append(f'its pages overlap in {hidden} pixels, which go to the smaller cell')
    if divided:
        remarks.append(f'{divided} of its pages hold several regions, each page still one cell')
    return labels, '; '.join(remarks)


def _foreground(page: np.ndarray, name: str, file: str) -> np.ndarray:
    """The pixels of a page that have the higher one of two values, ``(H, W)`` bool."""
    flat = page if page.ndim == 2 else page.max(axis=2)
    low, high = flat.min(), flat.max()
    whole = low == high and high != 0
    several = page.ndim == 3 and len(np.unique(page[flat > 0], axis=0)) > 1
    if whole or several or ((flat != low) & (flat != high)).any():
        what = f'has several pages, and {name} is {"white all over" if whole else "not two values"}'
        remedy = 'export one label map, or pages of 0 and 255 with one cell each'
        raise BadFile(file, what, remedy)
    return flat > low


def _crop(bitmap: np.ndarray, page: int) -> tuple[tuple[slice, slice], np.ndarray, int]:
    """Where a cell lies, its crop, and the number of its page."""
    rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
    place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return place, bitmap[place].copy(), page
