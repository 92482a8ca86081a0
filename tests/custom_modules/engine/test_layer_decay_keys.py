"""custom_keys: rates and weight decays of a part of the model, and names that fit none."""

import pytest
from torch import nn

from cellkit.errors import UserError
from custom_modules.engine.custom_keys import check_custom_keys
from custom_modules.engine.layer_decay import BackboneLayerDecay


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(nn.Linear(2, 2).weight.detach())
        self.block = nn.Linear(2, 2)

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        return (0 if 'pos_embed' in name else 1), 3


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.neck = Backbone(), nn.Linear(2, 2)
        outer = self.backbone.get_layer_depth
        self.backbone.get_layer_depth = lambda name, prefix='': (
            outer(name) if name.startswith('backbone') else (2, 3)
        )


def rates(model: nn.Module, keys: dict) -> dict[str, tuple[float, float]]:
    """Rate and weight decay of each parameter, by name."""
    wrapper = BackboneLayerDecay(
        dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1)),
        dict(layer_decay_rate=0.5, bias_decay_mult=0.0, custom_keys=keys),
    )(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }


def test_a_backbone_at_rate_zero_stays_as_a_whole() -> None:
    keys = {'backbone': dict(lr_mult=0.0), 'pos_embed': dict(decay_mult=0.0)}
    assert rates(Detector(), keys) == {
        'backbone.pos_embed': (0.0, 0.0),
        'backbone.block.weight': (0.0, 0.1),
        'backbone.block.bias': (0.0, 0.0),  # the rule for biases still holds
        'neck.weight': (1.0, 0.1),
        'neck.bias': (1.0, 0.0),
    }


def test_the_longest_name_decides() -> None:
    found = rates(Detector(), {'backbone': dict(lr_mult=0.1), 'backbone.block': dict(lr_mult=2.0)})
    assert found['backbone.block.weight'][0] == pytest.approx(0.5 * 2.0)
    assert found['backbone.pos_embed'][0] == pytest.approx(0.25 * 0.1)


def test_a_name_that_fits_no_parameter_is_told() -> None:
    names = [name for name, _ in Detector().named_parameters()]
    check_custom_keys({'custom_keys': {'backbone': {}, 'block.bias': {}}}, names)
    check_custom_keys(None, names)
    with pytest.raises(UserError, match=r'custom_keys\.backbon_: no parameter .* is backbone;'):
        check_custom_keys({'custom_keys': {'backbon_': dict(lr_mult=0)}}, names)
