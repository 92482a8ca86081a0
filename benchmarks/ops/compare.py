"""Are the operators without a compiler those of a compiled mmcv, and how fast are they?

The same random and awkward inputs go through `mmcv.ops` in two environments: one with a compiled
mmcv, one with packaging/mmcv-ops.

    compiled/bin/python benchmarks/ops/compare.py --save compiled.npz
    .venv/bin/python benchmarks/ops/compare.py --against compiled.npz --write docs/setup.md

Boxes: random, ties in scores, duplicates, without area, reversed, huge, outside the image, none,
one, 5000 of them. RoIAlign: two maps, both kinds of alignment, 0, 1 and 2 samples a bin, a map
whose channels lie last in memory. Everything in float32 and float64.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import mmcv._ext
import numpy as np
import torch
from mmcv.ops import nms, roi_align, soft_nms

BEGIN, END = '<!-- ops:begin -->', '<!-- ops:end -->'
METHODS = ('naive', 'linear', 'gaussian')
Arrays = dict[str, np.ndarray]
Case = tuple[str, str, Callable[[], Arrays]]


def boxes_and_scores() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Sets of boxes in pixels, (N, 4), with scores, (N,), float64 and exact in float32."""
    rng = np.random.default_rng(0)

    def boxes(count: int, span: float = 400, size: float = 80) -> np.ndarray:
        corner = rng.uniform(0, span, (count, 2))
        both = np.hstack([corner, corner + rng.uniform(1, size, (count, 2))])
        return both.astype(np.float32).astype(np.float64)

    def scores(count: int) -> np.ndarray:
        return rng.permutation(np.linspace(0.01, 0.99, count)).astype(np.float32).astype(float)

    some = boxes(500)
    yield 'random', some, scores(500)
    yield 'ties', some, np.round(scores(500), 1)
    yield 'duplicates', np.repeat(some[:100], 5, axis=0), scores(500)
    flat = some.copy()
    flat[::2, 2] = flat[::2, 0]
    flat[::3, 3] = flat[::3, 1]
    yield 'without area', flat, scores(500)
    yield 'reversed', some[:, [2, 3, 0, 1]], scores(500)
    yield 'huge', boxes(300, 1e6, 1e6), scores(300)
    yield 'outside', some - 1000, scores(500)
    yield 'none', np.zeros((0, 4)), np.zeros(0)
    yield 'one', some[:1], scores(1)
    yield '5000', boxes(5000, 1600), scores(5000)


def tensors(dtype: str, *arrays: np.ndarray) -> list[torch.Tensor]:
    # Rows in order: a compiled mmcv reads others wrongly, up to a crash.
    ordered = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    return [array.to(getattr(torch, dtype)) for array in ordered]


def nms_case(boxes: torch.Tensor, scores: torch.Tensor, iou: float, offset: int) -> Arrays:
    return {'kept': nms(boxes, scores, iou, offset=offset)[1].numpy()}


def soft_nms_case(boxes: torch.Tensor, scores: torch.Tensor, method: str, offset: int) -> Arrays:
    dets, kept = soft_nms(boxes, scores, 0.3, method=method, offset=offset)
    return {'kept': kept.numpy(), 'value': dets.numpy()}


def roi_align_case(
    features: torch.Tensor, rois: torch.Tensor, sampling: int, aligned: bool
) -> Arrays:
    features = features.detach().requires_grad_()
    result = roi_align(features, rois, 7, 0.25, sampling, 'avg', aligned)
    weight = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).reshape(result.shape)
    (gradient,) = torch.autograd.grad(result, features, weight)
    return {'value': result.detach().numpy(), 'gradient': gradient.numpy()}


def cases() -> Iterator[Case]:
    """Operator, name and call of every case."""
    for dtype in ('float32', 'float64'):
        for name, *arrays in boxes_and_scores():
            given = tensors(dtype, *arrays)
            for offset in (0, 1):
                label = f'offset {offset}, {dtype}'
                for iou in (0.1, 0.3, 0.5, 0.7):
                    yield (
                        'nms',
                        f'{name}, IoU {iou}, {label}',
                        partial(nms_case, *given, iou, offset),
                    )
                for method in () if (name, dtype) == ('5000', 'float64') else METHODS:
                    call = partial(soft_nms_case, *given, method, offset)
                    yield f'soft_nms, {method}', f'{name}, {label}', call
        rng = np.random.default_rng(1)
        map_ = rng.normal(size=(2, 8, 48, 64))
        for name, boxes, _ in boxes_and_scores():
            if name in ('huge', '5000'):  # samples without end, and nothing new
                continue
            owner = np.arange(len(boxes))[:, None] % 2
            features, rois = tensors(dtype, map_, np.hstack([owner, boxes]))
            last = features.contiguous(memory_format=torch.channels_last)
            layouts = {'': features, ', channels last': last}
            for layout, aligned, sampling in product(layouts, (True, False), (0, 1, 2)):
                label = f'{name}, aligned {aligned}, {sampling} samples{layout}, {dtype}'
                call = partial(roi_align_case, layouts[layout], rois, sampling, aligned)
                yield f'roi_align{layout}', label, call


