"""Predictions of a checkpoint on a part of the data, kept as COCO results beside the run."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmdet.registry import DATASETS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tqdm import tqdm

from cellkit.rle import encode_label_map
from custom_modules.peak_memory import peak_memory_gib
from tools.detector import build_model
from tools.errors import UserError
from tools.fingerprint import sha256_of
from tools.prediction_files import write_beside

PARTS = ('train', 'val', 'test')
Progress = partial(tqdm, dynamic_ncols=True, disable=None)


class PartPredictions(NamedTuple):
    """What a checkpoint predicts on a part of the data.

    Attributes:
        results: COCO results by image id; images without a detection have an empty list.
        file: The COCO results JSON.
        about: What the predictions depend on, and what they cost.
        reused: Whether they were there already.
    """

    results: dict[int, list[dict[str, Any]]]
    file: Path
    about: dict[str, Any]
    reused: bool


def part_dataset(config: Config, part: str, data: Path | None = None) -> dict[str, Any]:
    """The config of a data set that loads one part's images as the test pipeline does.

    Args:
        config: Of the training run.
        part: ``"train"``, ``"val"`` or ``"test"``.
        data: The prepared folder. By default the one that the run was trained on, and if that
            isn't there the one that DATA_ROOT names.

    Raises:
        UserError: The config has no such part, or there is no such folder.
    """
    loader = config.get(f'{part}_dataloader')
    if not loader:
        raise UserError(f"the run's config has no {part}_dataloader; name another --part")
    dataset = loader['dataset']
    while 'ann_file' not in dataset and 'dataset' in dataset:  # RepeatDataset and the like
        dataset = dataset['dataset']
    result = {key: copy.deepcopy(dataset[key]) for key in dataset if key != 'filter_cfg'}
    result.update(test_mode=True, pipeline=get_test_pipeline_cfg(config))
    root = Path(result.get('data_root') or '.')
    if data is None and not root.is_dir() and os.environ.get('DATA_ROOT'):
        data = Path(os.environ['DATA_ROOT'])
    if data is not None:
        root = data
        result['data_root'] = str(data)
    file = root / result.get('ann_file', '')
    if not file.is_file():
        raise UserError(
            f'{file}: there is no such annotation file; prepare the data (make prepare) or name '
            'the prepared folder with --data'
        )
    return result


def annotation_file(dataset: Mapping[str, Any]) -> Path:
    """The annotation file of a data set's config."""
    return Path(dataset.get('data_root') or '.') / dataset['ann_file']


def predict_part(
    config: Config,
    checkpoint: Path,
    weights: Mapping[str, torch.Tensor],
    part: str,
    device: str,
    folder: Path,
    data: Path | None = None,
    fresh: bool = False,
) -> PartPredictions:
    """Predict a part of the data, or read what was predicted before.

    Args:
        config: Of the training run, with the user's changes.
        checkpoint: Its file.
        weights: Its ``state_dict``.
        part: ``"train"``, ``"val"`` or ``"test"``.
        device: ``"cpu"``, ``"cuda"`` ...
        folder: Where predictions are kept: ``folder/CHECKPOINT/PART.json``.
        data: See :func:`part_dataset`.
        fresh: Whether to predict even if nothing changed since the last time.

    Raises:
        UserError: The data can't be used, or the checkpoint is of another model.
    """
    init_default_scope(config.get('default_scope', 'mmdet'))
    dataset = part_dataset(config, part, data)
    fingerprint = {
        'checkpoint_sha256': sha256_of(checkpoint),
        'annotations_sha256': sha256_of(annotation_file(dataset)),
        'config_sha256': hashlib.sha256(_settings(config, dataset).encode()).hexdigest(),
    }
    file = folder / checkpoint.stem / f'{part}.json'
    side = file.with_suffix('.about.json')
    if not fresh and (about := _read_if_same(side, fingerprint)) and file.is_file():
        results = {int(image_id): [] for image_id in about['image_ids']}
        for item in json.loads(file.read_bytes()):
            results[item['image_id']].append(item)
        return PartPredictions(results, file, about, reused=True)

    try:
        model = build_model(copy.deepcopy(config), weights, device)
    except UserError as error:
        raise UserError(f'{checkpoint}: {error}') from error
    results, seconds = _predict(model, config, dataset, f'predicting {part}')
    about = fingerprint | {
        'checkpoint': checkpoint.name,
        'part': part,
        'annotations': str(annotation_file(dataset)),
        'device': device,
        'seconds_per_image': seconds,
        'max_per_img': config.model.get('test_cfg', {}).get('rcnn', {}).get('max_per_img'),
        'image_ids': list(results),
    }
    if device.startswith('cuda'):
        about['device'] = torch.cuda.get_device_name(device)
        about['memory'] = f'{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB on the GPU'
    elif (peak := peak_memory_gib()) is not None:
        about['memory'] = f'{peak:.2f} GiB at most in the process'
    flat = [item for items in results.values() for item in items]
    write_beside(file, json.dumps(flat).encode())
    write_beside(side, json.dumps(about, indent=1).encode())
    return PartPredictions(results, file, about, reused=False)


