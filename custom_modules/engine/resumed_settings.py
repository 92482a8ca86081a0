"""Settings that a checkpoint brings along: another value of one would be dropped in silence."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cellkit.errors import UserError

# Where a schedule or an optimizer is and what the machine chose, not how it was set.
STATES = {
    'capturable', 'differentiable', 'foreach', 'fused', 'last_step', 'param_name', 'param_names',
    'params', 'verbose',
}  # fmt: skip
SCHEDULED = ' scheduled'  # no setting: whether there is a schedule at all
OPTIMIZER_KEY = 'optim_wrapper.optimizer'


def _settings_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """What of a parameter group or a schedule was set; ``lr`` is what ``initial_lr`` was."""
    found = {
        key.removeprefix('initial_'): value
        for key, value in group.items()
        if key not in STATES and not key.startswith('_') and f'initial_{key}' not in group
    }
    return {**found, SCHEDULED: any(key.startswith('initial_') for key in group)}


def kept_settings(optimizer: Mapping, schedulers: Sequence[Mapping]) -> dict[str, list[dict]]:
    """What optimizer and schedules were set to, from their ``state_dict()``."""
    groups = optimizer.get('param_groups', [])
    found = {OPTIMIZER_KEY: [_settings_of(group) for group in groups]}
    for index, scheduler in enumerate(schedulers):
        found[f'param_scheduler.{index}'] = [_settings_of(scheduler)]
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _changes(asked: Mapping[str, list], kept: Mapping[str, list]) -> Iterator[str]:
    for path, groups in asked.items():
        for mine, theirs in zip(groups, kept.get(path, []), strict=False):
            for key in sorted(set(mine) & set(theirs)):
                if _plain(mine[key]) == _plain(theirs[key]):
                    continue
                if key == SCHEDULED:
                    yield f'param_scheduler was {"there" if theirs[key] else "None"}'
                else:
                    yield f'{path}.{key} was {theirs[key]}, not {mine[key]}'


def check_resumed(asked: Mapping[str, list], kept: Mapping[str, list], checkpoint: str) -> None:
    """Compare what the config asks for with what the checkpoint goes on with.

    Args:
        asked: :func:`kept_settings` of what was built from the config.
        kept: The same of what the checkpoint holds.
        checkpoint: Its path, for the message.

    Raises:
        UserError: They differ.
    """
    found = list(dict.fromkeys(_changes(asked, kept)))
    if found:
        more = f' and {len(found) - 3} more' if len(found) > 3 else ''
        raise UserError(
            f'{checkpoint} goes on with its own rate and schedule ({"; ".join(found[:3])}{more}): '
            f'leave the change out, or start a new run from its weights with load_from={checkpoint}'
        )
