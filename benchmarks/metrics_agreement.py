"""Compare the project's metrics with the libraries that defined them.

    pip install stardist cellpose==3.1.1.2 torchmetrics monai     # in an environment of their own
    python -m benchmarks.metrics_agreement [--pairs 200] [--sample "/path/BCCD Dataset with mask"]

Random pairs of label maps (cells that are shifted, resized, merged, split, missed, invented) and,
where the sample is given, real masks against an Otsu segmentation of the image. Writes the table of
the largest differences to docs/metrics_agreement.md and the peers' figures of the first pairs to
tests/cellkit/metrics/peer_figures.json, so that the tests need none of the heavy peers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from cellkit.instances import label_instances
from cellkit.metrics.aggregated_jaccard import aji, aji_terms
from cellkit.metrics.boundary import boundary_counts
from cellkit.metrics.instances import (
    ABOVE_HALF,
    detection_figures,
    match_counts,
    panoptic_figures,
)
from cellkit.metrics.pixel import dice, iou, mask_counts
from cellkit.overlaps import intersection_table, iou_matrix

ROOT = Path(__file__).resolve().parents[1]
THRESHOLDS = [0.5, 0.6, 0.75, 0.9]
STORED_PAIRS = 40
TOLERANCE = 2


def random_pair(seed: int, size: tuple[int, int] = (160, 200)) -> tuple[np.ndarray, np.ndarray]:
    """A true and a predicted label map of round cells, (H, W) int32, labels without gaps.

    A margin of ten pixels stays empty, because some peers count the image's border as boundary.
    """
    rng = np.random.default_rng(seed)
    true, pred = np.zeros(size, np.int32), np.zeros(size, np.int32)
    y, x = np.ogrid[: size[0], : size[1]]
    for k in range(1, rng.integers(1, 30)):
        row, column = rng.integers(10, size[0] - 10), rng.integers(10, size[1] - 10)
        radius = int(rng.integers(4, 18))
        true[_disc(y, x, row, column, radius) & (true == 0)] = k
        fate = rng.random()
        if fate < 0.1:  # missed
            continue
        row, column = row + int(rng.integers(-4, 5)), column + int(rng.integers(-4, 5))
        cell = _disc(y, x, row, column, radius + int(rng.integers(-2, 3))) & (pred == 0)
        if fate < 0.2:  # split
            pred[cell] = np.where(x > column, 2 * k, 2 * k + 1).repeat(size[0], 0)[cell]
        elif fate < 0.3 and k > 1:  # merged with the cell before
            pred[cell] = 2 * (k - 1)
        else:
            pred[cell] = 2 * k
    for k in range(rng.integers(0, 4)):  # invented
        row, column = rng.integers(20, size[0] - 20), rng.integers(20, size[1] - 20)
        pred[_disc(y, x, row, column, int(rng.integers(3, 9))) & (pred == 0)] = 100 + k
    for label_map in (true, pred):
        label_map[:10] = label_map[-10:] = label_map[:, :10] = label_map[:, -10:] = 0
    return without_gaps(true), without_gaps(pred)


def _disc(y: np.ndarray, x: np.ndarray, row: int, column: int, radius: int) -> np.ndarray:
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def without_gaps(label_map: np.ndarray) -> np.ndarray:
    """Number the labels 1..N."""
    return np.unique(label_map, return_inverse=True)[1].reshape(label_map.shape).astype(np.int32)


def real_pairs(sample: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Label maps of the sample's test masks and of an Otsu segmentation of the images."""
    for mask_path in sorted((sample / 'test' / 'mask').iterdir()):
        mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
        image_path = next((sample / 'test' / 'original').glob(mask_path.stem + '.*'))
        green = cv2.GaussianBlur(cv2.imread(str(image_path))[..., 1], (0, 0), 2)
        otsu = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)[1]
        filled = ndimage.binary_fill_holes(otsu > 0)
        pair = label_instances(mask)[0], label_instances(filled)[0]
        for label_map in pair:
            label_map[:10] = label_map[-10:] = label_map[:, :10] = label_map[:, -10:] = 0
        yield without_gaps(pair[0]), without_gaps(pair[1])


