"""The config that fits the machine and the prepared data."""

from __future__ import annotations

from pathlib import Path

from cellkit.errors import UserError
from cellkit.files.prepared import data_root, is_demo, training_images

CONFIGS = Path(__file__).parents[2] / 'configs'
GPU = 'bccd_vitb_mask_rcnn.py'
GPU_FEW = 'bccd_vitb_mask_rcnn_2k.py'
GPU_DEMO = 'bccd_hybrid_mask_rcnn_demo_gpu.py'
CPU = 'bccd_hybrid_mask_rcnn_cpu.py'
CPU_DEMO = 'bccd_hybrid_mask_rcnn_demo.py'
HANDFUL = 'bccd_hybrid_mask_rcnn_cpu_few.py'

FEWEST = 10  # training images that by themselves gain on the box (docs/results.md)
FEW = 400  # training images of which GPU's 20 epochs are 500 steps: five times its warm-up


def pick(gpu: bool, demo: bool, images: int) -> tuple[str, str]:
    """Name of the config, and the reason for it.

    Args:
        gpu: Whether there is one.
        demo: Whether the data is the synthetic demo set.
        images: Number of training images; not asked of the demo set.
    """
    where = 'there is a GPU' if gpu else 'there is no GPU'
    if demo:
        return GPU_DEMO if gpu else CPU_DEMO, f'{where} and the data is the synthetic demo set'
    if images < FEWEST:
        plural = '' if images == 1 else 's'
        return HANDFUL, f'{images} training image{plural} alone would undo what the box knows'
    if gpu and images < FEW:
        return GPU_FEW, f'{where}; {images} training images want a schedule in steps, not epochs'
    return (GPU if gpu else CPU), where


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

    gpu = torch.cuda.is_available()
    name, reason = pick(gpu, demo, 0 if demo else training_images(root))
    file = CONFIGS / name
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file, reason
