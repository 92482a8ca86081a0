"""The processes of one run: MMEngine's way to start them, without GPUs too, and what they share.

What a run comes to must not depend on their number: each takes part of a batch, and all log, stop
and save the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from mmengine.device import get_device
from mmengine.dist import (
    all_reduce,
    all_reduce_params,
    broadcast_object_list,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed import DistNetworkError, DistStoreError
from torch.nn.modules.batchnorm import _NormBase

from cellkit.errors import UserError

Found = TypeVar('Found')
NEEDS = {'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'), 'slurm': ('SLURM_PROCID', 'SLURM_NTASKS')}
STARTERS = {
    'pytorch': 'torchrun, or mim with --gpus and --launcher pytorch',
    'slurm': 'srun, or mim with --launcher slurm',
}


@contextmanager
def starting(launcher: str, env_cfg: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Gives the ``env_cfg`` with which MMEngine starts processes, with gloo where no GPU is.

    Raises:
        UserError: Nothing has started the processes, a machine has fewer GPUs than processes, or
            the processes don't find each other.
    """
    if launcher == 'none':
        yield env_cfg
        return
    if missing := [name for name in NEEDS.get(launcher, ()) if name not in os.environ]:
        raise UserError(
            f'--launcher {launcher} reads {missing[0]}, which is not set: start the program with '
            f'{STARTERS[launcher]}, or leave --launcher out (docs/distributed.md)'
        )
    pick = torch.cuda.set_device
    if get_device() == 'cpu':
        env_cfg = {**env_cfg, 'dist_cfg': {**env_cfg.get('dist_cfg', {}), 'backend': 'gloo'}}
        torch.cuda.set_device = lambda _: None  # MMEngine picks a GPU whatever the backend
    else:
        check_gpus()
    try:
        yield env_cfg
    except (DistNetworkError, DistStoreError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(
            f"the run's processes don't find each other ({reason}): give all of them the "
            '--master-addr and a free --master-port of the first machine (docs/distributed.md)'
        ) from error
    finally:
        torch.cuda.set_device = pick


def check_gpus() -> None:
    """Sees to it that this process has a GPU of its own.

    Raises:
        UserError: It has none.
    """
    place = int(os.environ.get('LOCAL_RANK', os.environ.get('SLURM_LOCALID', 0)))
    if torch.cuda.is_available() and place >= (gpus := torch.cuda.device_count()):
        raise UserError(
            f'this machine has {gpus} GPU{"s" if gpus > 1 else ""} and more processes than that: '
            f'start {gpus} (--gpus, --nproc-per-node)'
        )


def wrapper_on_cpu(config: Mapping[str, Any]) -> dict[str, Any]:
    """``model_wrapper_cfg`` for a model on the CPU, which is no numbered device.

    Args:
        config: The run's.

    Raises:
        UserError: Batch norm over processes is asked for, which torch has for GPUs alone.
    """
    if config.get('sync_bn'):
        raise UserError(f'sync_bn={config["sync_bn"]} needs GPUs: set sync_bn=None')
    plain = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=config.get('find_unused_parameters', False),
    )
    return {'device_ids': None, **(config.get('model_wrapper_cfg') or plain)}


def by_first(action: Callable[[], Found]) -> Found:
    """What the first process finds, in all processes; its error ends them all and is said once.

    Args:
        action: Done in the first process alone; what it gives can be pickled.
    """
    if get_world_size() == 1:
        return action()
    told: list[Any] = [None, False]
    try:
        if is_main_process():
            told[0] = action()
    except (UserError, SystemExit):
        told[1] = True
        raise
    finally:
        broadcast_object_list(told)
    if told[1]:
        raise SystemExit(1)
    return told[0]


def mean_of_processes(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The means over processes of values that all of them have, each without dimensions."""
    if get_world_size() == 1 or not values:
        return values
    stacked = torch.stack([value.detach().float().reshape(()) for value in values.values()])
    all_reduce(stacked, 'mean')
    return dict(zip(values, stacked, strict=True))


@HOOKS.register_module()
class SharedStatisticsHook(Hook):
    """Batch norm's running statistics are the mean over processes after each step.

    Else each process would validate with its own, and the checkpoint hold the first one's.
    :class:`StrictRunner` registers it.
    """

    priority = 'VERY_HIGH'  # before those that keep weights

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Takes the means."""
        all_reduce_params(running_statistics(runner.model), op='mean')


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Those that a training step moves."""
    norms = [m for m in model.modules() if isinstance(m, _NormBase) and m.training]
    return [s for m in norms for s in (m.running_mean, m.running_var) if s is not None]
