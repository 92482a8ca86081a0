"""Predictions of a checkpoint on a part of the data, kept beside the run, and what they measure."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.files.program import quiet
from cellkit.files.writing import sha256_of, write_json
from cellkit.metrics.records import Detections, ImageRecord, measure_image
from custom_modules.engine.peak_memory import peak_memory_gib
from custom_modules.structures.detections import detections_of
from tools.runs.fingerprint import images_sha256
from tools.runs.model import build_model, most_detections
from tools.runs.run import Checkpoint

ImageResults = dict[int, list[dict[str, Any]]]  # COCO results by image id


class PartPredictions(NamedTuple):
    """What a checkpoint predicts on a part of the data.

    Attributes:
        results: COCO results by image id; images without a detection have an empty list.
        file: The COCO results JSON.
        about: What the predictions depend on, and what they cost.
        reused: Whether they were there already.
    """

    results: ImageResults
    file: Path
    about: dict[str, Any]
    reused: bool = True

    def detections(self, image_id: int) -> Detections:
        """An image's detections."""
        keys = ('segmentation', 'score', 'bbox')
        rles, scores, boxes = ([item[key] for item in self.results[image_id]] for key in keys)
        return Detections(rles, np.array(scores, float), np.array(boxes, float).reshape(-1, 4))

    def measure(self, truth: GroundTruth) -> list[ImageRecord]:
        """A record of each image, in order of image ids.

        Raises:
            UserError: The annotations are of other images.
        """
        title = f'measuring {self.about["part"]}'
        bar = tqdm(sorted(self.results), title, unit='image', leave=False, disable=None)
        return [measure_image(k, truth[k], self.detections(k)) for k in bar]


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
    if not (loader := config.get(f'{part}_dataloader')):
        raise UserError(f"the run's config has no {part}_dataloader; name another --part")
    dataset = loader['dataset']
    while 'ann_file' not in dataset and 'dataset' in dataset:  # RepeatDataset and the like
        dataset = dataset['dataset']
    if 'ann_file' not in dataset:
        raise UserError(f'the {part} images of the run are no files; name another --part')
    result = {key: copy.deepcopy(dataset[key]) for key in dataset if key != 'filter_cfg'}
    result.update(test_mode=True, pipeline=get_test_pipeline_cfg(config))
    moved = not Path(result.get('data_root') or '.').is_dir()
    if root := data or (moved and os.environ.get('DATA_ROOT')):
        result['data_root'] = str(Path(root))
    if not (file := annotations_of(result)).is_file():
        raise UserError(
            f'{file}: there is no such annotation file; prepare the data (make prepare) or name '
            'the prepared folder with --data'
        )
    return result


def annotations_of(dataset: Mapping[str, Any]) -> Path:
    """The annotation file of a data set's config."""
    return Path(dataset.get('data_root') or '.') / dataset.get('ann_file', '')


def predict_part(
    checkpoint: Checkpoint,
    part: str,
    device: str,
    folder: Path,
    data: Path | None = None,
    fresh: bool = False,
) -> PartPredictions:
    """Predict a part of the data, or read what was predicted before.

    Args:
        checkpoint: With the config of the training run and the user's changes to it.
        part: ``"train"``, ``"val"`` or ``"test"``.
        device: As torch names it.
        folder: Where predictions are kept: ``folder/CHECKPOINT/PART.json``.
        data: See :func:`part_dataset`.
        fresh: Whether to predict even if nothing changed since the last time.

    Raises:
        UserError: The data can't be used, or the checkpoint is of another model.
    """
    config = checkpoint.config
    init_default_scope(config.get('default_scope', 'mmdet'))
    dataset = part_dataset(config, part, data)
    annotations = annotations_of(dataset)
    settings = json.dumps([config.model, dataset], sort_keys=True, default=str)
    fingerprint = {
        'checkpoint_sha256': sha256_of(checkpoint.file),
        'annotations_sha256': sha256_of(annotations),
        'images_sha256': images_sha256(dataset, annotations),
        'config_sha256': hashlib.sha256(settings.encode()).hexdigest(),
    }
    file = folder / checkpoint.file.stem / f'{part}.json'
    if not fresh:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            found = read_predictions(file)
            if fingerprint.items() <= found.about.items():
                return found
    try:
        model = build_model(copy.deepcopy(config), checkpoint.weights, device)
    except UserError as error:
        raise UserError(f'{checkpoint.file}: {error}') from error
    results, seconds = _predict(model, config, dataset, f'predicting {part}')
    about = fingerprint | {
        'checkpoint': checkpoint.file.name,
        'part': part,
        'annotations': str(annotations),
        'device': device,
        'seconds_per_image': seconds,
        'max_per_img': most_detections(config.model),
        'image_ids': list(results),
    }
    if device.startswith('cuda'):
        about['device'] = torch.cuda.get_device_name(device)
        about['memory'] = f'{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB on the GPU'
    elif (peak := peak_memory_gib()) is not None:
        about['memory'] = f'{peak:.2f} GiB at most in the process'
    write_json(file, [item for items in results.values() for item in items])
    write_json(file.with_suffix('.about.json'), about, indent=1)
    return PartPredictions(results, file, about, reused=False)


def read_predictions(file: Path) -> PartPredictions:
    """Predictions that :func:`predict_part` kept.

    Raises:
        OSError, ValueError, KeyError, TypeError: They aren't there or are damaged.
    """
    about = json.loads(file.with_suffix('.about.json').read_bytes())
    results: ImageResults = {int(image_id): [] for image_id in about['image_ids']}
    for item in json.loads(file.read_bytes()):
        results[item['image_id']].append(item)
    return PartPredictions(results, file, about)


@torch.no_grad()
def _predict(
    model: torch.nn.Module, config: Config, dataset: Mapping[str, Any], title: str
) -> tuple[ImageResults, float]:
    """COCO results by image id, and the seconds that the model took for an image."""
    try:
        with quiet():  # pycocotools talks
            images = DATASETS.build(dict(dataset))
    except FileNotFoundError as error:
        raise UserError(str(error).rstrip('.')) from error
    workers = config.get('test_dataloader', {}).get('num_workers', 0)
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = Runner.build_dataloader(
        dict(batch_size=1, num_workers=workers, sampler=sampler, dataset=images)
    )
    results: ImageResults = {}
    seconds = 0.0
    for batch in tqdm(loader, title, unit='image', disable=None):
        start = time.perf_counter()
        for sample in model.test_step(batch):
            results[int(sample.img_id)] = _coco_results(sample, images.cat_ids)
        seconds += time.perf_counter() - start
    return results, seconds / max(len(results), 1)


def _coco_results(sample: Any, ids: list[int]) -> list[dict[str, Any]]:
    """One image's detections in the form of a COCO results file."""
    rles, scores, boxes = detections_of(sample.pred_instances)
    columns = sample.pred_instances.labels.tolist(), boxes.tolist(), scores.tolist(), rles
    image = int(sample.img_id)
    return [
        dict(image_id=image, category_id=ids[label], bbox=box, score=score, segmentation=rle)
        for label, box, score, rle in zip(*columns, strict=True)
    ]
