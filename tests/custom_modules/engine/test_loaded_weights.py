"""Weights that fit are counted, weights that do not are refused."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from cellkit.errors import UserError
from custom_modules.engine.loaded_weights import load_weights, state_of


def net(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.Linear(width, 1))


def test_what_fits_is_counted() -> None:
    model, other = net(), net()
    state = {name: w for name, w in other.state_dict().items() if not name.startswith('1.')}
    text = load_weights(model, {**state, 'head.weight': torch.zeros(1)}, 'a.pth')
    assert text.startswith('2 of 4 tensors of the model were loaded from a.pth, 1.weight, 1.bias')
    assert '1 of the file have no place in it' in text
    assert torch.equal(model[0].weight, other[0].weight)


def test_nothing_that_fits_is_refused() -> None:
    with pytest.raises(UserError, match=r'a.pth: none of its 1 tensors fits .*it has x, the'):
        load_weights(net(), {'x': torch.zeros(1)}, 'a.pth')


def test_another_size_is_refused_unless_asked() -> None:
    state = {**net(5).state_dict(), '1.bias': torch.ones(1)}
    with pytest.raises(UserError, match=r'0.weight has the size 5x2 and in this model 3x2, as ha'):
        load_weights(net(), state, 'a.pth', key='load_what_fits=True')
    model = net()
    text = load_weights(model, state, 'a.pth', what_fits=True)
    assert text.startswith('1 of 4 tensors')
    assert '(3 for another size)' in text
    assert float(model[1].bias) == 1


def test_a_resume_wants_all_of_its_own() -> None:
    state = net().state_dict()
    assert load_weights(net(), state, 'a.pth', whole=True).startswith('4 of 4')
    for other in (
        {k: v for k, v in state.items() if k != '1.bias'},
        {**state, 'x': state['1.bias']},
    ):
        with pytest.raises(UserError, match=r'a.pth: is of another model'):
            load_weights(net(), other, 'a.pth', whole=True)


def vit(**more: object) -> dict:
    return dict(
        type='WindowedViT', img_size=32, patch_size=16, window_size=0,
        arch=dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16), **more,
    )  # fmt: skip


def test_pretrained_weights_of_something_else_are_refused(tmp_path) -> None:
    torch.save({'state_dict': net().state_dict()}, tmp_path / 'other.pth')
    for prefix, sentence in (
        ('backbone.', 'nothing that begins with backbone.'),
        (None, 'none of'),
    ):
        weights = dict(type='Pretrained', checkpoint=str(tmp_path / 'other.pth'), prefix=prefix)
        model = MODELS.build(vit(init_cfg=weights))
        with pytest.raises(UserError, match=sentence):
            model.init_weights()


@pytest.mark.parametrize('content', [{'epoch': 3}, [1, 2], {'state_dict': {}}])
def test_a_file_without_weights_is_refused(content: object) -> None:
    with pytest.raises(UserError, match=r'a.pth: holds no weights'):
        state_of(content, 'a.pth')