def milliseconds(call: Callable[[], object], repeats: int = 10) -> float:
    """Shortest processor time of a call; unlike wall time it does not count other programs."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def speeds() -> dict[str, float]:
    """Milliseconds of each operator on sizes of everyday work, float32."""
    sets = {name: tensors('float32', *arrays) for name, *arrays in boxes_and_scores()}
    rng = np.random.default_rng(2)
    corner = rng.uniform(0, 600, (512, 2))
    rois = np.hstack([np.zeros((512, 1)), corner, corner + rng.uniform(20, 160, (512, 2))])
    features, rois = tensors('float32', rng.normal(size=(1, 256, 192, 256)), rois)
    features.requires_grad_()
    result = roi_align(features, rois, 7, 0.25, 0)
    ones = torch.ones_like(result)
    backward = partial(torch.autograd.grad, result, features, ones, retain_graph=True)
    found = {'nms, 5000 boxes': milliseconds(lambda: nms(*sets['5000'], 0.5))}
    for method in METHODS:
        for name, count in (('random', 500), ('5000', 5000)):
            call = partial(soft_nms, *sets[name], 0.3, method=method)
            found[f'soft_nms, {method}, {count} boxes'] = milliseconds(call)
    forward = partial(roi_align, features.detach(), rois, 7, 0.25, 0)
    found['roi_align, 512 boxes, 256 channels'] = milliseconds(forward)
    found['its gradient'] = milliseconds(backward)
    return found


def measure() -> Arrays:
    """All outputs and times; a case that the operator refuses is kept as its message."""
    out = {}
    for operator, name, call in cases():
        try:
            found = call()
        except Exception as error:
            found = {'refused': np.array(str(error).split('\n')[0])}
        out |= {f'{operator}|{name}|{part}': array for part, array in found.items()}
    out |= {f'ms|{name}|ms': np.array(ms) for name, ms in speeds().items()}
    return out


def table(compiled: Arrays, ours: Arrays) -> str:
    """Markdown: agreement a row an operator, then times a row a call."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(key.rsplit('|', 1)[0] for key in ours):
        groups.setdefault(name.split('|')[0], []).append(name)
    times = groups.pop('ms')
    lines = [
        '| operator | cases | compiled refuses | same boxes kept | max difference | of gradient |',
        '|' + ' --- |' * 6,
    ]
    for operator, members in groups.items():
        both = [m for m in members if f'{m}|refused' not in compiled and f'{m}|refused' not in ours]
        refused = sum(f'{member}|refused' in compiled for member in members)
        kept = [m for m in both if f'{m}|kept' in ours]
        same = [m for m in kept if np.array_equal(compiled[f'{m}|kept'], ours[f'{m}|kept'])]
        agree = f'{len(same)} of {len(kept)}' if kept else '–'
        row = [operator, str(len(members)), str(refused), agree]
        for part in ('value', 'gradient'):
            keys = [key for member in same or both if (key := f'{member}|{part}') in ours]
            gaps = (np.abs(compiled[key] - ours[key]) for key in keys if ours[key].size)
            worst = max((float(gap.max()) for gap in gaps), default=0.0)
            row.append(f'{worst:.1e}' if f'{members[0]}|{part}' in ours or worst else '–')
        lines.append(f'| {" | ".join(row)} |')
        for member in [member for member in kept if member not in same]:
            print(f'other boxes kept: {member}')
        for member in members:
            if f'{member}|refused' in ours:
                print(f'refused here: {member}: {ours[f"{member}|refused"]}')
    lines += ['', '| call, float32, one thread | compiled, ms | without, ms |', '|' + ' --- |' * 3]
    for member in times:
        name = member.split('|')[1]
        lines.append(f'| {name} | {compiled[f"{member}|ms"]:.1f} | {ours[f"{member}|ms"]:.1f} |')
    return '\n'.join(lines)


def write_between_marks(page: Path, text: str) -> None:
    """Replaces what stands between the marks of a page.

    Raises:
        ValueError: The page lacks the marks.
    """
    old = page.read_text('utf-8')
    new, count = re.subn(f'{BEGIN}.*?{END}', lambda _: f'{BEGIN}\n{text}\n{END}', old, flags=re.S)
    if not count:
        raise ValueError(f'{page} has no {BEGIN} … {END}: add the two marks.')
    page.write_text(new, 'utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--save', type=Path, help='file that takes the outputs, .npz')
    parser.add_argument('--against', type=Path, help='outputs of another environment')
    parser.add_argument('--write', type=Path, help='page that takes the table')
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f'operators: {mmcv._ext.__file__}')
    found = measure()
    if args.save:
        np.savez_compressed(args.save, **found)
    if args.against:
        text = table(dict(np.load(args.against)), found)
        print(text)
        if args.write:
            write_between_marks(args.write, text)


if __name__ == '__main__':
    main()
