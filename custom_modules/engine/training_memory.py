"""GPU memory of a training step, counted without a GPU.

A Mask R-CNN runs once on fake tensors, which have shapes and types and no data; what autograd keeps
for the backward pass is added up, a storage once. What the pictures decide (cells, proposals) is
taken at the largest number that the config lets through.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

GIB = 2**30


class Memory(NamedTuple):
    """GiB that training keeps: a fixed part and a part an image."""

    fixed: float
    image: float

    def of(self, images: int) -> float:
        """GiB with that many images at once."""
        return self.fixed + self.image * images


def training_memory(
    model: Mapping[str, Any], size: tuple[int, int], half: bool, recompute: bool
) -> Memory:
    """What training keeps, from one image and from two.

    Args:
        model: A config's ``model``.
        size: (height, width) of an image as the network sees it, pixels.
        half: The networks compute in bfloat16 or float16, else in float32.
        recompute: The backbone's blocks are computed again in the backward pass.
    """
    one, two = (kept_gib(model, images, size, half, recompute) for images in (1, 2))
    return Memory(2 * one - two, two - one)


def memories(config: Config, half: bool) -> dict[bool, Memory]:
    """What training a config keeps, at its pipeline's largest image, by ``recompute``."""
    size = training_size(config)
    return {again: training_memory(config.model, size, half, again) for again in (False, True)}


