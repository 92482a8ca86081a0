"""A runner that says in one sentence what a user can mend, and resumes what is really there."""

import logging
import math
import os
import pickle
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device, is_cuda_available
from mmengine.device import utils as device_utils
from mmengine.dist import get_rank, get_world_size, master_only
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.optim.scheduler import ConstantParamScheduler, LinearParamScheduler
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner
from torch import nn
from torch.utils.data import DataLoader

from cellkit.errors import UserError
from cellkit.files.cores import usable_cores
from cellkit.files.program import STOPPED
from cellkit.files.run_folder import free_folder, is_taken, locked
from custom_modules.engine.batch_choice import share_of
from custom_modules.engine.config_check import find_unread_in_file, find_unread_settings
from custom_modules.engine.custom_keys import check_custom_keys
from custom_modules.engine.fitted_batch import FittedBatch
from custom_modules.engine.health import HealthHook
from custom_modules.engine.known_values import check_save_best, check_truth
from custom_modules.engine.last_checkpoint import newest_whole
from custom_modules.engine.linked_settings import FOR_EVER, follow, schedule_problem
from custom_modules.engine.loaded_weights import load_weights, state_of
from custom_modules.engine.micro_batches import StepInParts
from custom_modules.engine.override_values import read_otherwise
from custom_modules.engine.peak_memory import peak_memory_gib
from custom_modules.engine.processes import (
    SharedStatisticsHook,
    by_first,
    starting,
    wrapper_on_cpu,
)
from custom_modules.engine.repeatable import STEP, seed_all
from custom_modules.engine.resumed_settings import check_resumed, kept_settings
from custom_modules.engine.run_record import write_record
from custom_modules.engine.stop_signals import LeaveSignals, StopHook
from custom_modules.engine.train_loops import repeatable
from custom_modules.engine.whole_checkpoint import WholeCheckpointHook, bytes_of, whole_file
from custom_modules.models.mixed_precision import precision_of

# What the log file keeps and the first screen does not need.
NOT_ON_SCREEN = (
    'System environment',
    'Config:',
    'Hooks will be executed in the following order',
    'paramwise_options --',
    'Distributed training is not used',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)

if device_utils.DEVICE == 'mps':  # torchvision's operators and MMDetection are not tested there
    device_utils.DEVICE = 'cpu'

PRETRAINED = 'Pretrained', 'PretrainedEncoder'

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
        if isinstance(init_cfg, dict) and init_cfg.get('type') in PRETRAINED:
            found[f'{path}.init_cfg'] = init_cfg['checkpoint']
        for key, value in model.items():
            found |= pretrained_settings(value, f'{path}.{key}')
    return found


