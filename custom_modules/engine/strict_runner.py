"""A runner that says in one sentence what a user can mend, and resumes what is really there."""

import logging
import math
import os
import pickle
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.device import utils as device_utils
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.optim.scheduler import ConstantParamScheduler, LinearParamScheduler
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn
from torch.utils.data import DataLoader

from cellkit.errors import UserError
from cellkit.files.cores import usable_cores
from cellkit.files.program import STOPPED
from custom_modules.engine.batch_choice import batch_a_gpu
from custom_modules.engine.config_check import find_unread_in_file, find_unread_settings
from custom_modules.engine.custom_keys import check_custom_keys
from custom_modules.engine.fitted_batch import FittedBatch
from custom_modules.engine.known_values import check_save_best, check_truth
from custom_modules.engine.linked_settings import FOR_EVER, follow, schedule_problem
from custom_modules.engine.micro_batches import StepInParts
from custom_modules.engine.override_values import read_otherwise
from custom_modules.engine.peak_memory import peak_memory_gib
from custom_modules.engine.resumed_settings import check_resumed, kept_settings
from custom_modules.models.mixed_precision_mask_rcnn import precision_of

# What the log file keeps and the first screen does not need.
NOT_ON_SCREEN = (
    'System environment',
    'Config:',
    'Hooks will be executed in the following order',
    'Distributed training is not used',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)

if device_utils.DEVICE == 'mps':  # torchvision's operators and MMDetection are not tested there
    device_utils.DEVICE = 'cpu'

FETCH_TIMEOUT = 30.0  # seconds without an answer from the host of pretrained weights


def _on_screen(record: logging.LogRecord) -> bool:
    return not record.getMessage().lstrip('\n-').startswith(NOT_ON_SCREEN)


@contextmanager
def _one_sentence(*errors: type[Exception]) -> Iterator[None]:
    """Ends the program with an error's own message, without a traceback."""
    try:
        yield
    except errors as error:
        raise SystemExit(str(error)) from error


def sentence_of(error: UserError) -> str:
    """An error's sentence, also where a loader's process put its traceback before it."""
    return str(error).strip().splitlines()[-1].removeprefix('cellkit.errors.UserError: ')


def pretrained_settings(model: Any, path: str = 'model') -> dict[str, str]:
    """Dotted keys and values of all pretrained weights that a model's config asks for."""
    found = {}
    if isinstance(model, dict):
        init_cfg = model.get('init_cfg')
        if isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained':
            found[f'{path}.init_cfg'] = init_cfg['checkpoint']
        for key, value in model.items():
            found |= pretrained_settings(value, f'{path}.{key}')
    return found


def warmup_iterations(schedulers: list[Any]) -> int:
    """Iterations until the learning rate has risen to its full value."""
    rising = [
        s for s in schedulers if isinstance(s, (ConstantParamScheduler, LinearParamScheduler))
    ]
    ends = [s.end for s in rising if not s.by_epoch and s.begin == 0 and s.end < FOR_EVER]
    return max(ends, default=0)


def warmup_warning(steps: int, warmup: int) -> str | None:
    """What to tell where the warm-up takes more than a third of training, None where not.

    Args:
        steps: Optimiser steps in all.
        warmup: Optimiser steps of the warm-up.
    """
    if steps >= 3 * warmup:
        return None
    return (
        f'Training has {steps} optimiser steps and a warm-up of {warmup}: give it more '
        f'(train_cfg.max_epochs or train_cfg.max_iters, for {3 * warmup} steps or more) or a '
        f'shorter warm-up (param_scheduler.0.end={max(steps // 10, 1)}).'
    )


