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
    """The foreground runs of several masks of one image size, (R,) int64 each.

    Pixels count column by column (``x * height + y``). Owners ascend, starts ascend within one.
    """

    starts: np.ndarray
    ends: np.ndarray  # one past the last pixel
    owners: np.ndarray  # index of the mask that a run belongs to


def encode_label_map(label_map: np.ndarray, num: int | None = None) -> list[dict]:
    """RLE dicts ``{"size": [H, W], "counts": str}`` of labels 1..num, from one pass over the map.

    ``num`` is the greatest label when None. A label without a pixel gives an empty mask.

    Raises:
        ValueError: The map is not (H, W) integers, or holds a label outside 0..num.
    """
    label_map = np.asarray(label_map)
    if label_map.ndim != 2 or label_map.dtype.kind not in 'iub':
        raise ValueError(
            f'a label map must be (H, W) integers, not {label_map.shape} {label_map.dtype}'
        )
    height, width = label_map.shape
    if label_map.size == 0:
        return _encode(decode_runs([]), num or 0, height, width)
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
    """RLE dicts of full-size masks, each given by a crop that holds all its foreground.

    Args:
        crops: N arrays (h, w), any sizes, foreground where non-zero.
        xs, ys: Columns and rows of their upper left pixels in the full image.
        height, width: Of the full image, pixels.

    Raises:
        ValueError: A crop reaches out of the image.
    """
    if len(crops) == 0:
        return []
    shapes = np.array([np.shape(crop) for crop in crops], np.int64)
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
    ends = starts + lengths
    return encode_runs(Runs(starts, ends, owners), len(crops), height, width)


def encode_runs(runs: Runs, num: int, height: int, width: int) -> list[dict]:
    """RLE dicts of ``num`` masks of one size; runs of a mask that touch become one."""
    starts, ends, owners = runs
    touch = np.zeros(len(starts) + 1, bool)
    touch[1:-1] = (ends[:-1] == starts[1:]) & (owners[:-1] == owners[1:])
    first, last = ~touch[:-1], ~touch[1:]
    return _encode(Runs(starts[first], ends[last], owners[first]), num, height, width)


def decode_runs(rles: Sequence[dict]) -> Runs:
    """Read the foreground runs of RLE masks without painting them.

    ``counts`` of a mask is a str, bytes, or a list of run lengths.

    Raises:
        ValueError: A mask's run lengths don't add up to its size, or the sizes differ.
    """
    if not rles:
        return Runs(*(np.zeros(0, np.int64),) * 3)
    height, width = image_size(rles)
    given = [rle['counts'] for rle in rles]
    if all(isinstance(item, (str, bytes)) for item in given):
        counts, sizes = _parse(given)
    else:
        lengths = [_parse([c])[0] if isinstance(c, (str, bytes)) else c for c in given]
        sizes = np.array([len(item) for item in lengths])
        counts = np.concatenate([np.asarray(item, np.int64) for item in lengths])
    ends = np.cumsum(counts)
    owners = np.repeat(np.arange(len(rles)), sizes)
    sums = np.diff(ends[np.cumsum(sizes) - 1], prepend=0) if sizes.all() else np.zeros(1)
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
    """Paint RLE masks into one (H, W) label map, k + 1 where mask k lies, from their run lengths.

    Args:
        rles: N RLE dicts of one size.
        order: Indices of masks, later ones painted over earlier ones; 0..N-1 when None. Masks that
            it leaves out are not painted.
        size: (height, width) of the result; needed only if ``rles`` is empty.
        dtype: Integer type of the result, which is C-contiguous.

    Raises:
        ValueError: Sizes differ, run lengths don't add up, ``size`` is missing, or N is too great
            for ``dtype``.
    """
    return decode_and_check(rles, order, size, dtype)[0]


def decode_and_check(
    rles: Sequence[dict],
    order: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    dtype: np.typing.DTypeLike = np.int32,
) -> tuple[np.ndarray, bool]:
    """:func:`decode_to_label_map`, and whether two of the painted masks share a pixel."""
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
    return _transposed(flat.reshape(width, height)).astype(dtype, copy=False), overlap


def image_size(rles: Sequence[dict], size: tuple[int, int] | None = None) -> tuple[int, int]:
    """The one (height, width), pixels, of all masks and of ``size``; else a ValueError."""
    given = [rle['size'] for rle in rles] + ([] if size is None else [size])
    sizes = {(int(height), int(width)) for height, width in given}
    if len(sizes) != 1:
        found = sorted(sizes) or 'none'
        raise ValueError(f'RLE masks of one image must have one size, not {found}')
    return sizes.pop()


def _transposed(array: np.ndarray) -> np.ndarray:
    """The transpose as a C-contiguous array; OpenCV's is several times faster than NumPy's."""
    if array.flags.f_contiguous or array.size == 0:
        return np.ascontiguousarray(array.T)
    return cv2.transpose(array)


def _ranks(sizes: np.ndarray) -> np.ndarray:
    """0, 1, 2 ... within each group, for groups of the given sizes laid end to end."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _encode(runs: Runs, num: int, height: int, width: int) -> list[dict]:
    """RLE dicts of ``num`` masks from their runs."""
    starts, ends, owners = runs
    runs_per_mask = np.bincount(owners, minlength=num)
    stops = np.cumsum(runs_per_mask)
    filled = runs_per_mask > 0
    tail = np.full(num, height * width)  # background after the last run; 0 isn't written
    tail[filled] -= ends[stops[filled] - 1]
    sizes = 2 * runs_per_mask + ((tail > 0) | ~filled)
    count_stops = np.cumsum(sizes)
    counts = np.zeros(int(sizes.sum()), np.int64)
    place = 2 * np.arange(len(starts)) + (count_stops - sizes - 2 * (stops - runs_per_mask))[owners]
    previous_end = np.zeros_like(starts)
    np.copyto(previous_end[1:], ends[:-1], where=owners[1:] == owners[:-1])
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
    """Run lengths in COCO strings: those of all strings end to end, and how many each held."""
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
    sizes = np.diff(np.searchsorted(lasts, text_stops), prepend=0)
    return _undo_differences(values, sizes), sizes


def _undo_differences(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Undo ``counts[i] -= counts[i - 2] for i > 2`` by sums over every other value of a mask."""
    ranks = _ranks(sizes)
    counts = values.copy()
    for chain in (ranks % 2 == 1, (ranks % 2 == 0) & (ranks > 0)):
        members = np.flatnonzero(chain)
        sums = np.cumsum(values[members])
        first = ranks[members] <= 2
        base = (sums - values[members])[first]
        counts[members] = sums - base[np.cumsum(first) - 1]
    return counts
