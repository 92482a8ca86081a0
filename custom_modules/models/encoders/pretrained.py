"""``init_cfg=dict(type='PretrainedEncoder', checkpoint=…)``: any encoder into the backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from cellkit.errors import BadFile, UserError
from custom_modules.models.encoders.convert import IMAGENET, Encoder, convert
from custom_modules.models.encoders.reading import (
    is_converted,
    local_file,
    pixels_beside,
    read_checkpoint,
)
from custom_modules.models.encoders.shape import shape_of
from custom_modules.models.windowed_vit import WindowedViT


def read_encoder(
    source: str,
    patch: int = 16,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Encoder:
    """Read and convert an encoder; arguments as those of :class:`PretrainedEncoder`."""
    if (mean is None) != (std is None):
        raise UserError(f'{source}: mean and std go together; give both or neither')
    file = local_file(source)
    content = read_checkpoint(file, source)
    if is_converted(file):
        mean, std = IMAGENET
    elif mean is None:
        mean, std = pixels_beside(file) or (None, None)
    return convert(content, source, patch, mean, std)


def fitted(
    encoder: Encoder, backbone: Mapping[str, Tensor], source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """An encoder's tensors for a certain backbone, and what was left out or resized.

    Args:
        encoder: Converted.
        backbone: A `WindowedViT`'s state.
        source: For sentences.

    Raises:
        BadFile: They are of another shape; the config that is made for it is named.
    """
    wanted = shape_of(backbone)
    if differences := encoder.shape.differences(wanted):
        configs = encoder.shape.configs()
        take = ' or '.join(f'configs/{name}.py' for name in configs) or 'another encoder'
        raise BadFile(
            source,
            f'is of another ViT than this backbone: {"; ".join(differences)}',
            f'take {take}',
        )
    tensors, notes = dict(encoder.tensors), []
    if encoder.shape.extra_tokens and not wanted.extra_tokens:
        del tensors['extra_tokens']
        notes.append('its class token is left out (backbone.extra_tokens=0)')
    if 'ln1.weight' in tensors and 'ln1.weight' not in backbone:
        del tensors['ln1.weight'], tensors['ln1.bias']
        notes.append('its last norm is left out (backbone.final_norm=False)')
    if encoder.shape.grid != wanted.grid:
        notes.append(
            f'its positions were resized from {encoder.shape.grid} across to {wanted.grid}'
        )
    for name in [name for name in tensors if '.rel_pos_' in name]:
        length = len(backbone[name])
        if len(tensors[name]) != length:
            rows = tensors[name].T[None]
            tensors[name] = F.interpolate(rows, size=length, mode='linear')[0].T
            notes.append(f'{name} was resized to {length}')
    return tensors, notes


@WEIGHT_INITIALIZERS.register_module()
class PretrainedEncoder:
    """Loads an encoder of timm, Meta, Hugging Face or mmpretrain into a `WindowedViT`, whole.

    Args:
        checkpoint: Path, address, or ``hf://owner/name[/file]``.
        mean: Of the pictures that the encoder knows, three values from 0 to 1; they go into the
            patches' kernel. None takes those that lie beside the file, else ImageNet's.
        std: Standard deviation, likewise.
    """

    def __init__(
        self,
        checkpoint: str,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        self.checkpoint, self.mean, self.std = checkpoint, mean, std

    def __call__(self, module: nn.Module) -> None:
        """Loads the weights.

        Raises:
            UserError: The file can't be used, or is of another ViT.
        """
        if not isinstance(module, WindowedViT):
            raise UserError(
                'init_cfg.type=PretrainedEncoder is for a WindowedViT, not '
                f'{type(module).__name__}; take init_cfg.type=Pretrained'
            )
        patch = module.patch_embed.projection.kernel_size[0]
        encoder = read_encoder(self.checkpoint, patch, self.mean, self.std)
        tensors, notes = fitted(encoder, module.state_dict(), self.checkpoint)
        module.load_state_dict(tensors)
        text = '; '.join([f'{len(tensors)} tensors, all of them', *encoder.notes, *notes])
        print_log(f'{type(module).__name__}: from {self.checkpoint}: {text}.', logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'PretrainedEncoder: from {self.checkpoint}')
