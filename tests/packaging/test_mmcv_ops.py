"""The operators without a compiler against plain loops; no compiled mmcv is needed."""

import importlib.machinery
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

PACKAGE = Path(__file__).resolve().parents[2] / 'packaging' / 'mmcv-ops'
SOURCE = PACKAGE / 'src' / 'mmcv' / '_ext.py'


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location('operators', SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ops = load()

# A coarse grid makes ties, duplicates, boxes without area and reversed ones common.
corner = st.integers(-3, 12).map(float)
box = st.tuples(corner, corner, corner, corner)
scored = st.lists(st.tuples(box, st.integers(1, 8)), max_size=40)
dtypes = st.sampled_from([torch.float32, torch.float64])


def as_tensors(items: list, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    boxes = torch.tensor([item[0] for item in items], dtype=dtype).reshape(-1, 4)
    return boxes, torch.tensor([item[1] / 8 for item in items], dtype=dtype)


def iou(a: np.ndarray, b: np.ndarray, offset: int) -> float:
    """As mmcv defines it: a reversed box has the area that its signed sides give; 0/0 is 0."""
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + offset, 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + offset, 0)
    areas = [(c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b)]
    union = a.dtype.type(sum(areas) - width * height)
    return a.dtype.type(width * height) / union if union else a.dtype.type(0)


def plain_nms(boxes: np.ndarray, order: list[int], threshold: float, offset: int) -> list[int]:
    kept: list[int] = []
    for i in order:
        if all(not iou(boxes[j], boxes[i], offset) > boxes.dtype.type(threshold) for j in kept):
            kept.append(i)
    return kept


@settings(deadline=None, max_examples=200)
@given(scored, dtypes, st.sampled_from([0.1, 0.3, 0.5, 0.7]), st.integers(0, 1))
def test_nms_is_the_plain_loop(
    items: list, dtype: torch.dtype, threshold: float, offset: int
) -> None:
    boxes, scores = as_tensors(items, dtype)
    kept = ops.nms(boxes, scores, threshold, offset)
    assert kept.dtype == torch.int64
    order = sorted(range(len(items)), key=lambda k: -items[k][1])  # of equal scores the earlier
    assert kept.tolist() == plain_nms(boxes.numpy(), order, threshold, offset)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(20, 300), st.integers(1, 8))
def test_boxes_below_a_threshold_change_nothing_above_it(seed: int, number: int, low: int) -> None:
    """Many equal scores: the sort that isn't stable has its own order for each number of boxes."""
    draw = np.random.default_rng(seed)
    corners = draw.integers(0, 12, (number, 2))
    boxes = np.hstack([corners, corners + draw.integers(1, 6, (number, 2))])
    boxes = torch.tensor(boxes, dtype=torch.float32)
    scores = torch.tensor(draw.integers(1, 9, number) / 8, dtype=torch.float32)
    above = torch.nonzero(scores >= low / 8)[:, 0]
    alone = above[ops.nms(boxes[above], scores[above], 0.3, 0)]
    kept = ops.nms(boxes, scores, 0.3, 0)
    assert kept[scores[kept] >= low / 8].tolist() == alone.tolist()


def test_nms_offset_counts_the_last_pixel() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 5, 9, 14]])  # IoU 36 / 126, with offset 50 / 150
    scores = torch.tensor([0.9, 0.8])
    assert ops.nms(boxes, scores, 0.3, 0).tolist() == [0, 1]
    assert ops.nms(boxes, scores, 0.3, 1).tolist() == [0]


def test_nms_rounds_the_threshold_as_mmcv_does() -> None:
    """Two boxes at an IoU of exactly float32(0.1), which is more than 0.1, both stay."""
    boxes = torch.tensor([[0.0, 0, 10, 1], [0, 0, 1, 1]])
    assert ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.1, 0).tolist() == [0, 1]


