"""SIGTERM and SIGUSR1 end training with a checkpoint: pre-emption, Slurm, `kill`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, barrier, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from custom_modules.engine.whole_checkpoint import save_stopped

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
STARTERS = {
    'mim',
    'tools.train.run_mim',
    'torchrun',
    'torch.distributed.run',
    'torch.distributed.launch',
}
WATCH = 0.5  # seconds between looks at them


@HOOKS.register_module()
class StopHook(Hook):
    """At SIGTERM or SIGUSR1 writes a checkpoint at the end of the step and leaves.

    :class:`StrictRunner` registers it. The exit status is 128 and the signal's number. A second
    signal of the same kind ends the program at once. Where mim or torchrun, which started it, has
    gone, that counts as SIGTERM. Of several processes one signal is enough, and a second one waits
    as well.
    """

    priority = 'LOWEST'  # after the checkpoint hook

    def __init__(self) -> None:
        self._signal = 0
        self._saved_at: int | None = None
        self._before: dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """From here on signals wait for the end of a step."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        for program in _starters():
            threading.Thread(target=_follow, args=(program,), daemon=True).start()

    def after_train(self, runner: Runner) -> None:
        """Signals mean again what they did."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        self._signal = number
        if get_world_size() == 1:  # torchrun hands on what the processes got as well
            signal.signal(number, self._before[number])

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remembers up to which step everything is kept."""
        if 'optimizer' in checkpoint:
            self._saved_at = checkpoint['meta']['iter']

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Leaves after a step."""
        if number := self._agreed():
            self._leave(runner, number, runner.iter + 1)

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Leaves in the middle of a validation, which a resumed run does first."""
        # EMAHook has its own weights in the model while it validates.
        if any(isinstance(hook, EMAHook) for hook in runner.hooks) or get_world_size() > 1:
            return
        if self._signal:
            self._leave(runner, self._signal, runner.iter)

    def after_val_epoch(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Leaves after a validation."""
        if number := self._agreed():
            self._leave(runner, number, runner.iter)

    def _agreed(self) -> int:
        """The signal that any of the processes got."""
        if get_world_size() == 1:
            return self._signal
        found = torch.tensor(float(self._signal), device=get_device())
        all_reduce(found, 'max')
        return int(found)

    def _leave(self, runner: Runner, number: int, iteration: int) -> None:
        where = 'its checkpoint'
        if self._saved_at != iteration:
            where = str(save_stopped(runner, iteration))
        barrier()  # the first process to end has torchrun end the others
        runner.logger.warning(
            f'{signal.Signals(number).name}: step {iteration} is kept in {where}; '
            '`make train RESUME=1` (--resume) goes on from there.'
        )
        raise SystemExit(128 + number)


class LeaveSignals:
    """A loader worker's start: signals to all processes are the main one's business.

    Slurm and `kill` on a group signal the workers as well, and training would end for want of them.
    """

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        """In worker number ``worker``."""
        if hasattr(signal, 'sigwaitinfo'):  # Linux
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            threading.Thread(target=_obey_parent, daemon=True).start()
        if self.then is not None:
            self.then(worker)


def _obey_parent() -> None:
    """Ends this process at SIGTERM from the one that started it."""
    while True:
        found = signal.sigwaitinfo(SIGNALS)
        if found.si_signo == signal.SIGTERM and found.si_pid == os.getppid():
            os._exit(0)


def _starters() -> list[psutil.Process]:
    """mim and torch's launcher, as far as they started this program."""
    found = []
    for process in psutil.Process().parents()[:3]:
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if not STARTERS.isdisjoint(Path(word).name for word in command[:3]):
            found.append(process)
    return found


def _follow(program: psutil.Process) -> None:
    """Ends this one, as SIGTERM does, when the program has gone."""
    with suppress(psutil.NoSuchProcess):
        while program.is_running() and program.status() != psutil.STATUS_ZOMBIE:
            time.sleep(WATCH)
    os.kill(os.getpid(), signal.SIGTERM)
