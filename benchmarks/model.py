"""What a training step of each config costs, and what each speed setting is worth.

The variants of a config run in turn, again and again, in one process on one random batch; the
fastest step of each counts. The model's RoI heads see as many cells as a real crop has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from benchmarks.harness import ROOT, Way, in_turn, machine, markdown_table
from custom_modules import LabelMapMasks

FORMER_CHANNELS = [64, 128, 256, 256]
STOCK_ROI_ALIGN = {
    f'model.roi_head.{part}_roi_extractor': dict(
        _delete_=True,
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=bins, sampling_ratio=1),
        out_channels=64,
        featmap_strides=[4, 8, 16, 32],
    )
    for part, bins in (('bbox', 7), ('mask', 14))
}
# The small model as it was before its training step was halved.
FORMER = STOCK_ROI_ALIGN | {
    'model.backbone.channels': FORMER_CHANNELS,
    'model.backbone.depths': (2, 2, 2, 2),
    'model.backbone.head_channels': 32,
    'model.neck.in_channels': FORMER_CHANNELS,
    'model.rpn_head.type': 'RPNHead',
    'model.rpn_head.anchor_generator.scales': [8],
    'model.rpn_head.anchor_generator.strides': [4, 8, 16, 32],
    'model.roi_head.mask_head.num_convs': 4,
    'model.train_cfg.rpn_proposal.nms_pre': 600,
    'model.train_cfg.rpn_proposal.max_per_img': 300,
    'model.train_cfg.rcnn.sampler.num': 128,
}
VARIANTS: dict[str, dict[str, dict]] = {
    'bccd_hybrid_mask_rcnn_cpu': {
        'as it is': {},
        'float32': {'model.precision': 'float32'},
        'NCHW memory': {'model.channels_last': False},
        'float32, RoIAlign of mmcv': STOCK_ROI_ALIGN | {'model.precision': 'float32'},
        'the model as it was': FORMER,
        'the model as it was, float32': FORMER | {'model.precision': 'float32'},
    },
    'bccd_vitb_mask_rcnn': {
        'as it is': {},
        'float32': {'model.precision': 'float32'},
        'global attention in every block': {'model.backbone.global_blocks': list(range(12))},
        'blocks recomputed (with_cp)': {'model.backbone.with_cp': True},
    },
}
"""Changes of each config's settings, by what they are called."""


def batch(size: tuple[int, int], images: int, pitch: int = 64) -> dict:
    """Noise images with a grid of disjoint square cells.

    Args:
        size: (height, width), pixels.
        images: Number of images.
        pitch: Distance of two cells' centres, pixels; a cell is three quarters of it.
    """
    rng = np.random.default_rng(0)
    rows, columns = (range(0, length - pitch + 1, pitch) for length in size)
    corners = [(x, y) for y in rows for x in columns]
    side = pitch * 3 // 4
    label_map = np.zeros(size, np.int32)
    for k, (x, y) in enumerate(corners, start=1):
        label_map[y : y + side, x : x + side] = k
    boxes = torch.tensor([[x, y, x + side, y + side] for x, y in corners], dtype=torch.float32)
    inputs, samples = [], []
    for _ in range(images):
        inputs.append(torch.from_numpy(rng.integers(0, 255, (3, *size), np.uint8)))
        info = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
        labels, masks = torch.zeros(len(boxes)).long(), LabelMapMasks.from_map(label_map)
        samples.append(DetDataSample(metainfo=info))
        samples[-1].gt_instances = InstanceData(bboxes=boxes.clone(), labels=labels, masks=masks)
    return dict(inputs=inputs, data_samples=samples)


def training_step(
    name: str,
    change: dict,
    data: dict,
    device: str,
    after_forward: Callable[[], None] = lambda: None,
) -> Way:
    """One training step of a config with some settings changed."""
    config = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    config.merge_from_dict(change)
    init_default_scope('mmdet')
    config.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(config.model).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step() -> None:
        loss, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
        after_forward()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device != 'cpu':
            torch.cuda.synchronize()

    return Way(step)


def rows(
    name: str, size: tuple[int, int], images: int, rounds: int, device: str
) -> Iterator[list[str]]:
    """Table rows of one config."""
    data, variants = batch(size, images), VARIANTS[name].items()
    steps = {what: training_step(name, change, data, device) for what, change in variants}
    in_turn(steps, 1)  # the first step allocates and compiles
    seconds = in_turn(steps, rounds, label=name).seconds
    for what, spent in seconds.items():
        ratio = min(spent) / min(seconds['as it is'])
        shape = f'{images} x {size[1]}x{size[0]}'
        yield [f'`{name}`', shape, what, f'{min(spent):.2f}', f'{ratio:.2f}']


def run(rounds: int = 3, device: str | None = None) -> str:
    """Time the training steps; on a GPU the large model gets its full batch."""
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    small, large = VARIANTS
    size, images = ((512, 512), 1) if device == 'cpu' else ((1024, 1024), 16)
    found = list(rows(small, (384, 512), 4, rounds, device))
    found += rows(large, size, images, rounds, device)
    header = ['config', 'batch', 'setting', 'seconds a step', 'over the config as it is']
    about = f'Machine: {machine("torch", device=device)}. The fastest of {rounds} steps.'
    return f'{about}\n\n{markdown_table(header, found, text=3)}'
