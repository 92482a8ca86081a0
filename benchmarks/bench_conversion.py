"""Mask to COCO annotations: one full-size encode a cell with pycocotools against one pass.

    python -m benchmarks.bench_conversion --data "../shared/data/BCCD Dataset with mask"

Both ways start from the decoded mask and end with RLE, area and box of every cell; they run in
turn in one process on one core, and the strings are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from cellkit.instances import label_instances
from cellkit.rle import encode_label_map
from data_prep.convert import InstanceRule, convert_pair
from data_prep.pairs import find_pairs

WHOLE_SET = 1328  # images of the published data set


def stock(mask: np.ndarray) -> list[dict]:
    """One full-size bitmap and one pycocotools call for each cell."""
    labels, _ = label_instances(mask)
    annotations = []
    for k in range(1, labels.max() + 1):
        rle = coco_mask.encode(np.asfortranarray(labels == k, dtype=np.uint8))
        area, box = float(coco_mask.area(rle)), coco_mask.toBbox(rle).tolist()
        rle['counts'] = rle['counts'].decode()
        annotations.append({'segmentation': rle, 'area': area, 'bbox': box})
    return annotations


def ours(mask: np.ndarray) -> list[dict]:
    """All run lengths from one pass over the label map."""
    labels, _ = label_instances(mask)
    rles = encode_label_map(labels)
    areas, boxes = coco_mask.area(rles), coco_mask.toBbox(rles)
    return [
        {'segmentation': rle, 'area': float(area), 'bbox': box.tolist()}
        for rle, area, box in zip(rles, areas, boxes, strict=True)
    ]


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--images', type=int, default=8, help='how many, evenly over the set')
    parser.add_argument('--repeat', type=int, default=3, help='runs; the fastest counts')
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    pairs, _, _ = find_pairs(args.data)
    picks = np.linspace(0, len(pairs) - 1, min(args.images, len(pairs))).astype(int)
    pairs = [pairs[k] for k in picks]
    masks = [cv2.imread(str(args.data / p.mask), cv2.IMREAD_GRAYSCALE) for p in pairs]

    def whole() -> None:
        for pair in pairs:
            convert_pair(args.data, pair, InstanceRule())

    def over(convert: Callable[[np.ndarray], list[dict]]) -> Callable[[], None]:
        return lambda: [convert(mask) for mask in masks]

    cells = 0
    for mask in masks:
        a, b = stock(mask), ours(mask)
        cells += len(b)
        if a != b:
            print('the two ways differ', file=sys.stderr)
            return 1
    ways = {'pycocotools, one cell at a time': over(stock), 'one pass': over(ours)}
    ways['one pass, with reading, checks and near-duplicate thumbnails'] = whole
    best = dict.fromkeys(ways, np.inf)
    for _ in range(args.repeat):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - start)
    reference = next(iter(best.values()))
    print(f'{len(masks)} images, {cells} cells, the same annotations\n')
    print(f'| way | ms an image | ratio | {WHOLE_SET} images, one core |')
    print('|---|---:|---:|---:|')
    for name, seconds in best.items():
        each = seconds / len(masks)
        print(
            f'| {name} | {1000 * each:.1f} | {reference / seconds:.1f} | {WHOLE_SET * each:.0f} s |'
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
