"""Who reads a dict of the config, and which keys: classes by name, and what is looked up."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any

import mmcv.ops
import mmengine.registry
from mmdet.datasets import CocoDataset
from mmengine.hooks import EMAHook
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner, ValLoop
from mmengine.runner import TestLoop as TestingLoop
from torch import distributed
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from custom_modules.datasets.transforms.albu_cells import step_class, step_names
from custom_modules.engine.config_check.signatures import Accepted, accepted_by, keys_taken_from

# The runner's parameters, and what it or the programs that start it look up by name.
TOP_LEVEL = {
    *inspect.signature(Runner).parameters,
    'activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval',
    'find_unused_parameters', 'load_what_fits', 'micro_batch', 'model_wrapper_cfg', 'runner_type',
    'sync_bn', 'tta_model', 'tta_pipeline',
} - {'cfg'}  # fmt: skip

# Popped before the rest of a dict reaches its class.
EVERYWHERE = {'type', '_scope_', '_delete_'}

# Dotted paths and what MMEngine, MMCV or MMDetection look up there beyond a class' parameters.
LOOKED_UP = {
    '*_dataloader': {'dataset', 'num_batch_per_epoch', 'disable_subprocess_warning'},
    'auto_scale_lr': {'base_batch_size', 'enable'},
    'custom_hooks.*': {'priority'},
    'custom_imports': {'allow_failed_imports', 'imports'},
    'default_hooks': {
        'checkpoint', 'logger', 'param_scheduler', 'runtime_info', 'sampler_seed', 'sync_buffers',
        'timer', 'visualization',
    },
    'default_hooks.*': {'priority'},
    'env_cfg.dist_cfg': {'init_backend', 'port'},  # the port is for Slurm
    'env_cfg': {'cudnn_benchmark', 'dist_cfg', 'mp_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'train_cfg': {'by_epoch'},
    'micro_batch': {'out_of_memory', 'size'},
    'optim_wrapper': {'clip_grad', 'constructor', 'paramwise_cfg'},
    'optim_wrapper.clip_grad': {'clip_value', 'type'},
    'param_scheduler.*': {'convert_to_iter_based'},
    '*conv_cfg': {'padding_mode'},
    '*init_cfg': {'override'},
    '*norm_cfg': {'requires_grad'},
    '*upsample_cfg': {'scale_factor'},
}  # fmt: skip

# What the heads of a two-stage detector look up in their parts of train_cfg and test_cfg.
# `debug` is in every stock config, and nothing reads it.
PROPOSALS = {'max_per_img', 'min_bbox_size', 'nms', 'nms_pre'}
TARGETS = {'assigner', 'debug', 'pos_weight', 'sampler'}
TWO_STAGE = {
    'train_cfg': {'rcnn', 'rpn', 'rpn_proposal'},
    'train_cfg.rpn': {*TARGETS, 'allowed_border'},
    'train_cfg.rpn_proposal': PROPOSALS,
    'train_cfg.rcnn': {*TARGETS, 'mask_size', 'soft_mask_target'},
    'test_cfg': {'rcnn', 'rpn'},
    'test_cfg.rpn': PROPOSALS,
    'test_cfg.rcnn': {'mask_thr_binary', 'max_per_img', 'nms', 'score_thr'},
}

# Dicts whose keys are the user's own names or are passed on to something that checks them.
FREE = (
    '*_args', '*_cfgs', '*_kwargs', '*.custom_keys', '*.metainfo',
    '*.patch_cfg', 'compile',
)  # fmt: skip

SCOPE: ContextVar[str] = ContextVar('scope', default='mmdet')
"""Whose names a config uses."""


@contextmanager
def scope_of(config: Mapping) -> Iterator[None]:
    """Names are looked up as a runner of this config does: ``default_scope``, then MMEngine's."""
    token = SCOPE.set(config.get('default_scope') or 'mmdet')
    try:
        yield
    finally:
        SCOPE.reset(token)


@cache
def _registries(scope: str) -> tuple[Registry, ...]:
    modules = [mmengine.registry]
    with suppress(ImportError):  # a scope of the user's own
        modules.insert(0, import_module(f'{scope}.registry'))
    found = (registry for module in modules for registry in vars(module).values())
    return tuple(registry for registry in found if isinstance(registry, Registry))


def registered(name: Any) -> list[Any]:
    """All classes and functions registered under a name (or the class itself)."""
    if not isinstance(name, str):
        return [name] if callable(name) else []
    found = []
    for registry in _registries(SCOPE.get()):
        try:
            target = registry.get(name)
        except (RuntimeError, ImportError):
            continue
        if target is not None and target not in found:
            found.append(target)
    return found


def _default_class(path: str, value: Mapping) -> Any:
    """What reads a dict that names no type."""
    if path == 'train_cfg':
        return EpochBasedTrainLoop if value.get('by_epoch', True) else IterBasedTrainLoop
    if fnmatchcase(path, '*_dataloader') and '.' not in path:
        return DataLoader
    return {
        'val_cfg': ValLoop,
        'test_cfg': TestingLoop,
        'optim_wrapper': OptimWrapper,
        'optim_wrapper.clip_grad': clip_grad_norm_,
        'log_processor': LogProcessor,
        'randomness': Runner.set_randomness,
        'env_cfg.dist_cfg': distributed.init_process_group,
    }.get(path)


