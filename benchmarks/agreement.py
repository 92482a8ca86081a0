"""Compare the project's metrics with the libraries that defined them.

    pip install stardist cellpose==3.1.1.2 torchmetrics monai     # in an environment of their own
    python -m benchmarks agreement --write docs/metrics_agreement.md

Random pairs of label maps (cells that are shifted, resized, merged, split, missed, invented) and,
where the sample is given, real masks against an Otsu segmentation of the image. With ``--store
tests/cellkit/metrics/peer_figures.json`` the peers' values of the first pairs are kept there, so
that the tests need none of the heavy peers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from tqdm.auto import tqdm

from benchmarks.harness import markdown_table
from cellkit.files.pictures import read_picture
from cellkit.files.writing import write_whole
from cellkit.instances import label_instances
from cellkit.metrics.aggregated_jaccard import aji, aji_terms
from cellkit.metrics.boundary import boundary_terms
from cellkit.metrics.instances import ABOVE_HALF, detection_values, match_counts, panoptic_values
from cellkit.metrics.pixel import dice, iou
from cellkit.overlaps import intersection_table, iou_matrix

THRESHOLDS = [0.5, 0.6, 0.75, 0.9]
STORED_PAIRS = 40
MARGIN = 10  # pixels that stay empty, because some peers count the image's border as boundary
TOLERANCE = 2  # of boundaries, pixels
STARDIST = {'precision': 'precision', 'recall': 'recall', 'f1': 'f1', 'accuracy': 'cell_ap'}
QUALITIES = {'panoptic': 'pq', 'segmentation': 'sq', 'recognition': 'rq'}
PEERS = ('stardist', 'cellpose', 'torchmetrics', 'monai')

Pairs = Iterator[tuple[np.ndarray, np.ndarray]]


def random_pair(seed: int, size: tuple[int, int] = (160, 200)) -> tuple[np.ndarray, np.ndarray]:
    """A true and a predicted label map of round cells, (H, W) int32, labels without gaps."""
    rng = np.random.default_rng(seed)
    true, pred = np.zeros(size, np.int32), np.zeros(size, np.int32)
    y, x = np.ogrid[: size[0], : size[1]]

    def disc(row: int, column: int, radius: int) -> np.ndarray:
        return (y - row) ** 2 + (x - column) ** 2 <= radius**2

    for k in range(1, rng.integers(1, 30)):
        row, column = rng.integers(10, size[0] - 10), rng.integers(10, size[1] - 10)
        radius = int(rng.integers(4, 18))
        true[disc(row, column, radius) & (true == 0)] = k
        fate = rng.random()
        if fate < 0.1:  # missed
            continue
        row, column = row + int(rng.integers(-4, 5)), column + int(rng.integers(-4, 5))
        cell = disc(row, column, radius + int(rng.integers(-2, 3))) & (pred == 0)
        if fate < 0.2:  # split
            pred[cell] = np.where(x > column, 2 * k, 2 * k + 1).repeat(size[0], 0)[cell]
        elif fate < 0.3 and k > 1:  # merged with the cell before
            pred[cell] = 2 * (k - 1)
        else:
            pred[cell] = 2 * k
    for k in range(rng.integers(0, 4)):  # invented
        row, column = rng.integers(20, size[0] - 20), rng.integers(20, size[1] - 20)
        pred[disc(row, column, int(rng.integers(3, 9))) & (pred == 0)] = 100 + k
    return _with_margin(true), _with_margin(pred)


def _with_margin(label_map: np.ndarray) -> np.ndarray:
    """Empty the margin, in place, and close the gaps in the labels."""
    for edge in (slice(MARGIN), slice(-MARGIN, None)):
        label_map[edge] = label_map[:, edge] = 0
    return without_gaps(label_map)


def without_gaps(label_map: np.ndarray) -> np.ndarray:
    """Number the labels 1..N."""
    return np.unique(label_map, return_inverse=True)[1].reshape(label_map.shape).astype(np.int32)


def useful(seeds: range) -> Pairs:
    """Random pairs in which both maps hold a cell; peers differ on what an empty map is worth."""
    for seed in seeds:
        pair = random_pair(seed)
        if pair[0].any() and pair[1].any():
            yield pair


def real_pairs(sample: Path) -> Pairs:
    """Label maps of the sample's test masks and of an Otsu segmentation of the images."""
    for mask_path in sorted((sample / 'test' / 'mask').iterdir()):
        mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
        image_path = next((sample / 'test' / 'original').glob(mask_path.stem + '.*'))
        green = cv2.GaussianBlur(read_picture(image_path).pixels[..., 1], (0, 0), 2)
        otsu = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)[1]
        filled = ndimage.binary_fill_holes(otsu > 0)
        yield _with_margin(label_instances(mask)[0]), _with_margin(label_instances(filled)[0])


