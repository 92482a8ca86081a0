"""Find images that show the same field, so that they don't stand on both sides of a split.

Smears look alike, so a perceptual hash alone names too many pairs and, since a shift changes it,
misses what matters most: neighbouring fields of one slide that overlap. Two looks are taken:

- every pair is compared by the best correlation over all shifts (overlapping fields, copies);
- a perceptual hash of the 7 mirrored and turned versions names candidates (augmented copies),
  which count only if they correlate too.

Images that were found alike may only share a surround, bars, a border or a scale bar. What is the
same in all of them, place for place, is taken out and they are compared again, down to groups that
stay together. Thin lines of a grid don't reach the thumbnails.

On 60 real smears unrelated pairs correlate by at most 0.22 and fields that share 59 % of their
area by at least 0.41; with a round surround drawn on all of them no unrelated pair was found.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import fft
from tqdm.auto import tqdm

SIDE = 48
"""Height and width of the thumbnails, which are uint8; pixels."""

CORRELATION = 0.35
"""Least correlation of two images that show the same field."""

HASH_DISTANCE = 12
"""Greatest Hamming distance of candidates, of 63 bits; unrelated images are near 31."""

_WINDOW = 5  # pixels, of what is compared place for place

_CHUNK = 32  # spectra at a time, so that they stay in the processor's cache


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """Shrink ``(H, W)`` uint8 to a square, so that turning it commutes with shrinking.

    Lines thinner than some hundredth of the picture, of a grid or letters, go.
    """
    larger = cv2.resize(grey, (8 * SIDE, 8 * SIDE), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.medianBlur(larger, 7), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def perceptual_hash(thumb: np.ndarray) -> np.ndarray:
    """Hash a thumbnail by its low frequencies (pHash, Zauner 2010).

    Returns:
        ``(63,)`` bool: the 8x8 lowest DCT coefficients without the mean, against their median.
    """
    low = cv2.dct(thumb.astype(np.float32))[:8, :8].ravel()[1:]
    return low > np.median(low)


def levelled(thumb: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
    """A thumbnail without uneven light, which all images of a microscope share.

    Args:
        thumb: ``(SIDE, SIDE)`` uint8.
        keep: ``(SIDE, SIDE)`` bool, what counts; the rest becomes 0 and has no edge.

    Returns:
        ``(SIDE, SIDE)`` float32 with norm 1; zeros when it is flat.
    """
    weight = np.ones((SIDE, SIDE), np.float32) if keep is None else keep.astype(np.float32)
    light, seen = (cv2.GaussianBlur(w, (0, 0), SIDE / 16) for w in (thumb * weight, weight))
    picture = (thumb - light / np.maximum(seen, 1e-3)) * weight
    norm = float(np.linalg.norm(picture))
    return picture / norm if norm >= 0.1 * SIDE else np.zeros_like(picture)  # 0.1 grey levels


def spectrum(thumb: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
    """Spectrum ``(SIDE, SIDE // 2 + 1)`` complex64 of a levelled thumbnail."""
    return fft.rfft2(levelled(thumb, keep))


def shared_pixels(thumbs: Sequence[np.ndarray]) -> np.ndarray:
    """Where two or more thumbnails show the same in the same place.

    Around each pixel, 5x5 pixels are compared between all of them by the squared correlation, which
    knows neither gain nor sign: the rim of a surround is sharper on a bright smear. By chance two
    smears agree here and there, so few of them must agree better.

    Returns:
        ``(SIDE, SIDE)`` bool; nothing where they agree nearly everywhere: those are copies.
    """
    count, side = len(thumbs), _WINDOW**2
    pictures = np.stack([levelled(thumb) for thumb in thumbs])
    around = np.pad(pictures, ((0, 0), *[(_WINDOW // 2, _WINDOW // 2)] * 2), mode='reflect')
    windows = np.lib.stride_tricks.sliding_window_view(around, (_WINDOW, _WINDOW), axis=(1, 2))
    least = 0.15 * np.sqrt(side) / SIDE  # a seventh of the mean: less is noise
    agreement = np.zeros((SIDE, SIDE))
    textured, flat = np.zeros((2, SIDE, SIDE), bool)
    for y in range(SIDE):  # row by row, for the memory's sake
        patches = windows[:, y].reshape(count, SIDE, side).transpose(1, 0, 2)
        patches = patches - patches.mean(2, keepdims=True)
        norms = np.linalg.norm(patches, axis=2, keepdims=True)
        patches = np.where(norms > least, patches / np.maximum(norms, 1e-9), 0)
        full = (norms[..., 0] > least).sum(1)
        # The sum over all pairs of images, from a matrix as large as a window.
        squares = ((patches.transpose(0, 2, 1) @ patches) ** 2).sum((1, 2))
        agreement[y] = (squares - full) / np.maximum(full * (full - 1), 1)
        textured[y], flat[y] = full >= max(2, count / 2), full == 0
    shared = (agreement > 0.5 + 0.25 / (count - 1)) & textured
    if shared.sum() > 0.8 * textured.sum():
        return np.zeros_like(shared)
    spots = cv2.morphologyEx(shared.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    if not spots.any():
        return spots > 0
    return (cv2.dilate(spots, np.ones((5, 5), np.uint8)) > 0) | flat  # a surround within its rim


def best_correlations(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Greatest correlation, at most 1, of one spectrum with each of N over all circular shifts."""
    parts = [
        fft.irfft2(one * others[k : k + _CHUNK].conj(), s=(SIDE, SIDE)).max((1, 2))
        for k in range(0, len(others), _CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def near_duplicates(thumbs: Sequence[np.ndarray]) -> list[tuple[int, int, float]]:
    """List the pairs of thumbnails that show the same field; about 10 µs a pair.

    Returns:
        ``(i, j, correlation)`` with ``i < j``, ascending.
    """
    found: dict[tuple[int, int], float] = {}
    waiting = [list(range(len(thumbs)))]
    while waiting:
        members = waiting.pop()
        if len(members) < 2:
            continue
        pairs = _alike([thumbs[k] for k in members])
        for group in groups(len(members), list(pairs)):
            if len(group) < len(members):  # what fewer share may be more
                waiting.append([members[k] for k in group])
            else:
                found |= {(members[i], members[j]): value for (i, j), value in pairs.items()}
    return [(i, j, value) for (i, j), value in sorted(found.items())]


def _alike(thumbs: Sequence[np.ndarray]) -> dict[tuple[int, int], float]:
    """The pairs that correlate where not all of them show the same."""
    shared = shared_pixels(thumbs)
    keep, distance = None, HASH_DISTANCE
    if shared.any():
        keep, distance = ~shared, HASH_DISTANCE + 8  # what was taken out is not turned with them
        thumbs = [np.where(keep, thumb, round(thumb[keep].mean())) for thumb in thumbs]
        thumbs = [thumb.astype(np.uint8) for thumb in thumbs]
    spectra = np.stack([spectrum(thumb, keep) for thumb in thumbs])
    found: dict[tuple[int, int], float] = {}
    for i in tqdm(range(len(thumbs) - 1), desc='near-duplicates', unit='image', leave=False):
        values = best_correlations(spectra[i], spectra[i + 1 :])
        for j in np.flatnonzero(values >= CORRELATION):
            found[i, i + 1 + int(j)] = float(values[j])
    hashes = np.stack([perceptual_hash(thumb) for thumb in thumbs])
    for turn in range(1, 8):  # the mirrored and turned versions
        quarter, mirrored = divmod(turn, 2)

        def turn_of(picture: np.ndarray, quarter: int = quarter, mirrored: int = mirrored):
            flipped = picture[:, ::-1] if mirrored else picture
            return np.ascontiguousarray(np.rot90(flipped, quarter))

        turned = [turn_of(thumb) for thumb in thumbs]
        kept = None if keep is None else turn_of(keep)
        others = np.stack([perceptual_hash(thumb) for thumb in turned])
        for i, j in _close(hashes, others, distance):
            if i < j:
                value = float(best_correlations(spectra[i], spectrum(turned[j], kept)[None])[0])
                if value >= max(CORRELATION, found.get((i, j), 0.0)):
                    found[i, j] = value
    return found


def _close(hashes: np.ndarray, others: np.ndarray, distance: int) -> np.ndarray:
    """Index pairs ``(P, 2)`` of hashes at most so many bits apart."""
    signs = [2.0 * bits.astype(np.float32) - 1 for bits in (hashes, others)]
    agreement = signs[0] @ signs[1].T  # bits alike less bits unlike
    return np.argwhere(agreement >= hashes.shape[1] - 2 * distance)


def groups(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Connected groups of ``0..count-1`` under the pairs, each ascending, in order of the first."""
    from scipy.sparse import coo_array  # late: slow to import
    from scipy.sparse.csgraph import connected_components

    links = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(links.shape[1]), (links[0], links[1])), shape=(count, count))
    members: dict[int, list[int]] = {}
    for k, group in enumerate(connected_components(graph, directed=False)[1]):
        members.setdefault(int(group), []).append(k)
    return list(members.values())
