"""Settings that only make sense together: one follows the other, or the run is refused.

``follow`` changes a config before anything is built: a schedule that ended with training still
does, and "better" means what the chosen value asks for. ``schedule_problem`` looks at what was
built, where epochs have become iterations.
"""

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from mmengine.optim.scheduler import CosineAnnealingParamScheduler

from cellkit.errors import UserError
from cellkit.instances import CLASSES

# Words of a value's name, and what is better. A bias is best at 0, a threshold is no score.
WORDS = {
    'less': {'error', 'loss', 'mae', 'mape', 'mse', 'rmse'},
    'greater': {
        'acc', 'accuracy', 'aji', 'ap', 'ap50', 'ap75', 'ar', 'auc', 'dice', 'f1', 'iou', 'map',
        'mdice', 'miou', 'pq', 'precision', 'recall', 'rq', 'sq', 'top1', 'top5',
    },
    'neither': {'bias', 'thr', 'threshold'},
}  # fmt: skip
LENGTHS = ('max_epochs', 'max_iters')
FOR_EVER = 10**9  # MMEngine's end of a schedule that has none
SLACK = 0.05  # of the length: a cosine that misses the end by this is within 1 % of its end


def better(value: str) -> str | None:
    """``'greater'`` or ``'less'``, whichever is better; ``'neither'``; None if unknown."""
    words = set(re.split(r'[^a-z0-9]+', value.rpartition('/')[2].lower()))
    for kind in ('neither', 'less', 'greater'):
        if words & WORDS[kind]:
            return kind
    return None


def rule_for(value: str, rule: str | None, path: str, key: str) -> str:
    """The rule by which one value is compared.

    Args:
        value: Name of the value, such as ``coco/segm_mAP``.
        rule: What the config says.
        path: Dotted key of the dict that has both.
        key: Its key that names the value.

    Raises:
        UserError: The rule is missing and not known, or is the wrong one.
    """
    kind = better(value)
    if kind == 'neither':
        raise UserError(
            f'{path}.{key}={value}: neither a high nor a low one is a good one; choose another '
            'value, such as coco/segm_mAP or val_loss'
        )
    if rule is None and kind is None:
        raise UserError(
            f'{path}.{key}={value}: whether more or less of it is better is not known; give '
            f'{path}.rule=greater or {path}.rule=less as well'
        )
    if rule is not None and kind not in (None, rule):
        raise UserError(
            f'{path}.{key}={value} and {path}.rule={rule} would keep the worst: give '
            f'{path}.rule={kind}, or leave the rule out'
        )
    return rule or str(kind)


def _judges(config: Mapping) -> Iterator[tuple[str, str, Any]]:
    """Dotted key, key of the value's name, and dict of all that compare values."""
    hooks = config.get('default_hooks') or {}
    yield 'default_hooks.checkpoint', 'save_best', hooks.get('checkpoint')
    for part in ('custom_hooks', 'param_scheduler'):
        entries = config.get(part) or []
        for index, entry in enumerate(entries if isinstance(entries, Sequence) else [entries]):
            yield f'{part}.{index}', 'monitor', entry


def _at(config: Any, path: str) -> Any:
    for step in path.split('.'):
        if hasattr(config, 'get'):  # a dict, or MMEngine's Config, which is none
            config = config.get(step)
        elif isinstance(config, Sequence) and step.isdecimal() and int(step) < len(config):
            config = config[int(step)]
        else:
            return None
    return config


def _follow_value(written: Mapping, config: Mapping) -> Iterator[str]:
    """Has every rule of comparison be that of the value compared."""
    for path, key, judge in _judges(config):
        value = judge.get(key) if isinstance(judge, Mapping) else None
        if value in (None, 'auto', []):
            continue
        before = _at(written, path) or {}
        rule = judge.get('rule')
        inherited = rule == before.get('rule') and value != before.get(key)
        names = [value] if isinstance(value, str) else list(value)
        rules = [rule] * len(names) if rule is None or isinstance(rule, str) else list(rule)
        if inherited:
            rules = [None if better(name) else old for name, old in zip(names, rules, strict=False)]
        if len(rules) != len(names):
            raise UserError(
                f'{path}.{key} names {len(names)} values and {path}.rule has {len(rules)}: give '
                'one for each'
            )
        rules = [rule_for(name, old, path, key) for name, old in zip(names, rules, strict=True)]
        found = rules[0] if isinstance(value, str) else rules
        if inherited and rule is not None and found != rule:
            yield f'{path}.rule={found}, for {value}'
        judge['rule'] = found


def _length(config: Mapping) -> tuple[str, int] | None:
    """How long training is, and in what."""
    loop = config.get('train_cfg') or {}
    return next(((unit, loop[unit]) for unit in LENGTHS if loop.get(unit)), None)


