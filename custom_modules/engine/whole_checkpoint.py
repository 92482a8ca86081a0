"""Checkpoints whole or not at all: what a new one replaces goes when the new one is on the disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from cellkit.errors import UserError
from cellkit.files.writing import write_whole

PART = '.part'
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
OUTDATED = 'outdated_ckpts'
"""Of the message hub: names of the files that go once the checkpoint that holds it is complete."""
VALIDATED = 'last_validation'  # what begins with `val` goes to the log
"""Of the message hub: the iteration of the last validation that is through."""


@contextmanager
def whole_file(file: Path, wanted: int) -> Iterator[Path]:
    """Gives a name beside to write to; the file is replaced once that is on the disk.

    Args:
        file: What to write.
        wanted: About how many bytes it takes, for the sentence where there is no room.

    Raises:
        UserError: The disk is full; nothing of the file is left, an earlier one stays.
    """
    part = file.with_name(file.name + PART)
    try:
        yield part
        _to_disk(part)
        os.replace(part, file)
        _to_disk(file.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno not in NO_ROOM:
            raise
        free = shutil.disk_usage(file.parent).free
        raise UserError(
            f'{file}: the disk is full, a checkpoint takes {_mib(wanted)} and {_mib(free)} are '
            'free; earlier checkpoints are as they were: make room and go on with RESUME=1 '
            '(--resume)'
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems can't for a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _mib(size: int) -> str:
    return f'{max(size / 2**20, 0.1):,.1f} MiB'


def bytes_of(*states: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    total = 0
    for state in states:
        if isinstance(state, torch.Tensor):
            total += state.numel() * state.element_size()
        elif isinstance(state, dict):
            total += bytes_of(*state.values())
        elif isinstance(state, (list, tuple)):
            total += bytes_of(*state)
    return total


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """MMEngine's, which removes first and writes then, the other way round.

    :class:`StrictRunner` takes it wherever a config says ``CheckpointHook``. A kill at any moment
    leaves the old files or the new ones. What it had no time to remove goes when the run is
    resumed.
    """

    def before_train(self, runner: Runner) -> None:
        """As MMEngine's; in a resumed run goes on where the killed one was."""
        super().before_train(runner)
        known = runner.message_hub.runtime_info
        if 'last_ckpt' in known:
            self.last_ckpt = runner.message_hub.get_info('last_ckpt')
        for name in known.get(OUTDATED, ()):
            self._remove(self.file_backend.join_path(self.out_dir, name))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """As MMEngine's; checkpoints from here on hold that this validation is through."""
        runner.message_hub.update_info(VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated: list[str] = []
        if self.max_keep_ckpts > 0 and not (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        before, self.last_ckpt = self.last_ckpt, self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        outdated += self._outdated_best()
        runner.message_hub.update_info(OUTDATED, outdated)
        try:
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
        except BaseException:
            self.last_ckpt = before
            raise
        if is_main_process():
            name_last(runner, self.last_ckpt)
            for file in stopped_files(runner):
                file.unlink(missing_ok=True)
        for old in outdated:
            self._remove(self.file_backend.join_path(self.out_dir, old))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        if not self.save_best:
            return
        # MMEngine removes the best one that it knows of before it writes.
        self._best_before = self._best()
        self._know_best(dict.fromkeys(self._best_before))
        super()._save_best_checkpoint(runner, metrics)
        for old in self._outdated_best():
            self._remove(self.file_backend.join_path(self.out_dir, old))
        self._know_best({key: path or self._best_before[key] for key, path in self._best().items()})
        self._best_before = {}

    _best_before: ClassVar[dict[str, str | None]] = {}

    def _outdated_best(self) -> list[str]:
        """Names of the best checkpoints that a better one has just replaced."""
        if not self._best_before:
            return []
        pairs = [(self._best_before[key], new) for key, new in self._best().items() if new]
        names = [tuple(map(os.path.basename, pair)) for pair in pairs if pair[0]]
        return [old for old, new in names if old != new]

    def _best(self) -> dict[str, str | None]:
        """Paths of the best checkpoints by measure."""
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}  # whatever `auto` calls it
        return dict(self.best_ckpt_path_dict)

    def _know_best(self, paths: dict[str, str | None]) -> None:
        if len(paths) == 1:
            (self.best_ckpt_path,) = paths.values()
        else:
            self.best_ckpt_path_dict = paths

    def _remove(self, path: str) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's
            self.file_backend.rmtree(path)


def name_last(runner: Runner, checkpoint: str) -> None:
    """Have ``last_checkpoint`` name a checkpoint that is complete."""
    write_whole(Path(runner.work_dir) / 'last_checkpoint', checkpoint)


def stopped_files(runner: Runner) -> list[Path]:
    """Checkpoints that a signal had written."""
    return sorted(Path(runner.work_dir).glob('stopped_*.pth'))


def save_stopped(runner: Runner, iteration: int) -> Path:
    """Write a checkpoint between the regular ones; the next regular one replaces it.

    Args:
        runner: In training.
        iteration: Number of steps that are done.
    """
    before = stopped_files(runner)
    file = Path(runner.work_dir) / f'stopped_iter_{iteration}.pth'
    meta = dict(epoch=runner.epoch, iter=iteration)
    runner.save_checkpoint(runner.work_dir, file.name, meta=meta, by_epoch=False)
    if is_main_process():
        name_last(runner, str(file))
        for old in before:
            if old != file:
                old.unlink(missing_ok=True)
    return file
