"""Finds overrides of a config that nothing would ever read.

MMEngine merges any ``--cfg-options`` key into the config, so that a misspelt one is silently
ignored. Here every key that is not in the config file as written must be something that can be
read: a parameter of the class it configures, or one of the few settings that are looked up by name.
"""

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any, NamedTuple

import mmdet.registry
import mmengine.registry
from mmcv.ops import nms
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner, ValLoop
from mmengine.runner import TestLoop as TestingLoop
from torch import distributed, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

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
    'env_cfg': {'cudnn_benchmark', 'dist_cfg', 'mp_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'micro_batch': {'out_of_memory', 'size'},
    'optim_wrapper': {'clip_grad', 'constructor', 'paramwise_cfg'},
    'optim_wrapper.clip_grad': {'clip_value', 'type'},
    'optim_wrapper.paramwise_cfg': {
        'bias_decay_mult', 'bias_lr_mult', 'bypass_duplicate', 'custom_keys', 'dcn_offset_lr_mult',
        'dwconv_decay_mult', 'flat_decay_mult', 'norm_decay_mult',
    },
    'optim_wrapper.paramwise_cfg.custom_keys.*': {'decay_mult', 'lr_mult'},
    'param_scheduler.*': {'convert_to_iter_based'},
    'model*.train_cfg': {'rcnn', 'rpn', 'rpn_proposal'},
    'model*.train_cfg.*': {
        'allowed_border', 'assigner', 'debug', 'mask_size', 'match_low_quality', 'pos_weight',
        'sampler',
    },
    'model*.train_cfg.rpn_proposal': {'max_per_img', 'min_bbox_size', 'nms', 'nms_pre'},
    'model*.test_cfg': {'rcnn', 'rpn'},
    'model*.test_cfg.rpn': {'max_per_img', 'min_bbox_size', 'nms', 'nms_pre'},
    'model*.test_cfg.rcnn': {'mask_thr_binary', 'max_per_img', 'nms', 'score_thr'},
    '*conv_cfg': {'padding_mode'},
    '*init_cfg': {'override'},
    '*norm_cfg': {'requires_grad'},
}  # fmt: skip

# Dicts whose keys are the user's own names or are passed on to something that checks them.
FREE = (
    '*_args', '*_cfgs', '*_kwargs', '*.custom_keys', '*.data_prefix', '*.filter_cfg', '*.metainfo',
    '*.patch_cfg', 'compile',
)  # fmt: skip

REGISTRIES = tuple(
    registry
    for module in (mmdet.registry, mmengine.registry)
    for registry in vars(module).values()
    if isinstance(registry, Registry)
)


class Accepted(NamedTuple):
    """What a dict of the config may hold: the names, and whether others can be read as well."""

    names: set[str]
    any_other: bool = False


def accepted_by(target: Any) -> Accepted:
    """Parameters that a class or a function takes.

    ``**kwargs`` of a constructor is followed along the method resolution order, as
    ``super().__init__(**kwargs)`` would pass them on.
    """
    constructors = [target]
    if inspect.isclass(target):  # the last one is object
        constructors = [vars(c)['__init__'] for c in target.__mro__[:-1] if '__init__' in vars(c)]
    names: set[str] = set()
    for constructor in constructors:
        if constructor is nn.Module.__init__:  # takes anything, and then raises
            return Accepted(names)
        try:
            parameters = inspect.signature(constructor).parameters.values()
        except ValueError:  # written in C
            return Accepted(names, True)
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        names |= {p.name for p in named} - {'self'}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return Accepted(names)
    return Accepted(names, bool(constructors))


def registered(name: Any) -> list[Any]:
    """All classes and functions registered under a name (or the class itself)."""
    if not isinstance(name, str):
        return [name]
    if name == 'nms':  # mmcv calls this one by its function name
        return [nms]
    found = []
    for registry in REGISTRIES:
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


def accepted_at(path: str, value: Mapping) -> Accepted | None:
    """What the dict at a dotted path may hold, None if nothing is known about it."""
    if not path:
        return Accepted(TOP_LEVEL)
    looked_up = [names for pattern, names in LOOKED_UP.items() if _matches(path, pattern)]
    if 'type' in value and path != 'optim_wrapper.clip_grad':
        targets = registered(value['type'])
    else:
        targets = [_default_class(path, value)]
    readers = [accepted_by(target) for target in targets if target is not None]
    if not readers and not looked_up:
        return None
    names = EVERYWHERE.union(*looked_up, *(reader.names for reader in readers))
    return Accepted(names, _is_free(path) or any(reader.any_other for reader in readers))


def _is_free(path: str) -> bool:
    return any(_matches(path, pattern) for pattern in FREE)


