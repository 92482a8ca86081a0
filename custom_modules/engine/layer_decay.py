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
    """

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
            params[:] = _merge_groups(params)


def _merge_groups(params: list[dict]) -> list[dict]:
    groups: dict[tuple, dict] = {}
    for param in params:
        options = {k: v for k, v in param.items() if k not in ('params', 'param_name')}
        group = groups.setdefault(tuple(sorted(options.items())), {'params': [], **options})
        group['params'] += param['params']
    return list(groups.values())
