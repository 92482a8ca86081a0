"""Dense instances: the stock way with a bitmap a cell against the instance map and run lengths.

    python benchmarks/bench_dense.py --write docs/performance.md

Both ways run in turn in one process, on the same images with the same random numbers, one thread
each; the fastest of several runs of an image counts, and the results are compared. Peak memory is
taken in a forked process for each way. Uses the real sample if it is at hand, else generated
smears. With `--device cuda` the steps that follow the network run on the GPU.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
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
from tqdm import tqdm

from cellkit import rle
from cellkit.instances import label_instances
from cellkit.label_maps import smallest_dtype
from custom_modules import InstanceMapMasks, RLEMaskHead
from data_prep.demo_smears import write_demo_set
from data_prep.pairs import find_pairs

sys.path.insert(0, str(Path(__file__).parent))
import bench_conversion

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT.parent / 'shared' / 'data' / 'BCCD Dataset with mask'
CELLS = 150  # detections in the post-processing step
ROIS = 128  # positive proposals of an image in the mask target step
AUGMENT = (
    {'type': 'RandomResize', 'scale': (1024, 768), 'ratio_range': (0.8, 1.25), 'keep_ratio': True},
    {'type': 'RandomFlip', 'prob': 0.5},
    {'type': 'RandomCrop', 'crop_size': (768, 768)},
    {'type': 'PackDetInputs'},
)
Way = Sequence[Callable[[], object]]  # one call an item; the same items in every way


@dataclass
class Step:
    """One row of the table."""

    name: str
    ways: dict[str, Way]
    compare: Callable[[object, object], float]  # the share that differs


@dataclass
class Scene:
    """One image: its path, its label map and what CocoDataset would say of it."""

    path: Path
    label_map: np.ndarray
    record: dict


def load_scenes(data: Path, count: int) -> list[Scene]:
    """``count`` images evenly over the set, and last the one with the most cells."""
    pairs, _, _ = find_pairs(data)
    picks = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)
    scenes, densest = [], None
    for k, pair in enumerate(tqdm(pairs, desc='reading masks', file=sys.stderr)):
        mask = cv2.imread(str(data / pair.mask), cv2.IMREAD_GRAYSCALE)
        labels, _ = label_instances(mask)
        scene = (data / pair.image, labels.astype(smallest_dtype(int(labels.max()))))
        if k in picks:
            scenes.append(scene)
        if densest is None or labels.max() > densest[1].max():
            densest = scene
    return [Scene(path, labels, _record(path, labels)) for path, labels in (*scenes, densest)]


def _record(path: Path, labels: np.ndarray) -> dict:
    rles = rle.encode_label_map(labels)
    boxes = coco_mask.toBbox(rles)
    boxes[:, 2:] += boxes[:, :2]
    instances = [
        {'bbox': box.tolist(), 'bbox_label': 0, 'ignore_flag': 0, 'mask': item}
        for box, item in zip(boxes, rles, strict=True)
    ]
    height, width = labels.shape
    return {
        'img_path': str(path),
        'img_id': 0,
        'height': height,
        'width': width,
        'instances': instances,
    }


def conversion(scenes: list[Scene], device: str) -> list[Step]:
    """All cells of a mask to run lengths."""
    maps = [scene.label_map.astype(np.int32) for scene in scenes]
    masks = [np.where(label_map > 0, 255, 0).astype(np.uint8) for label_map in maps]

    def one_by_one(label_map: np.ndarray) -> list[dict]:
        encoded = [
            coco_mask.encode(np.asfortranarray(label_map == k, dtype=np.uint8))
            for k in range(1, label_map.max() + 1)
        ]
        return [item | {'counts': item['counts'].decode()} for item in encoded]

    return [
        Step(
            'run lengths of all cells, label map in hand',
            {'stock': _calls(one_by_one, maps), 'ours': _calls(rle.encode_label_map, maps)},
            lambda a, b: float(a != b),
        ),
        Step(
            'mask to annotations, labelling included',
            {
                'stock': _calls(bench_conversion.stock, masks),
                'ours': _calls(bench_conversion.ours, masks),
            },
            lambda a, b: float(a != b),
        ),
    ]


def loading(scenes: list[Scene], device: str) -> list[Step]:
    """From the file to the packed sample."""
    loads = {
        'stock': {'type': 'LoadAnnotations', 'with_mask': True},
        'ours': {'type': 'LoadInstanceMap'},
        'image alone': {'type': 'LoadAnnotations'},
    }
    steps = ({'type': 'LoadImageFromFile'}, {}, *AUGMENT)

    def call(pipeline: Compose, record: dict, seed: int) -> dict:
        np.random.seed(seed)  # noqa: NPY002 - what mmdet draws from
        random.seed(seed)
        return pipeline(dict(record))

    ways = {}
    for name, load in loads.items():
        pipeline = Compose([TRANSFORMS.build(dict(step or load)) for step in steps])
        ways[name] = [
            lambda p=pipeline, scene=scene, seed=seed: call(p, scene.record, seed)
            for seed, scene in enumerate(scenes)
        ]
    return [Step('load and augment (resize, flip, crop, pack)', ways, _same_samples)]


def targets(scenes: list[Scene], device: str) -> list[Step]:
    """Mask targets of the positive proposals, at the training size."""
    ways: dict[str, list] = {'stock': [], 'ours': []}
    for seed, scene in enumerate(scenes):
        masks = InstanceMapMasks.from_map(scene.label_map).rescale((1024, 768))
        rng = np.random.default_rng(seed)
        chosen = rng.integers(0, len(masks), ROIS)
        boxes = masks.get_bboxes().tensor.numpy()[chosen] + rng.normal(0, 4, (ROIS, 4))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        boxes = boxes.clip(0, [masks.width, masks.height] * 2).astype(np.float32)
        for name in ways:
            ways[name].append(_TargetCall(masks, name == 'stock', boxes, chosen, device))
    return [Step(f'mask targets of {ROIS} proposals', ways, _share_different)]


class _TargetCall:
    """Keeps the bitmaps of one image at a time: those of all don't fit into memory."""

    held: tuple[object, object] = (None, None)

    def __init__(
        self,
        masks: InstanceMapMasks,
        stock: bool,
        boxes: np.ndarray,
        chosen: np.ndarray,
        device: str,
    ) -> None:
        self.masks, self.stock, self.args = masks, stock, (boxes, (28, 28), chosen, device)

    def prepare(self) -> None:
        if self.stock and _TargetCall.held[0] is not self.masks:
            _TargetCall.held = (self.masks, self.masks.to_bitmap())

    def __call__(self) -> np.ndarray:
        masks = _TargetCall.held[1] if self.stock else self.masks
        return masks.crop_and_resize(*self.args).to_ndarray()