def _suppression(value: Mapping) -> set[str]:
    """What mmcv's ``batched_nms`` and the function that ``type`` names take."""
    function = getattr(mmcv.ops, str(value.get('type', 'nms')), mmcv.ops.nms)
    given = {'boxes', 'scores', 'dets', 'labels'}
    return {*inspect.signature(function).parameters} - given | {
        'class_agnostic', 'max_num', 'split_thr',
    }  # fmt: skip


def _constructor(config: Mapping) -> type:
    name = (config.get('optim_wrapper') or {}).get('constructor')
    found = registered(name) if name else []
    return found[0] if found and inspect.isclass(found[0]) else DefaultOptimWrapperConstructor


def _dataset_keys(dataset: Mapping, key: str) -> set[str] | None:
    """What a data set looks up in its ``filter_cfg`` or ``data_prefix``."""
    kind = next((c for c in registered(dataset.get('type')) if inspect.isclass(c)), None)
    if kind is None:
        return None
    if key == 'filter_cfg':  # a data set for testing is not filtered
        if dataset.get('test_mode'):
            return set()
        return set(keys_taken_from(kind, key)) or None
    return {'img', 'seg', 'img_path'} if issubclass(kind, CocoDataset) else None


def _free_dict(path: str, value: Mapping, config: Mapping) -> set[str] | None:
    """Keys of a dict that is handed on as it is and looked into later; None for any other."""
    parent, _, key = path.rpartition('.')
    if path == 'optim_wrapper.paramwise_cfg':
        return set(keys_taken_from(_constructor(config), 'paramwise_cfg'))
    if parent == 'optim_wrapper.paramwise_cfg.custom_keys':
        decays = 'LearningRateDecay' in _constructor(config).__name__
        return {'decay_mult'} if decays else {'decay_mult', 'lr_mult'}
    if key == 'nms' and fnmatchcase(parent, 'model*_cfg.*'):
        return _suppression(value)
    if key in ('filter_cfg', 'data_prefix'):
        return _dataset_keys(at(config, parent) or {}, key)
    model, _, part = path.partition('.t')
    two_stage = at(config, model) if part.startswith(('rain_cfg', 'est_cfg')) else None
    heads = two_stage if isinstance(two_stage, Mapping) else {}
    if (heads.get('roi_head') or {}).get('type') == 'StandardRoIHead' and 'rpn_head' in heads:
        return TWO_STAGE.get(f't{part}')
    return None


def at(config: Any, path: str) -> Any:
    """What stands at a dotted path, None if nothing does."""
    for step in path.split('.'):
        if hasattr(config, 'get'):  # a dict, or MMEngine's Config, which is none
            config = config.get(step)
        elif isinstance(config, (list, tuple)) and step.isdecimal() and int(step) < len(config):
            config = config[int(step)]
        else:
            return None
    return config


class _Registered(frozenset):
    """Names that the registries know, also those of a scope that is loaded when it is named."""

    def __contains__(self, name: object) -> bool:
        return bool(registered(name))


@cache
def _all_types(scope: str) -> _Registered:
    return _Registered(name for each in _registries(scope) for name in each.module_dict)


def _is_albumentations(path: str) -> bool:
    """Whether a dict is a step of ``AlbuCells``, or stands within one."""
    return fnmatchcase(path, '*pipeline.*.steps.*')


def types_at(path: str) -> frozenset[str]:
    """Names that may stand for the type of a dict."""
    if _is_albumentations(path):
        return step_names()
    if path.endswith('.nms'):
        return frozenset({'nms', 'nms_rotated', 'soft_nms'})
    if path.endswith('.roi_layer'):  # MMDetection takes it from mmcv.ops by its name
        return frozenset(name for name, op in vars(mmcv.ops).items() if inspect.isclass(op))
    if path == 'optim_wrapper.clip_grad':
        return frozenset({'norm', 'value'})
    return _all_types(SCOPE.get())


def readers_of(path: str, value: Mapping) -> list[Any]:
    """Classes and functions that take a dict's keys as parameters."""
    if not path:
        return [Runner]
    if path.endswith('.roi_layer'):
        return [getattr(mmcv.ops, str(value.get('type')), None)]
    if _is_albumentations(path):
        return [found] if (found := step_class(value.get('type'))) else []
    if 'type' in value and path != 'optim_wrapper.clip_grad':
        found = registered(value['type'])
        if EMAHook in found:  # the rest is for its averaged model
            kind = inspect.signature(EMAHook).parameters['ema_type'].default
            found = [*found, *registered(value.get('ema_type', kind))]
        return found
    default = _default_class(path, value)
    return [] if default is None else [default]


def accepted_at(path: str, value: Mapping, config: Mapping) -> Accepted | None:
    """What the dict at a dotted path may hold, None if nothing is known about it."""
    if not path:
        return Accepted(TOP_LEVEL)
    if (keys := _free_dict(path, value, config)) is not None:
        return Accepted(EVERYWHERE | keys)
    looked_up = [names for pattern, names in LOOKED_UP.items() if _matches(path, pattern)]
    readers = [accepted_by(target) for target in readers_of(path, value)]
    if not readers and not looked_up:
        return None
    names = EVERYWHERE.union(*looked_up, *(reader.names for reader in readers))
    return Accepted(names, is_free(path) or any(reader.any_other for reader in readers))


def is_free(path: str) -> bool:
    return any(_matches(path, pattern) for pattern in FREE)


def _matches(path: str, pattern: str) -> bool:
    """As ``fnmatch``, but a last ``.*`` stands for one step of the path only."""
    if pattern.endswith('.*'):
        path, pattern = path.rpartition('.')[0], pattern[:-2]
    return fnmatchcase(path, pattern)
