"""Weights that training starts from: how many of them fit, and which are refused.

MMEngine loads what fits and warns of the rest: with the wrong file a run trains from scratch.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from cellkit.errors import UserError

Weights = Mapping[str, Tensor]

WRAPPED = 'teacher', 'model_ema', 'state_dict', 'model'
"""Keys that weights lie below; of a teacher and a student, the teacher."""


def state_of(checkpoint: Any, source: str) -> Weights:
    """The tensors of a checkpoint, out of whatever they are wrapped in.

    Raises:
        UserError: There are none.
    """
    state = checkpoint
    for key in WRAPPED:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    state = state if isinstance(state, Mapping) else {}
    tensors = OrderedDict(
        (re.sub(r'^module\.', '', name), value)
        for name, value in state.items()
        if isinstance(value, Tensor)
    )
    if not tensors:
        raise UserError(f'{source}: holds no weights; give a checkpoint of a model')
    return tensors


def below(state: Weights, prefix: str | None) -> Weights:
    """The tensors of a part of a model, by their names in it."""
    if not prefix:
        return state
    prefix = prefix.rstrip('.') + '.'
    return OrderedDict(
        (name.removeprefix(prefix), value)
        for name, value in state.items()
        if name.startswith(prefix)
    )


def load_weights(
    module: nn.Module,
    state: Weights,
    source: str,
    what_fits: bool = False,
    key: str = '',
    whole: bool = False,
) -> str:
    """Load tensors into a module.

    Args:
        module: What to load into; its own hooks may still change the tensors, as a ViT's fit the
            positions to its size.
        state: Tensors by name.
        source: Of the tensors, for sentences.
        what_fits: Leave out tensors of another size.
        key: The setting that asks for it, for the sentence.
        whole: The tensors have to be the module's own, all of them.

    Returns:
        How many of how many tensors were loaded, in words.

    Raises:
        UserError: None of them fits, or one has another size and that was not asked for.
    """
    own, given = module.state_dict(), OrderedDict(state)
    try:
        missing, unknown = module.load_state_dict(given, strict=False)
        wrong: list[str] = []
    except RuntimeError as error:  # torch tells sizes in this way only
        wrong = re.findall(r'size mismatch for ([\w.]+):', str(error))
        if not wrong:
            raise
        if whole or not what_fits:
            raise UserError(
                _another_size(own, given, wrong, source, '' if whole else key)
            ) from error
        given = OrderedDict((name, v) for name, v in given.items() if name not in set(wrong))
        missing, unknown = module.load_state_dict(given, strict=False)
    count = len(own) - len(missing)
    if not count:
        raise UserError(
            f'{source}: none of its {len(state)} tensors fits this model (it has '
            f'{next(iter(state))}, the model {next(iter(own))}); give the weights of this model'
        )
    if whole and (missing or unknown):
        raise UserError(
            f'{source}: is of another model, {count} of {len(own)} tensors fit '
            f'({_some([*missing, *unknown])}); go on with the config that it was trained with'
        )
    text = f'{count} of {len(own)} tensors of the model were loaded from {source}'
    if missing:
        size = f' ({len(wrong)} for another size)' if wrong else ''
        text += f', {_some(missing)} were not{size}'
    if unknown:
        text += f'; {len(unknown)} of the file have no place in it'
    return text


def _another_size(own: Weights, given: Weights, wrong: list[str], source: str, key: str) -> str:
    """The sentence for tensors of another size."""
    first = wrong[0]
    there, here = (_size(tuple(tensors[first].shape)) for tensors in (given, own))
    more = f', as have {len(wrong) - 1} more' if len(wrong) > 1 else ''
    otherwise = f', or load the others alone with {key}' if key else ''
    return (
        f'{source}: {first} has the size {there} and in this model {here}{more}; give the weights '
        f'of this model{otherwise}'
    )


def _size(shape: tuple[int, ...]) -> str:
    return 'x'.join(map(str, shape)) or 'a number'


def _some(names: list[str], shown: int = 3) -> str:
    more = f' and {len(names) - shown} more' if len(names) > shown else ''
    return ', '.join(names[:shown]) + more


@WEIGHT_INITIALIZERS.register_module(name='Pretrained', force=True)
class CountedPretrained(PretrainedInit):
    """MMEngine's ``Pretrained``: says how many tensors fit, and refuses a file of which none do.

    Args:
        checkpoint: Path or address of the weights; an encoder with other names wants
            ``type='PretrainedEncoder'``.
        prefix: Part of the stored model that is wanted, such as ``backbone.``.
        map_location: Where tensors are read to.
        what_fits: Load the tensors of the right size where others have a wrong one.
    """

    def __init__(
        self,
        checkpoint: str,
        prefix: str | None = None,
        map_location: str = 'cpu',
        what_fits: bool = False,
    ) -> None:
        super().__init__(checkpoint, prefix, map_location)
        self.what_fits = what_fits

    def __call__(self, module: nn.Module) -> None:
        """Loads the weights into a module."""
        content = CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location)
        stored = state_of(content, self.checkpoint)
        wanted = below(stored, self.prefix)
        if not wanted:
            raise UserError(
                f'{self.checkpoint}: has nothing that begins with {self.prefix} (it has '
                f'{next(iter(stored))}); give other weights or another prefix'
            )
        text = load_weights(
            module, wanted, self.checkpoint, self.what_fits, 'init_cfg.what_fits=True'
        )
        print_log(f'{type(module).__name__}: {text}.', logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