def warmup_iterations(schedulers: list[Any], per_epoch: float) -> float:
    """Iterations until the learning rate has risen to its full value, given those of an epoch."""
    rising = [
        s for s in schedulers if isinstance(s, (ConstantParamScheduler, LinearParamScheduler))
    ]
    rising = [s for s in rising if s.begin == 0 and s.end < FOR_EVER]
    return max((s.end * (per_epoch if s.by_epoch else 1) for s in rising), default=0)


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
        f'shorter warm-up (param_scheduler.0.end={max(steps // 10, 1)} with by_epoch=False).'
    )


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@RUNNERS.register_module()
class StrictRunner(Runner):
    """MMEngine's runner for people who type settings by hand.

    - A setting that nothing reads is an error that names the nearest real key, and so is a value of
      the wrong kind. Settings that belong together follow each other.
    - Pretrained weights, a data set or a checkpoint that is not there: one sentence, exit status 1.
    - A folder is one run's. A run that was killed, copied or moved goes on from its newest whole
      checkpoint as if nothing had been: the same images, random numbers, schedule and curves.
    - Checkpoints are whole or not there; SIGTERM and SIGUSR1 write one and leave.
    - The first loss that is not a number ends the run; weights that do not fit are refused.
    - A batch goes through the GPU in parts that its memory suffices for; out of memory is one
      sentence too, and names what to set.
    - No more loader workers than cores, unless an override asks for them.

    Set ``runner_type = 'StrictRunner'`` in a config; ``mim train`` and ``mim test`` do the rest.
    """

    _fitted: FittedBatch | None = None
    _written_load_from: str | None = None
    _resuming = False

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
        runner._written_load_from = written.get('load_from')
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

    def setup_env(self, env_cfg: dict) -> None:
        """As MMEngine's; processes are started without GPUs too."""
        with _one_sentence(UserError), starting(self.launcher, env_cfg) as settings:
            super().setup_env(settings)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """As MMEngine's, which takes every process to have a GPU."""
        if self.distributed and get_device() == 'cpu' and not is_model_wrapper(model):
            with _one_sentence(UserError):
                model_wrapper_cfg = wrapper_on_cpu(self.cfg)
        return super().wrap_model(model_wrapper_cfg, model)

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
            loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        if not isinstance(loader.worker_init_fn, LeaveSignals):
            loader.worker_init_fn = LeaveSignals(loader.worker_init_fn)
        return loader

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

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """As MMEngine's, with checkpoints that are whole; and the hooks that every run has."""
        hooks = {'checkpoint': dict(type='CheckpointHook'), **(hooks or {})}
        checkpoint = hooks['checkpoint']
        if isinstance(checkpoint, dict) and checkpoint.get('type') == 'CheckpointHook':
            hooks['checkpoint'] = {**checkpoint, 'type': WholeCheckpointHook}
        super().register_default_hooks(hooks)
        self.register_hook(HealthHook())
        self.register_hook(StopHook())
        if self.distributed:
            self.register_hook(SharedStatisticsHook())

    def build_train_loop(self, loop: Any) -> Any:
        """As MMEngine's, with loops that can be resumed anywhere."""
        return super().build_train_loop(repeatable(loop) if isinstance(loop, dict) else loop)

    def dump_config(self) -> None:
        """Waits for training: a program that only tests leaves a run's config alone."""

    def _last_written(self) -> str | None:
        """The checkpoint that a resume would go on from."""
        kept = [hook.last_ckpt for hook in self.hooks if isinstance(hook, CheckpointHook)]
        return next(filter(None, kept), None)

    def _find_checkpoint(self) -> None:
        """Sets where to resume from, and the seed that the run has had from its start.

        Raises:
            SystemExit: None of the run's checkpoints can be read.
        """
        if not self._resume:
            return
        if self._load_from is None:
            found = by_first(lambda: newest_whole(self.work_dir))
            if found is None:
                self.logger.warning(f'{self.work_dir} holds no checkpoint yet: starting afresh.')
                self._resume, self._load_from = False, self._written_load_from
                return
            self._load_from, seed = str(found.file), found.meta.get('seed')
        else:
            seed = self._read(self._load_from).get('meta', {}).get('seed')
        if seed is not None:  # before anything is built that draws on it
            self._randomness_cfg.update(seed=seed)
            self.set_randomness(**self._randomness_cfg)

    def _read(self, file: str) -> dict:
        """A checkpoint.

        Raises:
            SystemExit: It is not there or damaged.
        """
        if '://' not in file and not os.path.isfile(os.path.expanduser(file)):
            raise SystemExit(f'The checkpoint {file} is not there: give the path of a .pth file.')
        try:
            with _one_sentence(UserError):
                content = CheckpointLoader.load_checkpoint(file, 'cpu', 'silent')
        except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            reason = ' '.join(str(error).split())[:200]
            raise SystemExit(
                f"{file}: can't be read as a checkpoint ({reason}); copy it again or name another."
            ) from error
        if not isinstance(content, dict):
            raise SystemExit(f'{file}: is no checkpoint; name a .pth file of training.')
        return content

    def _init_model_weights(self) -> None:
        if self._resume and self._load_from is not None:
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
            SystemExit: With one sentence where memory does not suffice, the folder is another run's
                or a checkpoint can't be used or written.
        """
        with ExitStack() as stack:
            stack.enter_context(_one_sentence(UserError))
            by_first(lambda: self._take_folder(stack))
            self._find_checkpoint()
            return self._train()

    def _take_folder(self, stack: ExitStack) -> None:
        self._check_folder()
        stack.enter_context(locked(Path(self.work_dir)))

    def _check_folder(self) -> None:
        """Sees to it that a folder is one run's.

        Raises:
            UserError: Another run's checkpoints or losses are there, and this one starts afresh.
        """
        folder = Path(self.work_dir)
        goes_on = self._resume and (
            self._load_from is None or Path(self._load_from).resolve().parent == folder.resolve()
        )
        if goes_on or not is_taken(folder):
            return
        for handler in self.logger.handlers:  # nothing of this start is left behind
            if isinstance(handler, logging.FileHandler):
                handler.close()
        if not any(Path(self.log_dir).glob('vis_data/*.json')):  # another's of the same second
            shutil.rmtree(self.log_dir, ignore_errors=True)
        raise UserError(
            f'{self.work_dir} holds another run: go on with it (RESUME=1, --resume) or give this '
            f'one a folder of its own (WORK_DIR={_short(free_folder(folder))}, --work-dir)'
        )

    def _train(self) -> nn.Module:
        if isinstance(self._train_dataloader, dict):
            self._fit_batch(self._train_dataloader)
        Runner.dump_config(self)
        try:
            model = super().train()
        except UserError as error:
            raise SystemExit(sentence_of(error)) from None
        except KeyboardInterrupt:
            if Path(sys.argv[0]).name != 'train.py':
                raise  # the program that started the run says it
            kept = newest_whole(self.work_dir)
            print(
                f'\nStopped; --resume goes on from {kept.file}.'
                if kept
                else '\nStopped; no checkpoint.',
                file=sys.stderr,
            )
            raise SystemExit(STOPPED) from None
        except torch.cuda.OutOfMemoryError as error:
            if self._fitted is None:
                raise
            raise SystemExit(self._fitted.out_of_memory(self._last_written())) from error
        if (peak := peak_memory_gib()) is not None:
            self.logger.info(f'Peak memory of the process: {peak:.2f} GiB')
        return model

    def _fit_batch(self, loader: dict) -> None:
        processes, batch = get_world_size(), loader['batch_size']
        if processes > 1:
            if not (self.auto_scale_lr or {}).get('enable'):
                loader['batch_size'] = batch = share_of(batch, processes)
            self.logger.info(
                f'{processes} processes take {batch} image{"s" if batch > 1 else ""} each: a '
                f'batch is {processes * batch}.'
            )
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

            def seed(first: int) -> None:
                place = get_world_size() * first + get_rank()  # in the batch of all processes
                seed_all(self.seed, place, STEP, self.iter)

            step = StepInParts(self.model.train_step, fitted.choice.at_once, smaller, seed)
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
            warmup = warmup_iterations(built, loop.max_iters / loop.max_epochs)
            if warning := warmup_warning(steps, math.ceil(warmup / counts)):
                self.logger.warning(warning)
        return built

    def load_or_resume(self) -> None:
        """As MMEngine's; a checkpoint that is not there is named, and ``run.json`` written."""
        if self._has_loaded:
            return
        super().load_or_resume()
        if self._train_loop is not None and not isinstance(self._train_loop, dict):
            self._record()

    @master_only
    def _record(self) -> None:
        write_record(self, self._load_from if self._resume else None)

    def load_checkpoint(
        self, filename: str, map_location: Any = 'cpu', *args: Any, **kwargs: Any
    ) -> dict:
        """As MMEngine's; says how many tensors were loaded.

        Raises:
            SystemExit: No tensor fits, or one has another size (``load_what_fits=True`` leaves it
                out); in a resume, the model or its training data are not the checkpoint's.
        """
        checkpoint = self._read(filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        with _one_sentence(UserError):
            if self._resuming:
                self._check_resumed(filename, checkpoint)
            text = load_weights(
                self._network,
                state_of(checkpoint, filename),
                filename,
                bool(self.cfg.get('load_what_fits')),
                'load_what_fits=True',
                whole=self._resuming,
            )
        self._has_loaded = True
        self.logger.info(f'{text[0].upper()}{text[1:]}.')
        return checkpoint

    def _check_resumed(self, filename: str, checkpoint: dict) -> None:
        """Sees to it that a run goes on with its own data.

        Raises:
            UserError: It is no checkpoint of training, or was trained on other annotations.
        """
        if 'optimizer' not in checkpoint or 'message_hub' not in checkpoint:
            raise UserError(
                f'{filename}: holds weights alone, and no state of training to go on from; resume '
                f'from the last checkpoint, or start from these weights with load_from={filename}'
            )
        key = 'annotations_sha256'
        before = (checkpoint['meta'].get('dataset_meta') or {}).get(key)
        now = getattr(self.train_dataloader.dataset, 'metainfo', {}).get(key)
        if before and now and before != now:
            raise UserError(
                f'{filename}: was trained on other annotations than '
                f'{self.train_dataloader.dataset.ann_file} holds (SHA-256 {before[:8]}…, not '
                f'{now[:8]}…); go on with its own data (DATA_ROOT=…), or start a run from its '
                f'weights with load_from={filename}'
            )

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
        self._resuming = True
        try:
            super().resume(filename, *args, **kwargs)
        finally:
            self._resuming = False
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
        wanted = bytes_of(self.model.state_dict())
        if kwargs.get('save_optimizer', True):
            wanted += bytes_of(self.optim_wrapper.state_dict())
        with _one_sentence(UserError), whole_file(Path(out_dir, filename), wanted) as part:
            super().save_checkpoint(out_dir, part.name, *args, **kwargs)
