"""A runner that says in one sentence what a user can mend, and resumes what is really there."""

import logging
import os
import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.device import utils as device_utils
from mmengine.dist import master_only
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn
from torch.utils.data import DataLoader

from cellkit.errors import UserError
from custom_modules.engine.config_check import find_unread_settings
from custom_modules.engine.peak_memory import peak_memory_gib

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


@RUNNERS.register_module()
class StrictRunner(Runner):
    """MMEngine's runner for people who type settings by hand.

    - An override that nothing reads is an error that names the nearest real key.
    - Pretrained weights, a data set or a checkpoint that is not there: one sentence, exit status 1.
    - A run folder that was copied or moved resumes from its own checkpoints.
    - Checkpoints are written beside and then renamed: a kill never leaves half a file.

    Set ``runner_type = 'StrictRunner'`` in a config; ``mim train`` and ``mim test`` do the rest.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'StrictRunner':
        """Builds the runner if every override is a setting that something reads.

        Raises:
            SystemExit: With one sentence that names the keys and what was probably meant.
        """
        filename = getattr(cfg, 'filename', None)
        if filename and Path(filename).is_file():
            written = Config.fromfile(filename, import_custom_modules=False)
            if problems := find_unread_settings(written.to_dict(), cfg.to_dict()):
                raise SystemExit(f'In {filename}: {"; ".join(problems)}.')
        return super().from_cfg(cfg)

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
        with _one_sentence(FileNotFoundError, ValueError, UserError):
            return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """As MMEngine's; a model that computes in float16 gets the loss scaling that it needs."""
        kind = isinstance(optim_wrapper, dict) and optim_wrapper.get('type', 'OptimWrapper')
        model = self.model.module if is_model_wrapper(self.model) else self.model
        precision = getattr(model, 'precision', None)
        if not is_cuda_available():
            if kind == 'AmpOptimWrapper':
                raise SystemExit(
                    'AmpOptimWrapper (--amp) scales the loss for a GPU, and torch sees none: leave '
                    f'it out; the model computes in {precision or "float32"} here.'
                )
        elif kind == 'OptimWrapper' and precision == 'float16':
            optim_wrapper = {**optim_wrapper, 'type': 'AmpOptimWrapper', 'dtype': 'float16'}
        return super().build_optim_wrapper(optim_wrapper)

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
        """As MMEngine's; at the end the log tells how much memory the process took."""
        model = super().train()
        if (peak := peak_memory_gib()) is not None:
            self.logger.info(f'Peak memory of the process: {peak:.2f} GiB')
        return model

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
        super().load_or_resume()

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """As MMEngine's; afterwards this folder's checkpoints are the ones that get replaced.

        The message hub remembers absolute paths: in a copy, the next best checkpoint would
        delete the original's.
        """
        super().resume(filename, *args, **kwargs)
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
