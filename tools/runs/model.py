"""The device to compute on, and a run's model with its weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm

from cellkit.errors import UserError


def pick_device(name: str | None = None) -> str:
    """The device that was named, else the GPU if there is one.

    Raises:
        UserError: The device isn't there.
    """
    name = name or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name} can't be used ({reason}); try --device cpu") from error
    return name


def detector_of(model: ConfigDict) -> ConfigDict:
    """The config of a model's detector: what test-time augmentation wraps, or the model itself."""
    return model.get('module', model)


def most_detections(model: ConfigDict) -> int | None:
    """How many detections of an image a config's model gives at most."""
    return detector_of(model).get('test_cfg', {}).get('rcnn', {}).get('max_per_img')


def build_model(
    config: Config, weights: Mapping[str, torch.Tensor], device: str
) -> torch.nn.Module:
    """The config's model with a checkpoint's weights, ready to predict.

    Raises:
        UserError: The model can't be built, or the weights are of another one.
    """
    detector = detector_of(config.model)
    if 'init_cfg' in detector.get('backbone', {}):
        detector.backbone.init_cfg = None  # nothing to fetch
    try:
        model = revert_sync_batchnorm(MODELS.build(config.model))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the config's model can't be built ({' '.join(str(error).split())[:200]}); name "
            'another with --config FILE'
        ) from error
    try:
        getattr(model, 'module', model).load_state_dict(weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise UserError(
            f"the checkpoint is not of this config's model ({lines[0] if lines else error}); "
            'name the config it was trained with (--config)'
        ) from error
    return model.to(device).eval()