def _follow_length(written: Mapping, config: Mapping) -> Iterator[str]:
    """Has every schedule that ended with training end with it again."""
    before, after = _length(written), _length(config)
    if None in (before, after) or before == after or before[0] != after[0]:
        return
    (unit, old), (_, new) = before, after
    schedules = config.get('param_scheduler') or []
    for index, schedule in enumerate(schedules if isinstance(schedules, Sequence) else [schedules]):
        path = f'param_scheduler.{index}'
        was = _at(written, path) or {}
        if schedule.get('by_epoch', True) != (unit == 'max_epochs'):
            continue
        if (steps := schedule.get('milestones')) and steps == was.get('milestones'):
            raise UserError(
                f'train_cfg.{unit}={new} needs a partner: {path}.milestones={list(steps)} are for '
                f'{old}, so give them as well'
            )
        begin = schedule.get('begin') or 0
        for key, start in (('end', 0), ('T_max', begin), ('total_steps', begin)):
            value = schedule.get(key)
            if value is None or value != was.get(key) or value not in (old, old - start):
                continue
            schedule[key] = new if value == old else new - start
            if begin >= new:
                raise UserError(
                    f'train_cfg.{unit}={new} ends before {path} begins at {begin}: give '
                    f'{path}.begin and {path}.{key} as well'
                )
            yield f'{path}.{key}={schedule[key]}, for train_cfg.{unit}={new}'


def _follow_absent(config: MutableMapping) -> Iterator[str]:
    """Without one of a part's loader, loop and evaluator there are none of them."""
    for part in ('val', 'test'):
        keys = [f'{part}_{name}' for name in ('dataloader', 'cfg', 'evaluator')]
        given = [key for key in keys if config.get(key) is not None]
        if not given or len(given) == len(keys) or not all(key in config for key in keys):
            continue
        for key in given:
            config[key] = None
            yield f'{key}=None, as {part} has another part that is None'
    hook = (config.get('default_hooks') or {}).get('checkpoint')
    if config.get('val_dataloader', hook) is None and hook and hook.get('save_best'):
        hook['save_best'] = None
        yield 'default_hooks.checkpoint.save_best=None, as nothing is validated'


def _annotations(config: Mapping, part: str) -> str | None:
    dataset = (config.get(f'{part}_dataloader') or {}).get('dataset') or {}
    file = dataset.get('ann_file')
    return os.path.join(dataset.get('data_root') or '', file) if isinstance(file, str) else None


def _follow_annotations(written: Mapping, config: MutableMapping) -> Iterator[str]:
    """Has images be scored against their own annotations."""
    for part in ('val', 'test'):
        file, before = _annotations(config, part), _annotations(written, part)
        metrics = config.get(f'{part}_evaluator') or []
        for index, metric in enumerate([metrics] if isinstance(metrics, Mapping) else metrics):
            path = f'{part}_evaluator' + ('' if isinstance(metrics, Mapping) else f'.{index}')
            theirs = metric.get('ann_file') if isinstance(metric, Mapping) else None
            if None in (file, theirs) or os.path.normpath(theirs) == os.path.normpath(file):
                continue
            was = (_at(written, path) or {}).get('ann_file')
            if file == before or theirs != was:
                raise UserError(
                    f'{part}_dataloader reads {file} and {path} {theirs}: images would be scored '
                    f"against another set's annotations, so give {path}.ann_file as well, or name "
                    'the data with the environment variable DATA_ROOT'
                )
            metric['ann_file'] = file
            yield f'{path}.ann_file={file}, for {part}_dataloader.dataset'


def _classes(model: Any, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(model, Mapping):
        if isinstance(number := model.get('num_classes'), int):
            yield f'{path}.num_classes', number
        for key, value in model.items():
            yield from _classes(value, f'{path}.{key}')
    elif isinstance(model, (list, tuple)):
        for index, value in enumerate(model):
            yield from _classes(value, f'{path}.{index}')


def _check_classes(config: Mapping) -> None:
    found = dict(_classes((config.get('model') or {}).get('roi_head'), 'model.roi_head'))
    if len(set(found.values())) > 1:
        said = ' and '.join(f'{path}={number}' for path, number in found.items())
        raise UserError(f'{said} differ: give the same number to all heads')
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    if dataset.get('type') == 'BCCDDataset' and set(found.values()) - {len(CLASSES)}:
        path, number = next(iter(found.items()))
        raise UserError(
            f'{path}={number}, but the prepared data have {len(CLASSES)} class '
            f'({", ".join(CLASSES)}): leave it out'
        )


def follow(written: Mapping, config: MutableMapping) -> list[str]:
    """Has linked settings follow the overrides, in place.

    Args:
        written: The config as its file has it.
        config: The same after overrides.

    Returns:
        What followed, a phrase each.

    Raises:
        UserError: What follows is not clear: it names the setting to give.
    """
    absent = list(_follow_absent(config))
    _check_classes(config)
    absent += _follow_annotations(written, config)
    return [*absent, *_follow_value(written, config), *_follow_length(written, config)]


def schedule_problem(schedulers: Sequence[Any], iterations: int, epochs: int) -> str | None:
    """What to tell where a cosine rises again or stops half-way, None where it ends as it should.

    Args:
        schedulers: As built.
        iterations: Length of training.
        epochs: The same in epochs.
    """
    for index, schedule in enumerate(schedulers):
        if not isinstance(schedule, CosineAnnealingParamScheduler):
            continue
        length = epochs if schedule.by_epoch else iterations
        unit = 'epochs' if schedule.by_epoch else 'steps'
        last = schedule.begin + schedule.T_max
        rises = last < length * (1 - SLACK) and schedule.end > last
        if rises or (schedule.T_max * (1 - SLACK) > length and schedule.begin < length):
            effect = 'the rate would rise again after it' if rises else 'the rate would not fall'
            return (
                f'param_scheduler.{index} anneals over {schedule.T_max} {unit} and training has '
                f'{length}: {effect}, so give param_scheduler.{index}.T_max='
                f'{max(length - schedule.begin, 1)} or another train_cfg.max_epochs or max_iters.'
            )
    return None
