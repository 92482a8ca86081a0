"""Dense instances: the stock way with a bitmap a cell against the label map and run lengths.

Both ways run in turn in one process, on the same images with the same random numbers, one thread
each; the fastest of several runs of an image counts, and the results are compared. Peak memory is
taken in a forked process for each way. Uses the real sample if it is at hand, else generated
smears. On a GPU run the steps that follow the network: targets and post-processing.
"""

from __future__ import annotations

import operator
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import encode_mask_results
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from pycocotools import mask as coco_mask
from tqdm.auto import tqdm

from benchmarks.harness import SAMPLE, Way, in_turn, machine, markdown_table, peak_megabytes
from cellkit.errors import UserError
from cellkit.instances import label_instances
from cellkit.label_maps import smallest_dtype
from cellkit.rle import decode_to_label_map, encode_label_map
from custom_modules import LabelMapMasks, RLEMaskHead
from data_prep.convert import Converted, InstanceRule, convert_pair
from data_prep.demo.smears import write_demo_set
from data_prep.pairs import find_pairs

CELLS = 150  # detections in the post-processing step
ROIS = 128  # positive proposals of an image in the mask target step
AUGMENT = (
    {'type': 'RandomResize', 'scale': (1024, 768), 'ratio_range': (0.8, 1.25), 'keep_ratio': True},
    {'type': 'RandomFlip', 'prob': 0.5},
    {'type': 'RandomCrop', 'crop_size': (768, 768)},
    {'type': 'PackDetInputs'},
)


@dataclass
class Step:
    """What is measured in two ways or more.

    Attributes:
        name: As the table calls it.
        ways: ``stock``, ``ours`` and perhaps others, each once for every item.
        compare: Gives the share in which stock's and our results of an item differ.
    """

    name: str
    ways: dict[str, list[Way]]
    compare: Callable[[object, object], float]


def load_scenes(data: Path, count: int) -> list[Converted]:
    """``count`` pairs evenly over the set, and last the one with the most cells."""
    pairs, _, _ = find_pairs(data)
    masks = (cv2.imread(str(data / pair.mask), cv2.IMREAD_GRAYSCALE) for pair in pairs)
    cells = [label_instances(mask)[0].max() for mask in tqdm(masks, 'masks', len(pairs))]
    picks = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)
    return [convert_pair(data, pairs[k], InstanceRule()) for k in (*picks, np.argmax(cells))]


def label_map(scene: Converted) -> np.ndarray:
    """(H, W), of the smallest unsigned type."""
    found = decode_to_label_map(scene.rles, size=(scene.height, scene.width))
    return found.astype(smallest_dtype(len(scene.rles)))


def conversion(data: Path, scenes: list[Converted], device: str) -> list[Step]:
    """All cells of a mask to run lengths, area and box."""
    maps = [label_map(scene).astype(np.int32) for scene in scenes]
    masks = [np.where(labels > 0, 255, 0).astype(np.uint8) for labels in maps]

    def one_by_one(labels: np.ndarray) -> list[dict]:
        """One full-size bitmap and one call of pycocotools for each cell."""
        bitmaps = (np.asfortranarray(labels == k, np.uint8) for k in range(1, labels.max() + 1))
        encoded = [coco_mask.encode(bitmap) for bitmap in bitmaps]
        return [rle | {'counts': rle['counts'].decode()} for rle in encoded]

    def annotations(encode: Callable[[np.ndarray], list[dict]], mask: np.ndarray) -> list[dict]:
        rles = encode(label_instances(mask)[0])
        columns = zip(rles, coco_mask.area(rles), coco_mask.toBbox(rles), strict=True)
        return [dict(segmentation=r, area=float(a), bbox=box.tolist()) for r, a, box in columns]

    def whole(scene: Converted) -> object:
        return convert_pair(data, scene.pair, InstanceRule())

    in_hand = {'stock': _ways(one_by_one, maps), 'ours': _ways(encode_label_map, maps)}
    labelling = {
        'stock': _ways(partial(annotations, one_by_one), masks),
        'ours': _ways(partial(annotations, encode_label_map), masks),
        'with reading, checks and near-duplicate thumbnails': _ways(whole, scenes),
    }
    return [
        Step('run lengths of all cells, label map in hand', in_hand, operator.ne),
        Step('mask to annotations, labelling included', labelling, operator.ne),
    ]