@torch.no_grad()
def _predict(
    model: torch.nn.Module, config: Config, dataset: Mapping[str, Any], title: str
) -> tuple[dict[int, list[dict[str, Any]]], float]:
    """COCO results by image id, and the seconds that the model took for an image."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools talks
            images = DATASETS.build(dict(dataset))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error).rstrip('.')) from error
    workers = config.get('test_dataloader', {}).get('num_workers', 0)
    loader = Runner.build_dataloader(
        {
            'batch_size': 1,
            'num_workers': workers,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': images,
        }
    )
    results: dict[int, list[dict[str, Any]]] = {}
    seconds = 0.0
    for batch in Progress(loader, desc=title, unit='image'):
        start = time.perf_counter()
        samples = model.test_step(batch)
        for sample in samples:
            results[int(sample.img_id)] = _coco_results(sample, images.cat_ids)
        seconds += time.perf_counter() - start
    return results, seconds / max(len(results), 1)


def _coco_results(sample: Any, category_ids: list[int]) -> list[dict[str, Any]]:
    """One image's detections in the form of a COCO results file."""
    predicted = sample.pred_instances
    if 'masks' not in predicted:
        raise UserError(
            'the model predicts boxes but no masks; evaluate a model that segments instances'
        )
    masks = predicted.masks
    if isinstance(masks, torch.Tensor):
        masks = [encode_label_map(mask, 1)[0] for mask in masks.cpu().numpy().astype(bool)]
    boxes = predicted.bboxes.cpu().numpy().astype(float)
    boxes[:, 2:] -= boxes[:, :2]
    return [
        {
            'image_id': int(sample.img_id),
            'category_id': category_ids[label],
            'bbox': box,
            'score': score,
            'segmentation': _with_text(mask),
        }
        for label, box, score, mask in zip(
            predicted.labels.tolist(), boxes.tolist(), predicted.scores.tolist(), masks, strict=True
        )
    ]


def _with_text(rle: dict[str, Any]) -> dict[str, Any]:
    counts = rle['counts']
    return {
        'size': [int(side) for side in rle['size']],
        'counts': counts.decode() if isinstance(counts, bytes) else counts,
    }


def _settings(config: Config, dataset: Mapping[str, Any]) -> str:
    """All that predictions depend on besides the weights and the annotations."""
    return json.dumps([config.model, dataset], sort_keys=True, default=str)


def _read_if_same(file: Path, fingerprint: Mapping[str, str]) -> dict[str, Any] | None:
    """What is written about earlier predictions, if they depend on the same things."""
    try:
        about = json.loads(file.read_bytes())
        return about if fingerprint.items() <= about.items() else None
    except (OSError, ValueError, AttributeError):
        return None
