"""Weights in a file that holds tensors and texts only: nothing in it can run.

MMEngine's loader takes such files wherever it takes a checkpoint: ``load_from``, ``init_cfg``,
``mim test --checkpoint``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cellkit.errors import UserError
from cellkit.files.writing import write_whole

VERSION = '1'
"""Of the model that the tensors fit and of the texts beside them; a change of either raises it."""


def write_safetensors(file: Path, weights: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write weights in half precision.

    Args:
        file: Where; replaced once the new one is whole.
        weights: A ``state_dict``; tensors of integers are kept as they are.
        about: Texts that go with them; the tools read ``score_threshold``, ``calibration``
            and ``cell_scale``.

    Raises:
        ValueError: A weight is beyond half precision's range, or not a number.
    """
    halves = {}
    for name, tensor in weights.items():
        half = tensor.detach().cpu().contiguous()
        if half.is_floating_point():
            half = half.half()
            if not torch.isfinite(half).all():
                raise ValueError(f'{name} is not finite in half precision')
        halves[name] = half
    write_whole(file, save(halves, {'version': VERSION, **about}))


@CheckpointLoader.register_scheme(prefixes=r'.*\.safetensors$', force=True)
def load_from_safetensors(
    filename: str, map_location: str | torch.device | None = None
) -> dict[str, Any]:
    """Read weights as MMEngine reads a checkpoint.

    Args:
        filename: Path of the file.
        map_location: Device of the tensors; the CPU when None.

    Returns:
        ``state_dict``, and ``about``, the texts that were written with it.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: The file is damaged or of another version.
    """
    file = Path(os.path.expanduser(filename))
    if not file.is_file():
        raise FileNotFoundError(f'{file} can not be found.')
    try:
        with safe_open(file, 'pt', device=str(map_location or 'cpu')) as stored:
            about = stored.metadata() or {}
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(
            f'{file}: is damaged ({error}); copy it again, the one of the repository comes back '
            'with `git checkout -- box`'
        ) from error
    if (version := about.get('version')) not in (None, VERSION):
        raise UserError(
            f'{file}: is of version {version} and this code reads version {VERSION}; take both '
            'from one version of the repository, or name another checkpoint'
        )
    return {'state_dict': weights, 'about': about}