def loading(data: Path, scenes: list[Converted], device: str) -> list[Step]:
    """From the file to the packed sample."""
    loads = {
        'stock': {'type': 'LoadAnnotations', 'with_mask': True},
        'ours': {'type': 'LoadLabelMap'},
        'image alone': {'type': 'LoadAnnotations'},
    }
    steps = ({'type': 'LoadImageFromFile'}, {}, *AUGMENT)

    def load(pipeline: Compose, seed: int, info: dict) -> dict:
        np.random.seed(seed)  # noqa: NPY002 - what mmdet draws from
        random.seed(seed)
        return pipeline(dict(info))

    ways = {}
    infos = [_data_info(data, scene) for scene in scenes]
    for name, loader in loads.items():
        pipeline = Compose([TRANSFORMS.build(dict(step or loader)) for step in steps])
        ways[name] = [Way(partial(load, pipeline, seed, info)) for seed, info in enumerate(infos)]
    return [Step('load and augment (resize, flip, crop, pack)', ways, _mask_pixels)]


def _data_info(data: Path, scene: Converted) -> dict:
    """What CocoDataset says of an image."""
    instances = [
        {'bbox': [x, y, x + width, y + height], 'bbox_label': 0, 'ignore_flag': 0, 'mask': rle}
        for (x, y, width, height), rle in zip(scene.boxes, scene.rles, strict=True)
    ]
    image = dict(img_path=str(data / scene.pair.image), img_id=0, instances=instances)
    return image | dict(height=scene.height, width=scene.width)


def targets(data: Path, scenes: list[Converted], device: str) -> list[Step]:
    """Mask targets of the positive proposals, at the training size."""
    # Of one image at a time: the bitmaps of all don't fit into memory.
    to_bitmap = lru_cache(maxsize=1)(LabelMapMasks.to_bitmap)

    def crop(boxes: np.ndarray, chosen: np.ndarray, masks: object) -> np.ndarray:
        return masks.crop_and_resize(boxes, (28, 28), chosen, device).to_ndarray()

    ways: dict[str, list[Way]] = {'stock': [], 'ours': []}
    for seed, scene in enumerate(scenes):
        masks = LabelMapMasks.from_map(label_map(scene)).rescale((1024, 768))
        rng = np.random.default_rng(seed)
        chosen = rng.integers(0, len(masks), ROIS)
        boxes = masks.get_bboxes().tensor.numpy()[chosen] + rng.normal(0, 4, (ROIS, 4))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        boxes = boxes.clip(0, [masks.width, masks.height] * 2).astype(np.float32)
        call = partial(crop, boxes, chosen)
        ways['stock'].append(Way(call, lambda masks=masks: (to_bitmap(masks),)))
        ways['ours'].append(Way(call, lambda masks=masks: (masks,)))
    return [Step(f'mask targets of {ROIS} proposals', ways, lambda a, b: float(np.mean(a != b)))]


def postprocessing(data: Path, scenes: list[Converted], device: str) -> list[Step]:
    """Everything after the mask head's logits: scores, pasting, run lengths."""
    densest = scenes[-1]
    masks = LabelMapMasks.from_map(label_map(densest))
    chosen = np.arange(CELLS) % len(masks)
    boxes = masks.get_bboxes().tensor.numpy()[chosen]
    shares = masks.crop_and_resize(boxes, (28, 28), chosen, binarize=False).to_ndarray()
    logits = torch.from_numpy((shares - 0.5) * 12)[:, None].to(device)
    height, width = densest.height, densest.width
    scale = 0.64
    boxes = torch.from_numpy(boxes * np.float32(scale)).to(device)
    labels = torch.zeros(CELLS, dtype=torch.long, device=device)
    image = {'ori_shape': (height, width), 'scale_factor': (scale, scale)}
    config = ConfigDict(mask_thr_binary=0.5)
    small = {'num_convs': 0, 'in_channels': 4, 'conv_out_channels': 4, 'num_classes': 1}

    def predict(head: FCNMaskHead) -> list[dict]:
        with torch.no_grad():
            masks = head._predict_by_feat_single(
                logits, boxes.clone(), labels, image, config, rescale=True
            )
        return masks if isinstance(masks, list) else encode_mask_results(masks.cpu().numpy())

    heads = {'stock': FCNMaskHead(**small), 'ours': RLEMaskHead(**small)}
    ways = {name: _ways(predict, [head]) for name, head in heads.items()}
    return [Step(f'post-processing of {CELLS} cells, {width}x{height}', ways, _share_of_pixels)]


