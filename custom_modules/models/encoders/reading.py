"""Reads a checkpoint of whatever origin: no code in it runs."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from cellkit.errors import BadFile, UserError

SAFE = (argparse.Namespace, HistoryBuffer, np.ndarray, np.dtype)
"""Beside tensors and plain values: data that Meta's and MMEngine's training files hold."""

STATISTICS = frozenset(HistoryBuffer()._statistics_methods)

CONVERTED = 'converted_from'
"""Text beside the tensors that `python -m tools.encoder` wrote; they know ImageNet's pixels."""

HUB = 'hf://'
HUB_FILES = 'model.safetensors', 'pytorch_model.bin'


def local_file(source: str) -> Path:
    """Where a checkpoint lies, once it is fetched.

    Args:
        source: Path, http(s) address, or ``hf://owner/name[/file]`` for Hugging Face.

    Raises:
        OSError: It is not there, or can't be fetched.
        UserError: It has to be asked for first.
    """
    if source.startswith(HUB):
        return _from_hub(source)
    if urlparse(source).scheme in ('http', 'https'):
        name = os.path.basename(urlparse(source).path)
        file = Path(torch.hub.get_dir(), 'checkpoints', name)
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(source, str(file))
        return file
    file = Path(source).expanduser()
    if not file.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
    return file


def read_checkpoint(file: Path, source: str) -> Any:
    """What a checkpoint holds.

    Args:
        file: It.
        source: Where it is from, for sentences.

    Raises:
        UserError: It is damaged, or holds more than data.
    """
    again = 'copy it again, or take it from where its authors publish it'
    try:
        if file.suffix == '.safetensors':
            return load_file(file)
        names = [*SAFE, *_numpy_names(), (_statistic, 'builtins.getattr')]
        with torch.serialization.safe_globals(names):
            return torch.load(file, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        found = _unsafe(file)
        if found:
            raise BadFile(
                source,
                f'holds more than weights ({", ".join(found[:3])}), which could run as a program',
                'save its state_dict alone, where you trust it',
            ) from error
        raise BadFile(source, 'is no checkpoint or damaged', again) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        reason = ' '.join(str(error).split())[:100]
        raise BadFile(source, f'is cut short or damaged ({reason})', again) from error


def _statistic(owner: Any, name: str) -> Any:
    """What stands for ``getattr`` in a file: MMEngine's curves name their own methods by it."""
    if owner is HistoryBuffer and name in STATISTICS:
        return getattr(owner, name)
    raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r})')


def _unsafe(file: Path) -> list[str]:
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception:  # no zip file of torch's
        return []


def _numpy_names() -> list[Any]:
    core = np._core if hasattr(np, '_core') else np.core
    kinds = [type(np.dtype(name)) for name in ('float64', 'float32', 'int64', 'int32', 'bool')]
    multiarray = core.multiarray
    old = 'numpy.core.multiarray'  # as files of NumPy 1 name it
    return [
        multiarray._reconstruct,
        multiarray.scalar,
        (multiarray._reconstruct, f'{old}._reconstruct'),
        (multiarray.scalar, f'{old}.scalar'),
        *kinds,
    ]


def _from_hub(source: str) -> Path:
    try:
        from huggingface_hub import errors as hub
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(
            f'{source}: wants `pip install huggingface_hub`, or download the file and give its path'
        ) from error
    owner, _, rest = source.removeprefix(HUB).partition('/')
    name, _, inside = rest.partition('/')
    page = f'https://huggingface.co/{owner}/{name}'
    for file in [inside] if inside else HUB_FILES:
        try:
            found = Path(hf_hub_download(f'{owner}/{name}', file))
        except hub.GatedRepoError as error:
            raise UserError(
                f'{source}: its owners want a form signed at {page} first; then `hf auth login`'
            ) from error
        except hub.LocalEntryNotFoundError as error:  # no network
            raise ConnectionError(f'{page} does not answer') from error
        except hub.EntryNotFoundError:
            continue
        except hub.RepositoryNotFoundError as error:
            raise UserError(f'{source}: there is no {page}; correct the name') from error
        with contextlib.suppress(OSError, hub.EntryNotFoundError):  # its mean and deviation
            hf_hub_download(f'{owner}/{name}', 'config.json')
        return found
    raise UserError(f'{source}: has none of the files {", ".join(HUB_FILES)}; name one after it')


def is_converted(file: Path) -> bool:
    """Whether `python -m tools.encoder` wrote a file that can be read."""
    if file.suffix != '.safetensors':
        return False
    with safe_open(file, 'pt') as stored:
        return CONVERTED in (stored.metadata() or {})


def pixels_beside(file: Path) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation that timm or Hugging Face wrote beside an encoder's file."""
    for name, keys in (
        ('config.json', ('mean', 'std')),
        ('preprocessor_config.json', ('image_mean', 'image_std')),
    ):
        try:
            told = json.loads((file.parent / name).read_text())
        except (OSError, ValueError):
            continue
        told = told.get('pretrained_cfg', told) if isinstance(told, dict) else {}
        values = [told.get(key) for key in keys]
        if all(isinstance(value, list) and len(value) == 3 for value in values):
            return values[0], values[1]
    return None