def postprocessing(scenes: list[Scene], device: str) -> list[Step]:
    """Everything after the mask head's logits: scores, pasting, run lengths."""
    label_map = scenes[-1].label_map
    masks = InstanceMapMasks.from_map(label_map)
    chosen = np.arange(CELLS) % len(masks)
    boxes = masks.get_bboxes().tensor.numpy()[chosen]
    shares = masks.crop_and_resize(boxes, (28, 28), chosen, binarize=False).to_ndarray()
    logits = torch.from_numpy((shares - 0.5) * 12)[:, None].to(device)
    height, width = label_map.shape
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

    ways = {
        name: [lambda head=head: predict(head)]
        for name, head in (('stock', FCNMaskHead(**small)), ('ours', RLEMaskHead(**small)))
    }
    return [Step(f'post-processing of {CELLS} cells, {width}x{height}', ways, _share_of_pixels)]


STEPS = {
    'conversion': conversion,
    'loading': loading,
    'targets': targets,
    'postprocessing': postprocessing,
}


def _calls(function: Callable, items: Sequence) -> Way:
    return [lambda item=item: function(item) for item in items]


def _same_samples(stock: dict, ours: dict) -> float:
    a, b = (packed['data_samples'].gt_instances for packed in (stock, ours))
    same = (
        torch.equal(stock['inputs'], ours['inputs'])
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.bboxes.tensor, b.bboxes.tensor)
        and np.array_equal(a.masks.to_ndarray(), b.masks.to_ndarray())
    )
    return float(not same)


def _share_different(stock: np.ndarray, ours: np.ndarray) -> float:
    return float(np.mean(stock != ours))


def _share_of_pixels(stock: list[dict], ours: list[dict]) -> float:
    """Pixels in one of two masks only, of all that either holds."""
    union = both = 0.0
    for a, b in zip(stock, ours, strict=True):
        union += coco_mask.area(coco_mask.merge([a, b]))
        both += coco_mask.area(coco_mask.merge([a, b], intersect=True))
    return (union - both) / union


def best_seconds(
    step: Step, repeat: int, clock: Callable[[], float]
) -> tuple[dict[str, float], float]:
    """Seconds an item of each way, run in turn, and the share of ours that differs from stock."""
    count = len(next(iter(step.ways.values())))
    best = {name: np.full(count, np.inf) for name in step.ways}
    differences = []
    for k in tqdm(range(count), desc=step.name, file=sys.stderr):
        for _ in range(repeat):
            results = {}
            for name, calls in step.ways.items():
                if hasattr(calls[k], 'prepare'):
                    calls[k].prepare()
                start = clock()
                results[name] = calls[k]()
                best[name][k] = min(best[name][k], clock() - start)
        differences.append(step.compare(results['stock'], results['ours']))
    seconds = {name: float(values.mean()) for name, values in best.items()}
    return seconds, float(np.mean(differences))


def peak_megabytes(calls: Way, device: str) -> float:
    """MB that the calls add to a process at most; on a GPU what they allocate there."""
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
        _run(calls)
        return torch.cuda.max_memory_allocated() / 1e6
    context = get_context('fork')  # as a data loader's worker starts
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(_growth(calls)))
    child.start()
    growth = receiver.recv()
    child.join()
    return growth