def our_values(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """The project's values of one pair; keys as in :func:`peer_values`."""
    table = intersection_table(true, pred)
    counts = match_counts(table, THRESHOLDS)
    detection = detection_values(counts)
    values = {}
    for k, threshold in enumerate(THRESHOLDS):
        for name, key in STARDIST.items():
            values[f'stardist {name} at {threshold}'] = detection[key][k]
        values[f'cellpose average precision at {threshold}'] = detection['cell_ap'][k]
    # stardist pairs at IoU >= 0.5, the definition of panoptic quality (and torchmetrics) at > 0.5.
    values['stardist panoptic quality, pairs at IoU >= 0.5'] = panoptic_values(counts[0])['pq']
    panoptic = panoptic_values(match_counts(table, [ABOVE_HALF])[0])
    for name, key in QUALITIES.items():
        values[f'torchmetrics {name} quality'] = panoptic[key]
    # cellpose's "AJI" is another formula: one-to-one pairs over the union of the foregrounds.
    overlap = iou_matrix(table)
    gain = (overlap >= 0.5) + overlap / (2 * min(overlap.shape))
    pairs = linear_sum_assignment(gain, maximize=True)
    common = table[1:, 1:][pairs].sum()
    values['cellpose aggregated Jaccard (its own formula)'] = common / (table.sum() - table[0, 0])
    values['Kumar 2017 AJI, written out'] = aji(aji_terms(table))
    covered, found = true > 0, pred > 0
    pixels = np.array([(covered & found).sum(), covered.sum(), found.sum()])
    values['torchmetrics Dice'] = dice(pixels)
    values['torchmetrics IoU'] = iou(pixels)
    maps = covered.astype(int), found.astype(int)
    near = boundary_terms(*maps, np.ones(1), TOLERANCE).sum(0)
    values['MONAI surface Dice'] = (near[0] + near[2]) / (near[1] + near[3])
    return {name: float(value) for name, value in values.items()}


def peer_values(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """The same values by the peers."""
    import torch
    from cellpose import metrics as cellpose
    from monai.metrics import compute_surface_dice
    from stardist.matching import matching
    from torchmetrics.detection import PanopticQuality
    from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

    values = {}
    for threshold, found in zip(THRESHOLDS, matching(true, pred, thresh=THRESHOLDS), strict=True):
        for name in STARDIST:
            values[f'stardist {name} at {threshold}'] = getattr(found, name)
        if threshold == 0.5:
            values['stardist panoptic quality, pairs at IoU >= 0.5'] = found.panoptic_quality
    precisions = cellpose.average_precision(true, pred, THRESHOLDS)[0]
    for threshold, value in zip(THRESHOLDS, precisions, strict=True):
        values[f'cellpose average precision at {threshold}'] = value
    jaccard = cellpose.aggregated_jaccard_index([true], [pred])[0]
    values['cellpose aggregated Jaccard (its own formula)'] = jaccard
    values['Kumar 2017 AJI, written out'] = slow_aji(true, pred)
    panoptic = PanopticQuality({1}, {0}, return_sq_and_rq=True, return_per_class=True)
    maps = [torch.from_numpy(np.stack([m > 0, m], -1).astype(np.int64))[None] for m in (pred, true)]
    of_classes = torch.atleast_2d(panoptic(*maps).squeeze(0))
    cells = of_classes[list(panoptic.cat_id_to_continuous_id).index(1)]
    for name, value in zip(QUALITIES, cells, strict=True):
        values[f'torchmetrics {name} quality'] = value
    masks = torch.from_numpy(pred > 0), torch.from_numpy(true > 0)
    values['torchmetrics Dice'] = binary_f1_score(*masks)
    values['torchmetrics IoU'] = binary_jaccard_index(*masks)
    values['MONAI surface Dice'] = compute_surface_dice(
        *(mask[None, None].float() for mask in masks), [TOLERANCE], include_background=True
    )
    return {name: float(value) for name, value in values.items()}


def slow_aji(true: np.ndarray, pred: np.ndarray) -> float:
    """Algorithm 1 of Kumar et al. 2017, mask by mask."""
    predicted = [pred == p for p in range(1, pred.max() + 1)]
    used: set[int] = set()
    common = union = 0
    for t in range(1, true.max() + 1):
        mask = true == t
        ious = [(mask & other).sum() / (mask | other).sum() for other in predicted]
        if not ious or max(ious) == 0:
            union += mask.sum()
            continue
        best = int(np.argmax(ious))
        used.add(best)
        common += (mask & predicted[best]).sum()
        union += (mask | predicted[best]).sum()
    union += sum(other.sum() for k, other in enumerate(predicted) if k not in used)
    return float(common / union)


def run(pairs: int = 200, sample: Path | None = None, store: Path | None = None) -> str:
    """Compare every value on every pair of label maps.

    Args:
        pairs: Random pairs, about as many.
        sample: Folder of the real sample.
        store: JSON for the peers' values of the first random pairs.
    """
    sources = {'random pairs': useful(range(pairs + 20))}
    if sample:
        sources['real smears, Otsu'] = real_pairs(sample)
    columns: dict[str, list[tuple[dict, dict]]] = {}
    for source, label_maps in sources.items():
        found = [(peer_values(*pair), our_values(*pair)) for pair in tqdm(label_maps, source)]
        columns[f'{len(found)} {source}'] = found
    on_random = [theirs for theirs, _ in next(iter(columns.values()))]
    if store:
        write_whole(store, json.dumps(on_random[:STORED_PAIRS], indent=0) + '\n')
    rows = []
    for name in on_random[0]:
        worst = (max(abs(a[name] - b[name]) for a, b in found) for found in columns.values())
        rows.append([name, *(f'{difference:.1e}' for difference in worst)])
    versions = ', '.join(f'{name} {version(name)}' for name in PEERS)
    return f'{markdown_table(["peer and value", *columns], rows)}\n\nVersions: {versions}.'
