"""COCO run-length encoding of a whole image's instances at once.

COCO describes a mask by the lengths of its runs in column-major order, beginning with background,
and packs them into text: each length from the fourth on is replaced by its difference from the
length two places earlier, then written in groups of five bits, low bits first (bit 5 of a
character: more follow; bit 4 of the last one: sign), each group as the character ``48 + group``.
The functions here do that for all instances together from one pass over the label map, where
pycocotools reads the whole image once a cell. The strings are the same, character for character.

Source of the format: ``rleEncode``, ``rleToString`` and ``rleFrString`` in pycocotools'
``maskApi.c``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from cellkit.label_maps import smallest_dtype

MAX_CHARACTERS = 7  # five bits each: enough for any length below 2**31


class Runs(NamedTuple):
    """The foreground runs of several masks of one image size.

    Attributes:
        starts: (R,) int64, first pixel of each run, column-major (``x * height + y``).
        ends: (R,) int64, one past the last pixel.
        owners: (R,) int64, index of the mask that each run belongs to, ascending; ``starts`` ascend
            within one.
    """

    starts: np.ndarray
    ends: np.ndarray
    owners: np.ndarray


def encode_label_map(label_map: np.ndarray, num: int | None = None) -> list[dict]:
    """Encode every instance of a label map in one pass.

    Args:
        label_map: (H, W) integers; 0 is background, k is instance k.
        num: how many instances to return; the greatest label when None.

    Returns:
        ``num`` RLE dicts ``{"size": [H, W], "counts": str}``; element k - 1 is label k. A label
        without a pixel gives an empty mask.

    Raises:
        ValueError: if the map is not two-dimensional, not integer, or holds a label outside 0..num.
    """
    label_map = np.asarray(label_map)
    if label_map.ndim != 2 or label_map.dtype.kind not in 'iub':
        raise ValueError(
            f'a label map must be (H, W) integers, not {label_map.shape} {label_map.dtype}'
        )
    height, width = label_map.shape
    if label_map.size == 0:
        return _encode(Runs(*(np.zeros(0, np.int64),) * 3), num or 0, height, width)
    smallest, greatest = int(label_map.min()), int(label_map.max())
    num = greatest if num is None else num
    if smallest < 0 or greatest > num:
        raise ValueError(f'labels must lie in 0..{num}, the map holds {smallest}..{greatest}')
    flat = _transposed(label_map.astype(smallest_dtype(greatest), copy=False)).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [flat.size]))
    labels = flat[starts]
    order = np.argsort(labels, kind='stable')[np.count_nonzero(labels == 0) :]
    owners = labels[order].astype(np.int64) - 1
    return _encode(Runs(starts[order], ends[order], owners), num, height, width)


def encode_crops(
    crops: Sequence[np.ndarray], xs: Sequence[int], ys: Sequence[int], height: int, width: int
) -> list[dict]:
    """Encode full-size masks of which only the part inside a crop is given.

    Args:
        crops: N arrays (h, w), any sizes, foreground where non-zero.
        xs: N columns of the crops' left edges in the full image, pixels.
        ys: N rows of the crops' top edges, pixels.
        height, width: of the full image, pixels.

    Returns:
        N RLE dicts of size ``[height, width]``.

    Raises:
        ValueError: if a crop reaches out of the image.
    """
    count = len(crops)
    if count == 0:
        return []
    shapes = np.array([np.shape(crop) for crop in crops], np.int64).reshape(count, 2)
    xs, ys = np.asarray(xs, np.int64), np.asarray(ys, np.int64)
    outside = (xs < 0) | (ys < 0) | (xs + shapes[:, 1] > width) | (ys + shapes[:, 0] > height)
    if outside.any():
        k = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f'crop {k} of shape {tuple(shapes[k])} at x={xs[k]}, y={ys[k]} '
            f'reaches out of the {width}x{height} image'
        )
    # Each column is followed by one background pixel, so that no run goes on into the next column
    # or crop.
    strides = shapes[:, 0] + 1
    offsets = np.concatenate(([0], np.cumsum(strides * shapes[:, 1])))
    flat = np.zeros(offsets[-1] + 1, np.uint8)
    for crop, offset, (h, w) in zip(crops, offsets, shapes, strict=False):
        columns = flat[offset : offset + (h + 1) * w].reshape(w, h + 1)
        np.not_equal(np.asarray(crop).T, 0, out=columns[:, :h].view(bool))
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        edges = np.concatenate(([0], edges))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    owners = np.searchsorted(offsets, starts, side='right') - 1
    columns, rows = np.divmod(starts - offsets[owners], strides[owners])
    starts = (xs[owners] + columns) * height + ys[owners] + rows
    return _encode(_joined(Runs(starts, starts + lengths, owners)), count, height, width)


def decode_runs(rles: Sequence[dict]) -> Runs:
    """Read the foreground runs of RLE masks without painting them.

    Args:
        rles: RLE dicts of one size; ``counts`` is a str, bytes, or a list of run lengths.

    Returns:
        The runs of all masks; mask k of the list owns the runs with ``owners == k``.

    Raises:
        ValueError: if a mask's run lengths don't add up to its size, or the sizes differ.
    """
    if not rles:
        return Runs(*(np.zeros(0, np.int64),) * 3)
    height, width = image_size(rles)
    if all(isinstance(rle['counts'], (str, bytes)) for rle in rles):
        values, sizes = _parse([rle['counts'] for rle in rles])
        counts = _undo_differences(values, sizes)
    else:
        lengths = [_uncompressed(rle['counts']) for rle in rles]
        sizes = np.array([len(item) for item in lengths])
        counts = np.concatenate(lengths)
    ends = np.cumsum(counts)
    last = np.cumsum(sizes) - 1
    owners = np.repeat(np.arange(len(rles)), sizes)
    sums = np.diff(ends[last], prepend=0) if sizes.all() else np.zeros(1)
    if (sums != height * width).any() or (counts < 0).any():
        raise ValueError(
            f"the run lengths of an RLE mask don't add up to its size, {height}x{width}"
        )
    ends -= owners * (height * width)
    foreground = (_ranks(sizes) % 2 == 1) & (counts > 0)
    ends, counts, owners = ends[foreground], counts[foreground], owners[foreground]
    return Runs(ends - counts, ends, owners)


def decode_to_label_map(
    rles: Sequence[dict],
    order: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    dtype: np.typing.DTypeLike = np.int32,
) -> np.ndarray:
    """Paint RLE masks into one label map straight from their run lengths.

    Args:
        rles: N RLE dicts of one size.
        order: the indices of ``rles`` in painting order, later ones over earlier ones; 0..N-1 when
            None. Masks that it leaves out are not painted.
        size: (height, width) of the result; needed only if ``rles`` is empty.
        dtype: integer type of the result.

    Returns:
        (H, W) label map, C-contiguous; k + 1 where mask k lies, 0 elsewhere.

    Raises:
        ValueError: if sizes differ, run lengths don't add up, ``size`` is missing, or N is too
            great for ``dtype``.
    """
    return decode_and_check(rles, order, size, dtype)[0]


def decode_and_check(
    rles: Sequence[dict],
    order: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    dtype: np.typing.DTypeLike = np.int32,
) -> tuple[np.ndarray, bool]:
    """Like :func:`decode_to_label_map`; also tell whether a pixel was claimed twice.

    Returns:
        The (H, W) label map, and True if two of the painted masks share a pixel.
    """
    height, width = image_size(rles, size)
    if len(rles) > np.iinfo(dtype).max:
        raise ValueError(f'{len(rles)} masks need more labels than {np.dtype(dtype)} holds')
    starts, ends, owners = decode_runs(rles)
    # Painted in as few bytes as will do: the passes over the image cost what they move.
    labels = (owners + 1).astype(smallest_dtype(len(rles)))
    if order is not None:
        rank = np.full(len(rles), -1)
        rank[np.asarray(order, np.int64)] = np.arange(len(order))
        ranks = rank[owners]
        chosen = np.argsort(ranks, kind='stable')[np.count_nonzero(ranks < 0) :]
        starts, ends, labels = starts[chosen], ends[chosen], labels[chosen]
    along = np.argsort(starts, kind='stable')
    overlap = bool((ends[along][:-1] > starts[along][1:]).any())
    if overlap:
        flat = np.zeros(height * width, labels.dtype)
        for start, end, label in zip(starts.tolist(), ends.tolist(), labels.tolist(), strict=True):
            flat[start:end] = label
    else:
        bounds = np.zeros(2 * len(along) + 2, np.int64)
        bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = starts[along], ends[along], height * width
        values = np.zeros(2 * len(along) + 1, labels.dtype)
        values[1::2] = labels[along]
        flat = np.repeat(values, np.diff(bounds))
    label_map = _transposed(flat.reshape(width, height))
    return label_map.astype(dtype, copy=False), overlap


def image_size(rles: Sequence[dict], size: tuple[int, int] | None = None) -> tuple[int, int]:
    """The (height, width) in pixels that all masks share, and ``size`` if it is given.

    Raises:
        ValueError: if the sizes differ, or there is none.
    """
    sizes = {(int(rle['size'][0]), int(rle['size'][1])) for rle in rles}
    if size is not None:
        sizes.add((int(size[0]), int(size[1])))
    if len(sizes) != 1:
        found = sorted(sizes) or 'none'
        raise ValueError(f'RLE masks of one image must have one size, not {found}')
    return sizes.pop()


def _transposed(array: np.ndarray) -> np.ndarray:
    """The transpose as a C-contiguous array; OpenCV's is several times faster than NumPy's."""
    if array.flags.f_contiguous or array.size == 0:
        return np.ascontiguousarray(array.T)
    return cv2.transpose(array)


def _joined(runs: Runs) -> Runs:
    """Join runs of one mask that touch, as those of neighbouring full-height columns do."""
    starts, ends, owners = runs
    touch = (ends[:-1] == starts[1:]) & (owners[:-1] == owners[1:])
    if not touch.any():
        return runs
    first, last = np.concatenate(([True], ~touch)), np.concatenate((~touch, [True]))
    return Runs(starts[first], ends[last], owners[first])


def _ranks(sizes: np.ndarray) -> np.ndarray:
    """0, 1, 2 ... within each group, for groups of the given sizes laid end to end."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _encode(runs: Runs, num: int, height: int, width: int) -> list[dict]:
    """RLE dicts of ``num`` masks from their runs."""
    total = height * width
    starts, ends, owners = runs
    runs_per_mask = np.bincount(owners, minlength=num)
    stops = np.cumsum(runs_per_mask)
    filled = runs_per_mask > 0
    tail = np.full(num, total)  # background after the last run; not written if there is none
    tail[filled] -= ends[stops[filled] - 1]
    sizes = 2 * runs_per_mask + ((tail > 0) | ~filled)
    count_stops = np.cumsum(sizes)
    counts = np.zeros(int(sizes.sum()), np.int64)
    place = 2 * np.arange(len(starts)) + (count_stops - sizes - 2 * (stops - runs_per_mask))[owners]
    previous_end = np.zeros_like(starts)
    same = owners[1:] == owners[:-1]
    previous_end[1:][same] = ends[:-1][same]
    counts[place] = starts - previous_end
    counts[place + 1] = ends - starts
    counts[count_stops[tail > 0] - 1] = tail[tail > 0]
    return [{'size': [height, width], 'counts': text} for text in _format(counts, sizes)]