def _growth(calls: Way) -> float:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # nothing freed earlier may hide what is taken now
    Path('/proc/self/clear_refs').write_text('5')  # starts the high-water mark anew
    before = _status_megabytes('VmRSS')
    _run(calls)
    return _status_megabytes('VmHWM') - before


def _run(calls: Way) -> None:
    for call in calls:
        if hasattr(call, 'prepare'):
            call.prepare()
        call()


def _status_megabytes(key: str) -> float:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key + ':'):
            return int(line.split()[1]) / 1000
    raise KeyError(key)


def machine(device: str) -> str:
    """The machine and the versions, in one line."""
    model = next(
        (
            line.split(':', 1)[1].strip()
            for line in Path('/proc/cpuinfo').read_text().splitlines()
            if line.startswith('model name')
        ),
        platform.processor(),
    )
    gpu = f', {torch.cuda.get_device_name()}' if device != 'cpu' else ''
    versions = ', '.join(
        f'{name} {__import__(name).__version__}'
        for name in ('torch', 'numpy', 'cv2', 'mmcv', 'mmdet')
    )
    return f'{model}, {os.cpu_count()} cores{gpu}; Python {platform.python_version()}, {versions}'


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, default=SAMPLE, help='folder with train and test')
    parser.add_argument('--images', type=int, default=12, help='how many, evenly over the set')
    parser.add_argument('--repeat', type=int, default=5, help="runs; an image's fastest counts")
    parser.add_argument('--device', default='cpu', help='where targets and post-processing run')
    parser.add_argument('--only', choices=STEPS, action='append', help='these steps only')
    parser.add_argument('--write', type=Path, help='also write the page, e.g. docs/performance.md')
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    register_all_modules(init_default_scope=True)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        if not args.data.is_dir():
            args.data = Path(folder) / 'smears'
            write_demo_set(args.data, train=8, test=2, size=(1200, 1600), workers=1)
        scenes = load_scenes(args.data, args.images)
        result = page(scenes, args)
    print(result)
    if args.write:
        partial = args.write.with_suffix('.partial')
        partial.write_text(result)
        os.replace(partial, args.write)
    return 0


def _share(difference: float) -> str:
    return f'{100 * difference:.4f} %' if difference else 'none'


def page(scenes: list[Scene], args: argparse.Namespace) -> str:
    """The whole page in Markdown."""
    # CPU time is the same as the time on the clock for one thread, whatever else the machine does.
    clock = time.process_time if args.device == 'cpu' else time.perf_counter
    rows = []
    for part in args.only or STEPS:
        for step in STEPS[part](scenes, args.device):
            memory = {way: peak_megabytes(calls, args.device) for way, calls in step.ways.items()}
            seconds, difference = best_seconds(step, args.repeat, clock)
            stock = seconds.pop('stock')
            for way, value in seconds.items():
                name = step.name if way == 'ours' else f'– the same, {way}'
                rows.append(
                    f'| {name} | {1000 * stock:.1f} | {1000 * value:.1f} | {stock / value:.1f} '
                    f'| {memory["stock"]:.0f} | {memory[way]:.0f} '
                    f'| {_share(difference) if way == "ours" else ""} |'
                )
    cells = [len(scene.record['instances']) for scene in scenes]
    real = 'real' if args.data.resolve() == SAMPLE.resolve() else 'generated or other'
    return PAGE.format(
        machine=machine(args.device),
        rows='\n'.join(rows),
        count=len(scenes),
        low=min(cells),
        mean=np.mean(cells),
        high=max(cells),
        real=real,
        repeat=args.repeat,
    )


PAGE = """# Speed of dense instances

Written by `make bench ARGS="--write docs/performance.md"`.

Machine: {machine}. One thread a way.
Images: {count} {real} smears with {low} to {high} cells (mean {mean:.0f}), the densest among them.

| step | stock, ms | ours, ms | ratio | stock, peak MB | ours, peak MB | difference |
|---|---:|---:|---:|---:|---:|---:|
{rows}

- *Stock* is MMDetection (bitmaps) and pycocotools (one full-size `encode` a cell); *ours* is the
  instance map and the run lengths of this project. Both run in turn on the same images with the
  same random numbers. Times are of one image: the fastest of {repeat} runs, averaged over the
  images; on a CPU they are CPU time, which other work on the machine hardly changes.
- *Peak MB* is what the step adds to a process at most, each way in a forked process of its own,
  as a data loader's worker is.
- *Difference* is that of the results: of everything in the packed sample, of the pixels of the mask
  targets, of the pixels of the predicted masks.
- Mask targets start from masks in hand; post-processing from the mask head's logits, and ends with
  COCO run lengths.
- Whole conversions, with reading and checks: `python benchmarks/bench_conversion.py`.
"""


if __name__ == '__main__':
    sys.exit(main())