def our_figures(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """The project's figures of one pair; keys as in :func:`peer_figures`."""
    table = intersection_table(true, pred)
    counts = match_counts(table, THRESHOLDS)
    detection = detection_figures(counts)
    figures = {}
    for k, threshold in enumerate(THRESHOLDS):
        suffix = f' at {threshold}'
        figures['stardist precision' + suffix] = detection['precision'][k]
        figures['stardist recall' + suffix] = detection['recall'][k]
        figures['stardist f1' + suffix] = detection['f1'][k]
        figures['stardist accuracy' + suffix] = detection['cell_ap'][k]
        figures['cellpose average precision' + suffix] = detection['cell_ap'][k]
    panoptic = panoptic_figures(match_counts(table, [ABOVE_HALF])[0])
    # stardist pairs at IoU >= 0.5, the definition of panoptic quality (and torchmetrics) at > 0.5.
    figures['stardist panoptic quality, pairs at IoU >= 0.5'] = panoptic_figures(counts[0])['pq']
    figures['torchmetrics panoptic quality'] = panoptic['pq']
    figures['torchmetrics segmentation quality'] = panoptic['sq']
    figures['torchmetrics recognition quality'] = panoptic['rq']
    # cellpose's "AJI" is another formula: one-to-one pairs over the union of the foregrounds.
    overlap = iou_matrix(table)
    gain = (overlap >= 0.5) + overlap / (2 * min(overlap.shape))
    pairs = linear_sum_assignment(gain, maximize=True)
    shared = table[1:, 1:][pairs].sum()
    figures['cellpose aggregated Jaccard (its own formula)'] = shared / (table.sum() - table[0, 0])
    figures['Kumar 2017 AJI, written out'] = aji(aji_terms(table))
    pixels = mask_counts(true > 0, pred > 0)
    figures['torchmetrics Dice'] = dice(pixels)
    figures['torchmetrics IoU'] = iou(pixels)
    near = boundary_counts((true > 0).astype(int), (pred > 0).astype(int), TOLERANCE)
    figures['MONAI surface Dice'] = (near[0] + near[2]) / (near[1] + near[3])
    return {name: float(value) for name, value in figures.items()}


def peer_figures(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """The same figures by the peers."""
    import torch
    from cellpose import metrics as cellpose
    from monai.metrics import compute_surface_dice
    from stardist.matching import matching
    from torchmetrics.detection import PanopticQuality
    from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

    figures = {}
    for threshold, found in zip(THRESHOLDS, matching(true, pred, thresh=THRESHOLDS), strict=True):
        for name in ('precision', 'recall', 'f1', 'accuracy'):
            figures[f'stardist {name} at {threshold}'] = getattr(found, name)
        if threshold == 0.5:
            figures['stardist panoptic quality, pairs at IoU >= 0.5'] = found.panoptic_quality
    for threshold, value in zip(
        THRESHOLDS, cellpose.average_precision(true, pred, THRESHOLDS)[0], strict=True
    ):
        figures[f'cellpose average precision at {threshold}'] = value
    figures['cellpose aggregated Jaccard (its own formula)'] = cellpose.aggregated_jaccard_index(
        [true], [pred]
    )[0]
    figures['Kumar 2017 AJI, written out'] = slow_aji(true, pred)
    panoptic = PanopticQuality({1}, {0}, return_sq_and_rq=True, return_per_class=True)
    maps = [torch.from_numpy(np.stack([m > 0, m], -1).astype(np.int64))[None] for m in (pred, true)]
    values = torch.atleast_2d(panoptic(*maps).squeeze(0))
    cells = list(panoptic.cat_id_to_continuous_id).index(1)
    for name, value in zip(('panoptic', 'segmentation', 'recognition'), values[cells], strict=True):
        figures[f'torchmetrics {name} quality'] = value
    masks = torch.from_numpy(pred > 0), torch.from_numpy(true > 0)
    figures['torchmetrics Dice'] = binary_f1_score(*masks)
    figures['torchmetrics IoU'] = binary_jaccard_index(*masks)
    figures['MONAI surface Dice'] = compute_surface_dice(
        *(mask[None, None].float() for mask in masks), [TOLERANCE], include_background=True
    )
    return {name: float(value) for name, value in figures.items()}


def slow_aji(true: np.ndarray, pred: np.ndarray) -> float:
    """Algorithm 1 of Kumar et al. 2017, mask by mask."""
    predicted = [pred == p for p in range(1, pred.max() + 1)]
    used: set[int] = set()
    shared = union = 0
    for t in range(1, true.max() + 1):
        mask = true == t
        ious = [(mask & other).sum() / (mask | other).sum() for other in predicted]
        if not ious or max(ious) == 0:
            union += mask.sum()
            continue
        best = int(np.argmax(ious))
        used.add(best)
        shared += (mask & predicted[best]).sum()
        union += (mask | predicted[best]).sum()
    union += sum(other.sum() for k, other in enumerate(predicted) if k not in used)
    return float(shared / union)


def largest_differences(
    pairs: Iterator[tuple[np.ndarray, np.ndarray]], keep: Callable[[dict], None] = lambda _: None
) -> tuple[int, dict[str, float]]:
    """Number of pairs and the largest difference of each figure over them."""
    number, worst = 0, {}
    for pair in pairs:
        theirs, ours = peer_figures(*pair), our_figures(*pair)
        keep(theirs)
        number += 1
        for name, value in theirs.items():
            worst[name] = max(worst.get(name, 0.0), abs(value - ours[name]))
    return number, worst


def useful(seeds: range) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random pairs in which both maps hold a cell; peers differ on what an empty map is worth."""
    for seed in seeds:
        pair = random_pair(seed)
        if pair[0].any() and pair[1].any():
            yield pair


def main() -> None:
    """Run the comparison and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pairs', type=int, default=200)
    parser.add_argument('--sample', type=Path, help='folder of the real sample, optional')
    arguments = parser.parse_args()
    stored: list[dict] = []
    columns = {}
    number, worst = largest_differences(useful(range(arguments.pairs + 20)), stored.append)
    columns[f'{number} random pairs'] = worst
    if arguments.sample:
        number, worst = largest_differences(real_pairs(arguments.sample))
        columns[f'{number} real smears, Otsu'] = worst
    lines = [
        '# Agreement of the metrics with the libraries that defined them',
        '',
        'Largest absolute difference of each figure, written by',
        '`python -m benchmarks.metrics_agreement`. Random pairs are cells that were shifted,',
        'resized, merged, split, missed or invented; the real ones are true masks against an Otsu',
        "segmentation of the image. What is left comes from float32 inside the peers. COCO's",
        'average precision is compared by `tests/cellkit/metrics/test_average_precision.py`: no',
        'difference above 1e-12. cellpose calls another formula AJI (one-to-one pairs over the',
        "union of the foregrounds); the project's `aji` is Kumar's.",
        '',
        '| peer and figure | ' + ' | '.join(columns) + ' |',
        '|---|' + '---|' * len(columns),
    ]
    for name in next(iter(columns.values())):
        values = ' | '.join(f'{column[name]:.1e}' for column in columns.values())
        lines.append(f'| {name} | {values} |')
    peers = ('stardist', 'cellpose', 'torchmetrics', 'monai')
    lines += ['', 'Versions: ' + ', '.join(f'{name} {version(name)}' for name in peers) + '.']
    text = '\n'.join(lines) + '\n'
    print(text)
    (ROOT / 'docs' / 'metrics_agreement.md').write_text(text)
    path = ROOT / 'tests' / 'cellkit' / 'metrics' / 'peer_figures.json'
    path.write_text(json.dumps(stored[:STORED_PAIRS], indent=0) + '\n')


if __name__ == '__main__':
    main()