def plain_soft_nms(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, sigma: float, low: float,
    method: int, offset: int,
) -> tuple[list[int], list[float]]:  # fmt: skip
    """mmcv's loop: a box that goes is replaced by the last one."""
    kind = boxes.dtype.type
    scores, order = scores.copy(), list(range(len(boxes)))
    i = 0
    while i < len(order):
        best = max(range(i, len(order)), key=lambda k: (scores[order[k]], -k))
        order[i], order[best] = order[best], order[i]
        k = i + 1
        while k < len(order):
            overlap = iou(boxes[order[i]], boxes[order[k]], offset)
            weight = kind(1)
            if method == 2:
                weight = np.exp(-(overlap * overlap) / kind(sigma))
            elif overlap >= kind(threshold):
                weight = kind(1) - overlap if method == 1 else kind(0)
            scores[order[k]] *= weight
            if scores[order[k]] < kind(low):
                order[k] = order[-1]
                order.pop()
                k -= 1
            k += 1
        i += 1
    return order, [float(scores[k]) for k in order]


@settings(deadline=None, max_examples=200)
@given(scored, dtypes, st.integers(0, 2), st.integers(0, 1), st.sampled_from([0.0, 1e-3, 0.3]))
def test_soft_nms_is_mmcv_s_loop(
    items: list, dtype: torch.dtype, method: int, offset: int, low: float
) -> None:
    boxes, scores = as_tensors(items, dtype)
    # Reversed boxes can overlap by less than nothing, which no method is meant for.
    boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, :2], boxes[:, 2:])], 1)
    dets = torch.full((len(boxes), 5), -7.0, dtype=dtype)
    before = boxes.clone(), scores.clone()
    kept = ops.softnms(boxes, scores, dets, 0.3, 0.5, low, method, offset)
    order, values = plain_soft_nms(boxes.numpy(), scores.numpy(), 0.3, 0.5, low, method, offset)
    assert kept.tolist() == order
    assert kept.dtype == torch.int64
    torch.testing.assert_close(dets[: len(order), 4], torch.tensor(values, dtype=dtype))
    assert torch.equal(dets[: len(order), :4], boxes[kept])
    assert (dets[len(order) :] == -7).all()
    assert torch.equal(boxes, before[0])
    assert torch.equal(scores, before[1])


def test_boxes_without_area_do_not_spoil_the_gaussian() -> None:
    boxes = torch.tensor([[2.0, 2, 2, 2], [2, 2, 2, 2]])
    dets = torch.empty(2, 5)
    kept = ops.softnms(boxes, torch.tensor([0.9, 0.8]), dets, 0.3, 0.5, 1e-3, 2, 0)
    assert kept.tolist() == [0, 1]
    torch.testing.assert_close(dets[:, 4], torch.tensor([0.9, 0.8]))


def plain_roi_align(
    maps: np.ndarray, rois: np.ndarray, size: tuple[int, int], scale: float, sampling: int,
    aligned: bool,
) -> np.ndarray:  # fmt: skip
    """Averages of bilinear samples, one at a time; samples over a pixel outside count as 0."""
    out = np.zeros((len(rois), maps.shape[1], *size))
    height, width = maps.shape[2:]
    for n, (owner, *roi) in enumerate(rois):
        x1, y1, x2, y2 = np.array(roi) * scale - (0.5 if aligned else 0)
        sides = np.array([y2 - y1, x2 - x1])
        bins = (sides if aligned else np.maximum(sides, 1)) / size
        count = [sampling or int(np.ceil(side)) for side in bins]
        for row, column in np.ndindex(size):
            for i, j in np.ndindex(*count):
                y = y1 + (row + (i + 0.5) / count[0]) * bins[0]
                x = x1 + (column + (j + 0.5) / count[1]) * bins[1]
                if not (-1 <= y <= height and -1 <= x <= width):
                    continue
                y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                top, left = int(y), int(x)
                bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
                map_ = maps[int(owner)]
                upper = map_[:, top, left] * (left + 1 - x) + map_[:, top, right] * (x - left)
                lower = map_[:, bottom, left] * (left + 1 - x) + map_[:, bottom, right] * (x - left)
                out[n, :, row, column] += upper * (top + 1 - y) + lower * (y - top)
            out[n, :, row, column] /= max(count[0] * count[1], 1)
    return out