def _format(counts: np.ndarray, sizes: np.ndarray) -> list[str]:
    """Write run lengths of several masks, laid end to end, as COCO strings."""
    values = counts.copy()
    late = np.flatnonzero(_ranks(sizes) > 2)
    values[late] -= counts[late - 2]
    lengths = np.ones(len(values), np.int64)
    magnitude = np.where(values < 0, ~values, values)
    for characters in range(1, MAX_CHARACTERS):
        lengths += magnitude >= 1 << (5 * characters - 1)
    stops = np.cumsum(lengths)
    text = np.empty(int(lengths.sum()), np.uint8)
    place = stops - lengths
    for _ in range(MAX_CHARACTERS):
        lengths -= 1
        text[place] = (values & 31) + 48 + 32 * (lengths > 0)
        more = lengths > 0
        values, lengths, place = values[more] >> 5, lengths[more], place[more] + 1
        if not len(values):
            break
    letters = text.tobytes().decode('ascii')
    cuts = np.concatenate(([0], stops))[np.concatenate(([0], np.cumsum(sizes)))].tolist()
    return [letters[start:stop] for start, stop in pairwise(cuts)]


def _parse(texts: Sequence[str | bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Read the numbers in COCO strings: all values end to end, and how many each string held."""
    texts = [text.encode('ascii') if isinstance(text, str) else text for text in texts]
    groups = np.frombuffer(b''.join(texts), np.uint8).astype(np.int64) - 48
    if len(groups) == 0:
        return np.zeros(0, np.int64), np.zeros(len(texts), np.int64)
    text_stops = np.cumsum([len(text) for text in texts])
    final = groups & 32 == 0
    if not final[text_stops[text_stops > 0] - 1].all() or groups.min() < 0 or groups.max() > 63:
        raise ValueError("the counts of an RLE mask are cut off or not COCO's compressed form")
    lasts = np.flatnonzero(final)
    firsts = np.concatenate(([0], lasts[:-1] + 1))
    shifts = 5 * _ranks(lasts - firsts + 1)
    values = np.add.reduceat((groups & 31) << shifts, firsts)
    negative = groups[lasts] & 16 != 0
    values[negative] -= 1 << (shifts[lasts[negative]] + 5)
    numbers = np.searchsorted(lasts, text_stops)
    return values, np.diff(numbers, prepend=0)


def _undo_differences(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Undo ``counts[i] -= counts[i - 2] for i > 2`` by sums over every other value of a mask."""
    ranks = _ranks(sizes)
    counts = values.copy()
    for chain in ((ranks % 2 == 1), (ranks % 2 == 0) & (ranks > 0)):
        members = np.flatnonzero(chain)
        if not len(members):
            continue
        sums = np.cumsum(values[members])
        first = ranks[members] <= 2
        base = (sums - values[members])[first]
        counts[members] = sums - base[np.cumsum(first) - 1]
    return counts


def _uncompressed(counts: str | bytes | Sequence[int]) -> np.ndarray:
    """Run lengths of one mask whatever form they are in."""
    if isinstance(counts, (str, bytes)):
        return _undo_differences(*_parse([counts]))
    return np.asarray(counts, np.int64)
