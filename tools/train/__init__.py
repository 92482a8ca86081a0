"""Training: one run from a config and changes to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cellkit.errors import UserError
from cellkit.files.program import hand_on_signals, quiet
from cellkit.files.run_folder import family, free_folder, newest_of
from tools.train.pick import pick_config


def train(
    config: Path | str | None = None,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    *,
    work_dir: Path | str | None = None,
    resume: bool | Path | str = False,
    gpus: int = 1,
) -> Path:
    """Train as ``mim train mmdet CONFIG`` does, in this process.

    Args:
        config: Config file; the one that fits the machine and the data when None.
        overrides: Values by dotted key, or ``KEY=VALUE`` texts.
        work_dir: The run folder. When None, ``work_dirs/CONFIG``, or ``work_dirs/CONFIG_2`` and so
            on where that is another run's; a resume takes the one that was written to last.
        resume: Go on from the run's last checkpoint, or from the one named.
        gpus: Processes, which mim starts where they are more than one, each with a GPU, or on the
            CPU where there is none; the overrides must be texts then.

    Returns:
        The run folder.

    Raises:
        UserError: Config, settings, data or weights can't be used.
    """
    if config is None:
        config, reason = pick_config()
        print(f'Training {config}: {reason} (CONFIG=… picks another).', flush=True)
    config = Path(config)
    with quiet():  # late: it takes seconds, --help shouldn't
        from mmdet.utils import setup_cache_size_limit_of_dynamo
        from mmengine.registry import RUNNERS
        from mmengine.runner import Runner

        import custom_modules  # noqa: F401 - registers
        from tools.runs.config_file import read_config
        from tools.runs.overrides import merge_overrides
    setup_cache_size_limit_of_dynamo()
    cfg = read_config(config)
    merge_overrides(cfg, overrides)  # StrictRunner tells which ones nothing reads
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(_own_folder(Path(f'work_dirs/{config.stem}'), resume))
    if gpus > 1:
        return _with_mim(config, overrides, Path(cfg.work_dir), resume, gpus)
    if resume:
        cfg.resume = True
        cfg.load_from = None if resume is True else str(resume)
    cfg.launcher = 'none'
    try:
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        runner.train()
    except SystemExit as error:  # what StrictRunner has to say to a person
        if isinstance(error.code, str):
            raise UserError(error.code.rstrip('.')) from error
        raise
    return Path(runner.work_dir)


def _own_folder(folder: Path, resume: bool | Path | str) -> Path:
    """The folder of a run that was given none.

    Args:
        folder: That of the config's first run.
        resume: As for :func:`train`.
    """
    if resume is True:
        return newest_of(folder)
    if resume and Path(resume).parent in family(folder):
        return Path(resume).parent
    if (found := free_folder(folder)) != folder:
        print(
            f'{folder} holds another run (RESUME=1 goes on with it): writing {found}.', flush=True
        )
    return found


def _with_mim(
    config: Path,
    overrides: Mapping[str, Any] | Sequence[str],
    work_dir: Path,
    resume: bool | Path | str,
    gpus: int,
) -> Path:
    """Hand over to mim, whose launcher starts the processes."""
    if isinstance(overrides, Mapping):
        raise UserError('for several processes give the overrides as KEY=VALUE texts')
    command = ['train', 'mmdet', str(config), '--launcher', 'pytorch', '--gpus', str(gpus)]
    command += ['--work-dir', str(work_dir)]
    command += ['--resume', *([] if resume is True else [str(resume)])] if resume else []
    command += ['--cfg-options', *overrides] if overrides else []
    received = hand_on_signals()
    # The launcher would die of SIGUSR1, and kill after 30 s what writes a checkpoint.
    env = {
        'TORCHELASTIC_SIGNALS_TO_HANDLE': 'SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1',
        'TORCH_ELASTIC_SHUTDOWN_TIMEOUT': '300',
        **os.environ,
    }
    done = subprocess.run([sys.executable, '-m', 'tools.train.run_mim', *command], env=env)
    if received:
        raise SystemExit(128 + received[0])
    if done.returncode:
        raise UserError(f'training {config} ended with status {done.returncode}; see above')
    return work_dir
