"""The config that fits the machine and the prepared data."""

from __future__ import annotations

from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.prepared import data_root, is_demo

CONFIGS = Path(__file__).parents[2] / 'configs'
GPU = 'bccd_vitb_mask_rcnn.py'
CPU = 'bccd_hybrid_mask_rcnn_cpu.py'
DEMO = 'bccd_hybrid_mask_rcnn_demo.py'


def pick(gpu: bool, demo: bool) -> tuple[str, str]:
    """Name of the config, and the reason for it."""
    if gpu:
        return GPU, 'there is a GPU'
    if demo:
        return DEMO, 'there is no GPU and the data is the synthetic demo set'
    return CPU, 'there is no GPU'


def pick_config() -> tuple[Path, str]:
    """The config for this machine and DATA_ROOT, and the reason for it.

    Raises:
        UserError: There is no prepared data set.
    """
    root = data_root()
    demo = is_demo(root)
    if demo is None:
        raise UserError(f'{root} holds no prepared data: run `make prepare` first')
    import torch  # late: a missing data set is told at once

    name, reason = pick(torch.cuda.is_available(), demo)
    file = CONFIGS / name
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file, reason
