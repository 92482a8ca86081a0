"""Converts an encoder's checkpoint once, into the names of the detector's backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellkit.errors import BadFile, UserError
from cellkit.files.writing import write_whole

if TYPE_CHECKING:
    from custom_modules.models.encoders.convert import Encoder


def convert_encoder(
    source: str,
    out: Path,
    config: Path | None = None,
    patch: int = 16,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Encoder:
    """Convert a checkpoint of timm, Meta, Hugging Face, DinoBloom, UNI … for `WindowedViT`.

    The written file loads wherever the original does: ``model.backbone.init_cfg.checkpoint=OUT``.

    Args:
        source: Path, address, or ``hf://owner/name[/file]``.
        out: File to write, ``.safetensors``; replaced once the new one is whole.
        config: Config whose backbone it has to fit; None for any.
        patch: Side of the patches that are wanted, pixels.
        mean: Of the pictures that the encoder knows, three values from 0 to 1.
        std: Standard deviation, likewise.

    Returns:
        What was written, and what became of each tensor.

    Raises:
        UserError: The file can't be read, is no ViT, or fits another config; nothing is written.
    """
    from safetensors.torch import save

    from custom_modules.models.encoders.pretrained import fitted, read_encoder
    from custom_modules.models.encoders.reading import CONVERTED

    if out.suffix != '.safetensors':
        raise UserError(f'{out}: the name has to end in .safetensors; give another')
    try:
        encoder = read_encoder(source, patch, mean, std)
    except OSError as error:
        reason = ' '.join(str(error.strerror or error).split())
        raise BadFile(source, f"can't be read ({reason})", 'correct the path or address') from error
    if config is not None:
        fitted(encoder, _backbone(config), source)
    tensors = {name: tensor.contiguous() for name, tensor in encoder.tensors.items()}
    write_whole(out, save(tensors, {CONVERTED: source}))
    return encoder


def _backbone(config: Path) -> dict:
    """The state of a config's backbone, without data.

    Raises:
        UserError: There is no such config, or its backbone is no `WindowedViT`.
    """
    import torch
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from custom_modules import WindowedViT

    if not config.is_file():
        raise UserError(f'{config}: is not there; give a file of configs/')
    init_default_scope('mmdet')
    with torch.device('meta'):
        backbone = MODELS.build(Config.fromfile(config).model.backbone)
    if not isinstance(backbone, WindowedViT):
        raise UserError(f'{config}: its backbone is a {type(backbone).__name__}; give a ViT config')
    return backbone.state_dict()
