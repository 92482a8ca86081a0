"""What a training step of each config costs, and what each speed setting is worth.

    python benchmarks/bench_model.py --write docs/performance_model.md

The variants of a config run in turn, again and again, in one process on one random batch; the
fastest step of each counts. The model's RoI heads see as many cells as a real crop has.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from custom_modules import InstanceMapMasks
from tools.prediction_files import write_beside

ROOT = Path(__file__).parents[1]
Change = Callable[[Config], None]


def setting(**values: object) -> Change:
    """A change of the config: keys are dotted with two underscores."""
    return lambda config: config.merge_from_dict(
        {key.replace('__', '.'): value for key, value in values.items()}
    )


GLOBAL = list(range(12))
VARIANTS: dict[str, dict[str, Change]] = {
    'bccd_hybrid_mask_rcnn_cpu': {
        'as it is': setting(),
        'float32': setting(model__bfloat16=False),
        'NCHW memory': setting(model__channels_last=False),
        'RoIAlign samples adaptively': setting(
            model__roi_head__bbox_roi_extractor__roi_layer__sampling_ratio=0,
            model__roi_head__mask_roi_extractor__roi_layer__sampling_ratio=0,
        ),
    },
    'bccd_vitb_mask_rcnn': {
        'as it is': setting(),
        'float32': setting(model__bfloat16=False),
        'global attention in every block': setting(model__backbone__global_blocks=GLOBAL),
        'blocks recomputed (with_cp)': setting(model__backbone__with_cp=True),
    },
}


def batch(size: tuple[int, int], images: int, pitch: int = 64) -> dict:
    """Noise images with a grid of disjoint square cells.

    Args:
        size: (height, width), pixels.
        images: Number of images.
        pitch: Distance of two cells' centres, pixels; a cell is three quarters of it.
    """
    height, width = size
    rng = np.random.default_rng(0)
    corners = [
        (x, y)
        for y in range(0, height - pitch + 1, pitch)
        for x in range(0, width - pitch + 1, pitch)
    ]
    side = pitch * 3 // 4
    label_map = np.zeros(size, np.int32)
    for k, (x, y) in enumerate(corners, start=1):
        label_map[y : y + side, x : x + side] = k
    boxes = torch.tensor([[x, y, x + side, y + side] for x, y in corners], dtype=torch.float32)
    inputs, samples = [], []
    for _ in range(images):
        inputs.append(torch.from_numpy(rng.integers(0, 255, (3, *size), np.uint8)))
        sample = DetDataSample(
            metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(
            bboxes=boxes.clone(),
            labels=torch.zeros(len(boxes), dtype=torch.long),
            masks=InstanceMapMasks.from_map(label_map),
        )
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def stepper(name: str, change: Change, data: dict, device: str) -> Callable[[], float]:
    """A function that takes one training step and returns its seconds."""
    config = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    change(config)
    init_default_scope('mmdet')
    config.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(config.model).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def wait() -> None:
        if device == 'cuda':
            torch.cuda.synchronize()

    def step() -> float:
        wait()
        start = time.perf_counter()
        loss, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        wait()
        return time.perf_counter() - start

    return step


def rows(name: str, size: tuple[int, int], images: int, repeat: int, device: str) -> list[str]:
    """Table rows of one config."""
    data = batch(size, images)
    steps = {what: stepper(name, change, data, device) for what, change in VARIANTS[name].items()}
    best = dict.fromkeys(steps, float('inf'))
    for k in range(repeat + 1):
        for what, step in steps.items():
            seconds = step()
            if k:  # the first step allocates and compiles
                best[what] = min(best[what], seconds)
    base = best['as it is']
    shape = f'{images} x {size[1]}x{size[0]}'
    return [
        f'| `{name}` | {shape} | {what} | {seconds:.2f} | {seconds / base:.2f} |'
        for what, seconds in best.items()
    ]


PAGE = """# Speed of a training step

Written by `python benchmarks/bench_model.py --write docs/performance_model.md`.

Machine: {machine}.

| config | batch | setting | seconds a step | over the config as it is |
|---|---|---|---:|---:|
{rows}

Variants run in turn in one process on the same random batch with a grid of cells; the fastest of
{repeat} steps counts.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--write', type=Path)
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args()
    gpu = args.device == 'cuda'
    lines = rows('bccd_hybrid_mask_rcnn_cpu', (384, 512), 4, args.repeat, args.device)
    vitb = ((1024, 1024), 16) if gpu else ((512, 512), 1)
    lines += rows('bccd_vitb_mask_rcnn', *vitb, args.repeat, args.device)
    cpu = next(
        (
            line.split(':')[1].strip()
            for line in Path('/proc/cpuinfo').read_text().splitlines()
            if line.startswith('model name')
        ),
        platform.processor(),
    )
    name = torch.cuda.get_device_name() if gpu else cpu
    machine = f'{name}, {os.cpu_count()} cores, torch {torch.__version__}'
    page = PAGE.format(machine=machine, rows='\n'.join(lines), repeat=args.repeat)
    print(page)
    if args.write:
        write_beside(args.write, page.encode())
    return 0


if __name__ == '__main__':
    sys.exit(main())