STEPS = {step.__name__: step for step in (conversion, loading, targets, postprocessing)}


def _ways(function: Callable, items: Iterable) -> list[Way]:
    return [Way(partial(function, item)) for item in items]


def _mask_pixels(stock: dict, ours: dict) -> float:
    """Pixels in one sample's masks only, of all that either holds; 1 if anything but masks differs.

    Boxes follow from masks and are not compared.
    """
    a, b = (packed['data_samples'].gt_instances for packed in (stock, ours))
    if not torch.equal(stock['inputs'], ours['inputs']) or not torch.equal(a.labels, b.labels):
        return 1.0
    return _share_of_pixels(*(encode_mask_results(part.masks.to_ndarray()) for part in (a, b)))


def _share_of_pixels(stock: list[dict], ours: list[dict]) -> float:
    """Pixels in one of two masks only, of all that either holds."""
    union = both = 0.0
    for a, b in zip(stock, ours, strict=True):
        union += coco_mask.area(coco_mask.merge([a, b]))
        both += coco_mask.area(coco_mask.merge([a, b], intersect=True))
    return (union - both) / union


def rows(step: Step, rounds: int, device: str) -> list[list[str]]:
    """The table's rows of a step: one for ours, one for each further way."""
    # CPU time is the same as the time on the clock for one thread, whatever else the machine does.
    clock = time.process_time if device == 'cpu' else time.perf_counter
    memory = {name: peak_megabytes(ways, device) for name, ways in step.ways.items()}
    fastest: dict[str, list[float]] = {name: [] for name in step.ways}
    differences = []
    for item in tqdm(list(zip(*step.ways.values(), strict=True)), step.name):
        ways = dict(zip(step.ways, item, strict=True))
        seconds, results = in_turn(ways, rounds, clock=clock, keep=True)
        for name, spent in seconds.items():
            fastest[name].append(min(spent))
        differences.append(step.compare(results['stock'], results['ours']))
    difference = 100 * np.mean(differences)
    titles = {'ours': (step.name, f'{difference:.4f} %' if difference else 'none')}
    found, stock = [], np.mean(fastest.pop('stock'))
    for name, values in fastest.items():
        mean = np.mean(values)
        cells = [f'{1000 * stock:.1f}', f'{1000 * mean:.1f}', f'{stock / mean:.1f}']
        cells += [f'{memory["stock"]:.0f}', f'{memory[name]:.0f}']
        title, agreement = titles.get(name, (f'– the same, {name}', ''))
        found.append([title, *cells, agreement])
    return found


def run(
    data: Path | None = None,
    images: int = 12,
    rounds: int = 5,
    device: str = 'cpu',
    only: str = ','.join(STEPS),
) -> str:
    """Measure the steps.

    Args:
        data: Folder with train and test; by default the real sample or, without it, a demo set.
        images: How many, evenly over the set; the densest is added.
        rounds: Runs of each way on an image.
        device: Where targets and post-processing run.
        only: Names of steps, with commas between.
    """
    if unknown := set(only.split(',')) - set(STEPS):
        raise UserError(f'only: there is no step {unknown.pop()}; take from {", ".join(STEPS)}')
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    register_all_modules(init_default_scope=True)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        data = data or SAMPLE
        if data == SAMPLE and not SAMPLE.is_dir():
            data = write_demo_set(Path(folder) / 'smears', 8, 2, size=(1200, 1600), workers=1)
        scenes = load_scenes(data, images)
        steps = (step for name in only.split(',') for step in STEPS[name](data, scenes, device))
        found = [row for step in steps for row in rows(step, rounds, device)]
    header = ['step', 'stock, ms', 'ours, ms', 'ratio', 'stock, peak MB', 'ours, peak MB']
    cells = [len(scene.rles) for scene in scenes]
    kind = 'real' if data.resolve() == SAMPLE.resolve() else 'generated or other'
    about = machine('torch', 'numpy', 'cv2', 'mmcv', 'mmdet', device=device)
    return (
        f'Machine: {about}. One thread a way, the fastest of {rounds} runs.\n'
        f'Images: {len(scenes)} {kind} smears with {min(cells)} to {max(cells)} cells '
        f'(mean {np.mean(cells):.0f}), the densest among them.\n\n'
        f'{markdown_table([*header, "difference"], found)}'
    )