ROIS = np.array([
    [0, 3, 4, 20, 17], [1, 0, 0, 47, 31], [1, -9, -6, 11, 8], [0, 30, 20, 70, 60],
    [0, 12, 9, 12, 9], [1, 200, 200, 220, 230],
], float)  # fmt: skip
SIZE = (3, 4)


def forward(maps: torch.Tensor, rois: torch.Tensor, sampling: int, aligned: bool) -> torch.Tensor:
    out = maps.new_full((len(rois), maps.shape[1], *SIZE), 7)
    none = maps.new_zeros(0)
    ops.roi_align_forward(
        maps, rois, out, none, none, aligned_height=SIZE[0], aligned_width=SIZE[1],
        spatial_scale=0.25, sampling_ratio=sampling, pool_mode=1, aligned=aligned,
    )  # fmt: skip
    return out


def backward(
    gradient: torch.Tensor, rois: torch.Tensor, into: torch.Tensor, sampling: int, aligned: bool
) -> None:
    none = gradient.new_zeros(0)
    ops.roi_align_backward(
        gradient, rois, none, none, into, aligned_height=SIZE[0], aligned_width=SIZE[1],
        spatial_scale=0.25, sampling_ratio=sampling, pool_mode=1, aligned=aligned,
    )  # fmt: skip


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 9, 13)))


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling', [0, 1, 2])
def test_roi_align_is_the_plain_loop(maps: torch.Tensor, sampling: int, aligned: bool) -> None:
    wanted = torch.from_numpy(plain_roi_align(maps.numpy(), ROIS, SIZE, 0.25, sampling, aligned))
    rois = torch.from_numpy(ROIS)
    torch.testing.assert_close(forward(maps, rois, sampling, aligned), wanted)
    last = maps.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(forward(last, rois, sampling, aligned), wanted)
    found = forward(maps.float(), rois.float(), sampling, aligned)
    torch.testing.assert_close(found, wanted.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling', [0, 2])
def test_the_gradient_is_that_of_the_plain_loop(
    maps: torch.Tensor, sampling: int, aligned: bool
) -> None:
    """RoIAlign is linear in the map, so its gradient follows from one map a pixel."""
    rng = np.random.default_rng(1)
    gradient = rng.normal(size=(len(ROIS), 1, *SIZE))
    wanted = np.zeros((2, 1, 9, 13))
    pixels = np.eye(9 * 13).reshape(1, 9 * 13, 9, 13).repeat(2, 0)  # a channel a pixel
    answer = plain_roi_align(pixels, ROIS, SIZE, 0.25, sampling, aligned)
    for n, owner in enumerate(ROIS[:, 0].astype(int)):
        wanted[owner, 0] += (answer[n] * gradient[n]).sum((1, 2)).reshape(9, 13)
    into = torch.ones(2, 1, 9, 13, dtype=torch.float64)
    backward(torch.from_numpy(gradient), torch.from_numpy(ROIS), into, sampling, aligned)
    torch.testing.assert_close(into, torch.from_numpy(wanted) + 1)


def test_bfloat16_is_computed_in_float32(maps: torch.Tensor) -> None:
    short, rois = maps.bfloat16(), torch.from_numpy(ROIS).bfloat16()
    wanted = forward(short.float(), rois.float(), 2, True).bfloat16()
    assert torch.equal(forward(short, rois, 2, True), wanted)
    into = torch.zeros_like(short)
    backward(wanted, rois, into, 2, True)
    assert into.abs().sum() > 0


def test_no_boxes(maps: torch.Tensor) -> None:
    none = torch.zeros(0, 5, dtype=torch.float64)
    assert forward(maps, none, 0, True).shape == (0, 3, *SIZE)
    into = torch.zeros_like(maps)
    backward(torch.zeros(0, 3, *SIZE, dtype=torch.float64), none, into, 0, True)
    assert not into.any()


@pytest.mark.parametrize('name', ['roi_align_forward', 'roi_align_backward'])
def test_maximum_pooling_says_what_to_do(name: str) -> None:
    nothing = torch.zeros(0)
    with pytest.raises(NotImplementedError, match=r"pool_mode='max'.*--no-build-isolation"):
        getattr(ops, name)(*[nothing] * 5, 1, 1, 1.0, 0, 0, True)


def test_any_other_operator_imports_and_says_what_to_do() -> None:
    assert hasattr(ops, 'modulated_deform_conv_forward')
    with pytest.raises(NotImplementedError) as error:
        ops.deform_conv_forward(1, kernel_h=3)
    message = str(error.value)
    assert 'deform_conv_forward' in message
    assert ops.COMPILE in message
    assert '\n' not in message
    assert ops.COMPILE in (PACKAGE.parents[1] / 'docs' / 'setup.md').read_text('utf-8')


@pytest.mark.parametrize('name', ['__wrapped__', '__path__', '__all__'])
def test_dunder_names_are_missing(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(ops, name)


def test_a_compiled_module_comes_first(tmp_path: Path) -> None:
    """Python's own order for one folder: the kinds of compiled modules, then source."""
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    for name in ('_ext.py', f'_ext{suffix}'):
        (tmp_path / name).touch()
    importlib.invalidate_caches()
    found = importlib.machinery.PathFinder.find_spec('_ext', [str(tmp_path)])
    assert found.origin.endswith(suffix)


def test_every_operator_of_mmcv_imports() -> None:
    code = 'import mmcv.ops; from mmcv.utils.env import collect_env; print(collect_env())'
    answer = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True)
    assert answer.returncode == 0, answer.stderr.decode()
    assert b'MMCV Compiler' in answer.stdout


@pytest.mark.slow
def test_either_distribution_goes_without_the_other_s_files(tmp_path: Path) -> None:
    """pip takes away what a distribution recorded; both own files in mmcv/."""
    other = tmp_path / 'other'
    (other / 'mmcv').mkdir(parents=True)
    (other / 'mmcv' / '__init__.py').touch()
    (other / 'pyproject.toml').write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "onedl-mmcv"\nversion = "2.3.6"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["mmcv"]\n'
    )
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q']
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'venv'], check=True)
    site = next((tmp_path / 'venv').glob('[lL]ib/**/site-packages'))
    there = [*pip[:3], '--python', tmp_path / 'venv', *pip[3:]]
    wheels = tmp_path / 'wheels'
    subprocess.run(
        [*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', wheels, other, PACKAGE],
        check=True,
    )
    mmcv, ours = sorted(wheels.glob('*.whl'), key=lambda wheel: 'torchvision' in wheel.name)

    def files() -> set[str]:
        folder = site / 'mmcv'
        return (
            {file.name for file in folder.iterdir() if file.is_file()} if folder.is_dir() else set()
        )

    for first, second in ((mmcv, ours), (ours, mmcv)):
        for wheel in (first, second):
            subprocess.run([*there, 'install', '--no-deps', wheel], check=True)
        assert files() == {'__init__.py', '_ext.py'}
        subprocess.run([*there, 'install', '--no-deps', '--force-reinstall', mmcv], check=True)
        assert files() == {'__init__.py', '_ext.py'}
        subprocess.run([*there, 'uninstall', '-y', 'onedl-mmcv'], check=True)
        assert files() == {'_ext.py'}
        subprocess.run([*there, 'install', '--no-deps', mmcv], check=True)
        subprocess.run([*there, 'uninstall', '-y', 'mmcv-torchvision-ops'], check=True)
        assert files() == {'__init__.py'}
        subprocess.run([*there, 'uninstall', '-y', 'onedl-mmcv'], check=True)


def test_it_follows_the_range_of_mmcv() -> None:
    text = (PACKAGE / 'pyproject.toml').read_text('utf-8')
    (mmcv,) = re.findall(r'"(onedl-mmcv[^"]*)"', text)
    lines = (PACKAGE.parents[1] / 'requirements.txt').read_text('utf-8').splitlines()
    assert mmcv in lines
