"""Layer-wise learning-rate decay for a detector with an mmpretrain backbone."""

from collections.abc import Callable
from functools import partial

from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneLayerDecay(LearningRateDecayOptimWrapperConstructor):
    """mmpretrain's layer decay, asking the detector's backbone for the depth of a parameter.

    Neck and heads count as the layer after the backbone's last: they get the full rate.
    Parameters of one rate and one weight decay are put into one group, which lets the fused
    optimizers work on a few long lists and not on two hundred short ones.

    ``custom_keys`` may hold ``lr_mult`` too, which mmpretrain's leaves unread. Rate and weight
    decay each follow the longest key that sets them and is part of a parameter's name:
    ``backbone: lr_mult`` reaches ``backbone.pos_embed`` where ``pos_embed`` sets ``decay_mult``
    only.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        keys = self.paramwise_cfg.get('custom_keys', {})
        self._rates = {k: v['lr_mult'] for k, v in keys.items() if 'lr_mult' in v}
        decays = {k: {'decay_mult': v['decay_mult']} for k, v in keys.items() if 'decay_mult' in v}
        self.paramwise_cfg = {**self.paramwise_cfg, 'custom_keys': decays}

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        get_layer_depth: Callable | None = None,
        **kwargs,
    ) -> None:
        """Adds the parameters of ``module`` to ``params``, see the parent class."""
        if get_layer_depth is None:
            get_layer_depth = partial(module.backbone.get_layer_depth, prefix='backbone.')
        super().add_params(params, module, prefix, get_layer_depth, **kwargs)
        if prefix == '':
            for param in params:
                names = [key for key in self._rates if key in param['param_name']]
                if names:
                    param['lr'] *= self._rates[max(names, key=len)]
            params[:] = _merge_groups(params)


def _merge_groups(params: list[dict]) -> list[dict]:
    groups: dict[tuple, dict] = {}
    for param in params:
        options = {k: v for k, v in param.items() if k not in ('params', 'param_name')}
        group = groups.setdefault(tuple(sorted(options.items())), {'params': [], **options})
        group['params'] += param['params']
    return list(groups.values())