@RUNNERS.register_module()
class StrictRunner(Runner):
    """MMEngine's runner for people who type settings by hand.

    - A setting that nothing reads is an error that names the nearest real key, and so is a value of
      the wrong kind. Settings that belong together follow each other.
    - Pretrained weights, a data set or a checkpoint that is not there: one sentence, exit status 1.
    - A run folder that was copied or moved resumes from its own checkpoints.
    - Checkpoints are written beside and then renamed: a kill never leaves half a file.
    - A batch goes through the GPU in parts that its memory suffices for; out of memory is one
      sentence too, and names what to set.
    - No more loader workers than cores, unless an override asks for them.

    Set ``runner_type = 'StrictRunner'`` in a config; ``mim train`` and ``mim test`` do the rest.
    """

    _fitted: FittedBatch | None = None

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'StrictRunner':
        """Builds the runner if every override is a setting that something reads.

        Raises:
            SystemExit: With one sentence that names the keys and what was probably meant.
        """
        filename = getattr(cfg, 'filename', None)
        written = cfg
        if filename and Path(filename).is_file():
            written = Config.fromfile(filename, import_custom_modules=False)
            if Path(sys.argv[0]).name in ('train.py', 'test.py'):  # what mim starts
                with _one_sentence(UserError):
                    cfg.merge_from_dict(read_otherwise(sys.argv))
            problems = find_unread_settings(written.to_dict(), cfg.to_dict())
            if problems := [*problems, *find_unread_in_file(filename)]:
                raise SystemExit(f'In {filename}: {"; ".join(problems)}.')
        with _one_sentence(UserError):
            followed = follow(written, cfg)
        with _one_sentence(UserError):
            runner = super().from_cfg(cfg)
        if followed:
            runner.logger.info(f'Settings that follow others: {"; ".join(followed)}.')
        runner._limit_workers(written)
        return runner

    def _limit_workers(self, written: Config) -> None:
        """Takes no more loader workers than cores where the number is the config file's own."""
        processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
        cores = max(usable_cores() // processes, 1)
        lowered = []
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            loader = getattr(self, f'_{name}')
            asked = (written.get(name) or {}).get('num_workers')
            if not isinstance(loader, dict) or asked != loader.get('num_workers'):
                continue
            if asked and asked > cores:
                loader['num_workers'] = cores
                lowered.append(f'{name}.num_workers={cores}, not {asked}')
        if lowered:
            shared = f' for each of {processes} processes' if processes > 1 else ''
            cores_text = f'{cores} core{"s" if cores > 1 else ""}{shared}'
            self.logger.info(f'There are {cores_text}: {"; ".join(lowered)}.')

    @property
    def _network(self) -> nn.Module:
        """The model, not wrapped for several processes."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def build_logger(self, *args: Any, **kwargs: Any) -> logging.Logger:
        """As MMEngine's; long listings go to the log file alone."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler and _on_screen not in handler.filters:
                handler.addFilter(_on_screen)
        return logger

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """As MMEngine's, with one sentence for a data set that cannot be used.

        ``num_workers=0`` alone is enough to load in the main process.
        """
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            only_for_workers = ('persistent_workers', 'prefetch_factor')
            dataloader = {k: v for k, v in dataloader.items() if k not in only_for_workers}
        # Not ValueError: what a user can mend is said by a UserError, the rest is a fault.
        with _one_sentence(FileNotFoundError, UserError):
            return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """As MMEngine's; a model that computes in float16 gets the loss scaling that it needs."""
        kind = isinstance(optim_wrapper, dict) and optim_wrapper.get('type', 'OptimWrapper')
        if isinstance(optim_wrapper, dict):
            names = (name for name, _ in self._network.named_parameters())
            with _one_sentence(UserError):
                check_custom_keys(optim_wrapper.get('paramwise_cfg'), names)
        if not is_cuda_available():
            if kind == 'AmpOptimWrapper':
                raise SystemExit(
                    'AmpOptimWrapper (--amp) scales the loss for a GPU, and torch sees none: leave '
                    f'it out; the model computes in {precision_of(self._network, "cpu")} here.'
                )
        elif kind == 'OptimWrapper' and precision_of(self._network, 'cuda') == 'float16':
            optim_wrapper = {**optim_wrapper, 'type': 'AmpOptimWrapper'}
        return super().build_optim_wrapper(optim_wrapper)

    def build_val_loop(self, loop: Any) -> Any:
        """As MMEngine's; a value that no validation gives can't choose the best checkpoint."""
        built = super().build_val_loop(loop)
        with _one_sentence(UserError):
            check_save_best(self.hooks, built.evaluator.metrics)
            check_truth(built.evaluator.metrics)
        return built

    def build_evaluator(self, evaluator: Any) -> Any:
        """As MMEngine's, with one sentence for a missing annotation file."""
        with _one_sentence(UserError):
            return super().build_evaluator(evaluator)

    def _own_checkpoint(self) -> str | None:
        """The run folder's latest checkpoint, also where the folder was copied or moved."""
        latest = find_latest_checkpoint(self.work_dir)
        if latest is None:
            return None
        own = os.path.join(self.work_dir, os.path.basename(latest))
        return own if os.path.isfile(own) else latest

    def _init_model_weights(self) -> None:
        if self._resume and self._load_from is None and self._own_checkpoint():
            return  # the checkpoint holds every weight: nothing to fetch
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(FETCH_TIMEOUT)
        try:
            with _one_sentence(UserError):
                super()._init_model_weights()
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            wanted = pretrained_settings(self.cfg.get('model', {}))
            unreadable = not isinstance(error, RuntimeError) or 'PytorchStreamReader' in str(error)
            if not (wanted and unreadable):
                raise
            key, source = next(iter(wanted.items()))
            reason = ' '.join(str(error).split())
            raise SystemExit(
                f'The pretrained weights {source} could not be loaded ({reason}): give a local '
                f'file with --cfg-options {key}.checkpoint=/path/file.pth, or start from scratch '
                f'with --cfg-options {key}=None.'
            ) from error
        finally:
            socket.setdefaulttimeout(before)

    def train(self) -> nn.Module:
        """As MMEngine's, with the batch fitted to the GPU; the log ends with the peak memory.

        Raises:
            SystemExit: With one sentence where memory does not suffice.
        """
        if isinstance(self._train_dataloader, dict):
            self._fit_batch(self._train_dataloader)
        try:
            model = super().train()
        except UserError as error:
            raise SystemExit(sentence_of(error)) from None
        except KeyboardInterrupt:
            if Path(sys.argv[0]).name != 'train.py':
                raise  # the program that started the run says it
            kept = self._own_checkpoint()
            print(
                f'\nStopped; --resume goes on from {kept}.'
                if kept
                else '\nStopped; no checkpoint.',
                file=sys.stderr,
            )
            raise SystemExit(STOPPED) from None
        except torch.cuda.OutOfMemoryError as error:
            if self._fitted is None:
                raise
            raise SystemExit(self._fitted.out_of_memory(self._own_checkpoint())) from error
        if (peak := peak_memory_gib()) is not None:
            self.logger.info(f'Peak memory of the process: {peak:.2f} GiB')
        return model

    def _fit_batch(self, loader: dict) -> None:
        gpus, scaling = get_world_size(), self.auto_scale_lr or {}
        total = None if scaling.get('enable') else scaling.get('base_batch_size')
        if (batch := batch_a_gpu(loader['batch_size'], total, gpus)) != loader['batch_size']:
            loader['batch_size'] = batch
            self.logger.info(f'{gpus} GPUs take {batch} images each: a batch is {gpus * batch}.')
        self._fitted = FittedBatch(self.cfg, self._network, batch)
        if self._fitted.gib is not None or self._fitted.choice.at_once < batch:
            self.logger.info(str(self._fitted))

    def _maybe_compile(self, target: str) -> None:
        """As MMEngine's; a batch's parts go through what was compiled."""
        super()._maybe_compile(target)
        if target == 'train_step' and self._fitted is not None:
            fitted = self._fitted

            def smaller() -> int | None:
                # Other processes wait for this one's gradients: it can't do a step again.
                return fitted.smaller(self.logger) if get_world_size() == 1 else None

            step = StepInParts(self.model.train_step, fitted.choice.at_once, smaller)
            self.model.train_step = step

    def build_param_scheduler(self, scheduler: Any) -> Any:
        """As MMEngine's; warns of a training that is mostly warm-up."""
        built = super().build_param_scheduler(scheduler)
        if isinstance(built, list):
            counts = getattr(self.optim_wrapper, '_accumulative_counts', 1)
            steps = math.ceil(self.train_loop.max_iters / counts)
            loop = self.train_loop
            if problem := schedule_problem(built, loop.max_iters, loop.max_epochs):
                raise SystemExit(problem)
            if warning := warmup_warning(steps, math.ceil(warmup_iterations(built) / counts)):
                self.logger.warning(warning)
        return built

    def load_or_resume(self) -> None:
        """As MMEngine's; a checkpoint that is not there is named, an own one is preferred."""
        if self._has_loaded:
            return
        if self._resume and self._load_from is None:
            found = self._own_checkpoint()
            if found is None:
                self.logger.warning(f'{self.work_dir} holds no checkpoint yet: starting afresh.')
                return
            self._load_from = found
        wanted = self._load_from
        if wanted and '://' not in wanted and not os.path.isfile(os.path.expanduser(wanted)):
            raise SystemExit(f'The checkpoint {wanted} is not there: give the path of a .pth file.')
        with _one_sentence(UserError):
            super().load_or_resume()

    def _kept_settings(self) -> dict[str, list[dict]]:
        schedulers = self.param_schedulers if isinstance(self.param_schedulers, list) else []
        return kept_settings(
            self.optim_wrapper.state_dict(), [each.state_dict() for each in schedulers]
        )

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """As MMEngine's; afterwards this folder's checkpoints are the ones that get replaced.

        A checkpoint brings rate and schedule along: a config that asks for others is refused.

        The message hub remembers absolute paths: in a copy, the next best checkpoint would
        delete the original's.
        """
        asked = self._kept_settings()
        super().resume(filename, *args, **kwargs)
        with _one_sentence(UserError):
            check_resumed(asked, self._kept_settings(), filename)
        if any(isinstance(h, CheckpointHook) and h.out_dir for h in self.hooks):
            return  # they are kept elsewhere on purpose
        for key, value in list(self.message_hub.runtime_info.items()):
            if key.startswith(('best_ckpt', 'last_ckpt')) and isinstance(value, str):
                own = os.path.join(self.work_dir, os.path.basename(value))
                self.message_hub.update_info(key, own)

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """As MMEngine's, but the file appears only when it is complete."""
        if '://' in str(out_dir):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        part = f'{filename}.part'
        super().save_checkpoint(out_dir, part, *args, **kwargs)
        os.replace(os.path.join(out_dir, part), os.path.join(out_dir, filename))