def kept_gib(
    model: Mapping[str, Any], images: int, size: tuple[int, int], half: bool, recompute: bool
) -> float:
    """GiB that one training step keeps: for the backward pass, weights, gradients, AdamW's moments.

    What comes and goes within the step lies on top.

    Args:
        model: A config's ``model``, a two-stage Mask R-CNN.
        images: Number at once.
        size: (height, width) of an image, pixels; rounded up as the data preprocessor pads.
        half: The networks compute in bfloat16 or float16, else in float32.
        recompute: The backbone's blocks are computed again in the backward pass.
    """
    model = copy.deepcopy(dict(model))
    step = model.get('data_preprocessor', {}).get('pad_size_divisor', 1)
    height, width = (-(-side // step) * step for side in size)
    with torch.device('meta'):
        network = MODELS.build(model).train()
    if recompute:
        network.backbone.with_cp = True
    with FakeTensorMode(), _FusedAttention(), _autocast(half):
        _put_on_fake_gpu(network)
        weights = {w.untyped_storage()._cdata: w for w in network.parameters()}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept.setdefault(tensor.untyped_storage()._cdata, tensor)
            return tensor

        # The state of a GPU's random numbers is no tensor of the step, and asking wants a GPU.
        no_states = mock.patch('torch.utils.checkpoint.get_device_states', return_value=([], []))
        with no_states, saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = _loss(network, images, (height, width))
        activations = [t for key, t in kept.items() if key not in weights]
        trained = [w for w in network.parameters() if w.requires_grad]
        total = _bytes(activations) + _bytes(network.parameters()) + 3 * _bytes(trained)
        del loss
    return total / GIB


def free_gib(device: torch.device) -> float | None:
    """GiB of a GPU that nothing else holds, this process' own included; None for another device."""
    if device.type != 'cuda':
        return None
    return (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)) / GIB


def training_size(config: Config) -> tuple[int, int] | None:
    """(height, width) of the largest image that a config trains on, pixels; None if not said."""
    dataset = config.train_dataloader.dataset
    if dataset.type == 'SyntheticSmears':  # drawn at the size it is trained at
        return tuple(dataset['size'][::-1])
    return largest_image(dataset.pipeline)


def largest_image(
    pipeline: Sequence[Mapping[str, Any]], given: tuple[int, int] | None = None
) -> tuple[int, int] | None:
    """(height, width) of the largest image that a training pipeline gives, pixels.

    Resizing and drawing steps set the size, cropping steps bound it, and of what ``RandomChoice``
    chooses from the greatest sides count; None where there is none of them.

    Args:
        pipeline: Its steps.
        given: Of the images that the first step gets; None if not known.
    """
    largest = given
    for step in pipeline:
        if step['type'] in ('Resize', 'RandomResize'):
            factor = max(step.get('ratio_range', (1,)))
            scale = step['scale']
            width, height = scale if isinstance(scale[0], int) else max(scale)
            largest = int(height * factor), int(width * factor)
        elif step['type'] in ('RandomCrop', 'RandomCropCells'):
            width, height = step['crop_size']
            before = largest or (height, width)
            largest = min(before[0], height), min(before[1], width)
        elif step['type'] == 'DrawSmear':
            largest = tuple(step['size'][::-1])
        elif step['type'] == 'RandomChoice':
            branches = ([way] if isinstance(way, Mapping) else way for way in step['transforms'])
            found = [size for way in branches if (size := largest_image(way, largest))]
            largest = tuple(map(max, zip(*found, strict=True))) or None
    return largest


def _loss(network: nn.Module, images: int, size: tuple[int, int]) -> Tensor:
    """Stands for ``MaskRCNN.loss``: the same networks, as many RoIs as training samples at most."""
    maps = network.backbone(torch.empty(images, 3, *size, device='cuda'))
    maps = network.neck(maps) if network.with_neck else maps
    losses = []
    for scores, boxes in zip(*network.rpn_head(maps), strict=True):
        # One logit and four numbers an anchor, each with a target and a weight.
        target = torch.empty_like(scores)
        losses.append(F.binary_cross_entropy_with_logits(scores, target, target))
        losses.append((boxes - torch.empty_like(boxes)).abs().mean())
    roi_head, sampler = network.roi_head, network.train_cfg['rcnn']['sampler']
    sampled = images * sampler['num']
    positive = int(sampled * sampler['pos_fraction'])
    scores, boxes = roi_head.bbox_head(_rois(roi_head.bbox_roi_extractor, maps, sampled))
    losses.append(F.cross_entropy(scores, torch.empty(sampled, dtype=torch.long, device='cuda')))
    losses.append((boxes - torch.empty_like(boxes)).abs().mean())
    masks = roi_head.mask_head(_rois(roi_head.mask_roi_extractor, maps, positive))
    losses.append(F.binary_cross_entropy_with_logits(masks, torch.empty_like(masks)))
    return torch.stack([loss.float() for loss in losses]).sum()


def _rois(extractor: nn.Module, maps: Sequence[Tensor], number: int) -> Tensor:
    """Features (number, C, h, w) float32; RoIAlign keeps the boxes only, next to nothing."""
    shape = number, extractor.out_channels, *extractor.roi_layers[0].output_size
    return torch.empty(shape, device='cuda') + sum(level.float().mean() for level in maps)


def _bytes(tensors: Iterator[Tensor] | Sequence[Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def _put_on_fake_gpu(network: nn.Module) -> None:
    """Replaces the weights; ``Module.to`` can't make fake tensors of others."""
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                fake = torch.empty(weight.shape, dtype=weight.dtype, device='cuda')
                module._parameters[name] = nn.Parameter(fake, weight.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                fake = torch.empty(buffer.shape, dtype=buffer.dtype, device='cuda')
                module._buffers[name] = fake


@contextmanager
def _autocast(half: bool) -> Iterator[None]:
    """As ``torch.autocast('cuda')``, which does nothing where there is no GPU."""
    before = torch.is_autocast_enabled('cuda'), torch.get_autocast_dtype('cuda')
    torch.set_autocast_enabled('cuda', half)
    torch.set_autocast_dtype('cuda', torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled('cuda', before[0])
        torch.set_autocast_dtype('cuda', before[1])


class _FusedAttention(TorchFunctionMode):
    """Has attention keep what a GPU's fused kernels keep, whatever machine counts."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            q, k, v = args[:3]
            if torch.is_autocast_enabled('cuda'):
                q, k, v = (x.to(torch.get_autocast_dtype('cuda')) for x in (q, k, v))
            return _Fused.apply(q, k, v, (kwargs or {}).get('attn_mask'))
        return func(*args, **(kwargs or {}))


class _Fused(torch.autograd.Function):
    """Keeps queries, keys, values, bias, result and a float32 a query (the softmax's divisor)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, bias, out, torch.empty(q.shape[:-1], device=q.device))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return grad, grad, grad, None