def _matches(path: str, pattern: str) -> bool:
    """As ``fnmatch``, but a last ``.*`` stands for one step of the path only."""
    if pattern.endswith('.*'):
        path, pattern = path.rpartition('.')[0], pattern[:-2]
    return fnmatchcase(path, pattern)


def _nearest(word: str, words: set[str], cutoff: float = 0.6) -> str | None:
    found = difflib.get_close_matches(word, sorted(words), n=1, cutoff=cutoff)
    return found[0] if found else None


def _join(*parts: Any) -> str:
    return '.'.join(str(part) for part in parts if part != '')


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """Keys and values of a dict, indices and values of a list, nothing of anything else."""
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def _leaves(value: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """All dotted paths of a config and what stands there, dicts and lists included."""
    if path:
        yield path, value
    for key, item in _items(value):
        yield from _leaves(item, _join(path, key))


def _common_ending(one: str, other: str) -> int:
    """Number of last steps that two dotted paths share."""
    pairs = zip(reversed(one.split('.')), reversed(other.split('.')), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _suggestion(path: str, key: str, rest: str, names: set[str], config: Mapping) -> str:
    """Names the nearest real key: beside the wrong one, else anywhere in the config."""
    if near := _nearest(key, names - EVERYWHERE) or _nearest(key, EVERYWHERE, 0.75):
        return f'the nearest is `{_join(path, near, rest)}`'
    typed = _join(path, key, rest)
    live = {name: value for name, value in config.items() if name in TOP_LEVEL}
    everywhere = [leaf for leaf, _ in _leaves(live) if not typed.startswith(leaf)]
    alike = max((_common_ending(typed, leaf) for leaf in everywhere), default=0)
    if alike:  # the right name in the wrong place
        places = [leaf for leaf in everywhere if _common_ending(typed, leaf) == alike]
        return f'it exists as {" and ".join(f"`{place}`" for place in places[:3])}'
    if near := _nearest(typed, set(everywhere), 0.75):
        return f'the nearest is `{near}`'
    known = sorted(names - EVERYWHERE)
    return f'known there: {", ".join(known[:12])}{", …" if len(known) > 12 else ""}'


def _first_leaf(value: Any) -> str:
    """The rest of the dotted key that was typed: the path to the first leaf of a new dict."""
    path = ''
    while isinstance(value, Mapping) and value:
        key, value = next(iter(value.items()))
        path = _join(path, key)
    return path


def _unread(written: Any, merged: Any, path: str, config: Mapping) -> Iterator[str]:
    if not isinstance(merged, Mapping):
        before = dict(_items(written))
        for index, item in _items(merged):
            yield from _unread(before.get(index), item, _join(path, index), config)
        return
    whole = not isinstance(written, Mapping)
    before = {} if whole else written
    retyped = bool(path) and 'type' in merged and merged['type'] != before.get('type')
    if retyped and not registered(kind := merged['type']):
        near = _nearest(kind, {name for r in REGISTRIES for name in r.module_dict}, 0.0)
        yield f'`{path}.type`: nothing is called {kind}, the nearest is `{near}`'
        return
    added = set(merged) if retyped else set(merged) - set(before)
    accepted = accepted_at(path, merged) if added else None
    for key, value in merged.items():
        if key in added:
            if accepted is None:  # a dict that nothing is known about: keys must have been there
                names, free = EVERYWHERE.union(before), whole or _is_free(path)
            else:
                names = accepted.names
                free = accepted.any_other and _nearest(key, names, 0.8) is None
            fresh_hook = path == 'default_hooks' and isinstance(value, Mapping) and 'type' in value
            if key not in names and not free and not fresh_hook:
                rest = _first_leaf(value)
                hint = _suggestion(path, key, rest, names.union(before if path else ()), config)
                yield f'nothing reads `{_join(path, key, rest)}`, {hint}'
                continue
        yield from _unread(before.get(key), value, _join(path, key), config)


def _used_up(written: Mapping, merged: Mapping) -> Iterator[str]:
    """Overrides of names that only serve inside the config file, such as ``max_iters``."""
    live = {key: value for key, value in written.items() if key in TOP_LEVEL}
    for name in sorted(set(written) - TOP_LEVEL):
        value = written[name]
        if merged.get(name) == value:
            continue
        used = [path for path, leaf in _leaves(live) if type(leaf) is type(value) and leaf == value]
        instead = [f'`{path}`' for path in used[:3]]
        if name == 'data_root':
            instead.append('the environment variable DATA_ROOT')
        hint = f': set {" or ".join(instead)} instead' if instead else ''
        yield f'`{name}` only serves inside the config file and is already used there{hint}'


def find_unread_settings(written: Mapping, merged: Mapping) -> list[str]:
    """One phrase for each setting that is not in the config as written and that nothing reads.

    It names the key and the nearest real one. ``merged`` is ``written`` after the overrides.
    """
    return [*_unread(written, merged, '', written), *_used_up(written, merged)]
