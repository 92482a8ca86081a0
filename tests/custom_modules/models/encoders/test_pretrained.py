"""One override loads an encoder; a file that isn't the right one ends in a sentence."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import Tensor

from cellkit.errors import UserError
from custom_modules import WindowedViT
from custom_modules.models.encoders.convert import convert

State = dict[str, Tensor]


def timm_state(width: int = 32, scaled: bool = False) -> State:
    """A ViT of two blocks with timm's names, 4x4 positions and a class token."""
    torch.manual_seed(0)
    state = {
        'cls_token': torch.randn(1, 1, width), 'pos_embed': torch.randn(1, 17, width),
        'patch_embed.proj.weight': torch.randn(width, 3, 16, 16),
        'patch_embed.proj.bias': torch.randn(width),
        'norm.weight': torch.ones(width), 'norm.bias': torch.zeros(width),
    }  # fmt: skip
    sizes = {'attn.qkv': (3, 1), 'attn.proj': (1, 1), 'mlp.fc1': (2, 1), 'mlp.fc2': (1, 2)}
    for block in (f'blocks.{index}' for index in range(2)):
        for name, (out, into) in sizes.items():
            state[f'{block}.{name}.weight'] = torch.randn(out * width, into * width)
            state[f'{block}.{name}.bias'] = torch.randn(out * width)
        for norm in ('norm1', 'norm2'):
            state |= {f'{block}.{norm}.{kind}': torch.randn(width) for kind in ('weight', 'bias')}
        if scaled:
            state |= {f'{block}.ls{k}.gamma': torch.randn(width) for k in (1, 2)}
    return state


def built(checkpoint: Path | str, **more: object) -> WindowedViT:
    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    init = dict(type='PretrainedEncoder', checkpoint=str(checkpoint), **more.pop('init', {}))
    model = MODELS.build(dict(type='WindowedViT', arch=arch, img_size=64, init_cfg=init, **more))
    model.init_weights()
    return model


def test_one_setting_loads_every_tensor(tmp_path: Path) -> None:
    state = timm_state(scaled=True)
    torch.save({'model': state}, tmp_path / 'vit.pth')
    model = built(tmp_path / 'vit.pth', layer_scale_init_value=1e-5, extra_tokens=1)
    wanted = convert(state, 'file').tensors
    loaded = model.state_dict()
    assert set(loaded) == set(wanted) - {'ln1.weight', 'ln1.bias'}
    assert all(tensor.equal(wanted[name]) for name, tensor in loaded.items())


def test_own_pixels_go_into_the_first_layer(tmp_path: Path) -> None:
    save_file(timm_state(), tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text(
        '{"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5]}}'
    )
    picture = torch.rand(1, 3, 64, 64)
    seen = []
    for folder, mean, std in (
        ('.', (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ('plain', (0.5, 0.5, 0.5), (0.25, 0.5, 0.5)),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        save_file(timm_state(), tmp_path / folder / 'model.safetensors')
        model = built(tmp_path / folder / 'model.safetensors')
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))
        seen.append(model.patch_embed((picture - mean) / std)[0])
    torch.testing.assert_close(*seen, rtol=1e-5, atol=1e-4)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f'vit{suffix}'
    (save_file if suffix == '.safetensors' else torch.save)(timm_state(), file)
    cut(file)
    with pytest.raises(UserError, match=r'vit.*(cut short|damaged)'):
        built(file)


class Runs:
    """Something that a checkpoint had better not hold."""


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        ({'conv.weight': torch.ones(2)}, 'holds no vision transformer of a known layout'),
        ({'epoch': 3}, 'holds no weights'),
        ({'model': timm_state(), 'hook': Runs()}, 'holds more than weights .*Runs'),
        (timm_state(16), 'width 16 and not 32'),
        (timm_state(scaled=True), 'LayerScale yes and not no'),
        ({k: v for k, v in timm_state().items() if '1.norm2' not in k}, 'lacks layers.1.ln2.bias'),
        (timm_state() | {'norm_pre.weight': torch.ones(32)}, 'has norm_pre.weight, for which'),
    ],
)
def test_a_wrong_file_ends_in_a_sentence(tmp_path: Path, content: dict, sentence: str) -> None:
    torch.save(content, tmp_path / 'vit.pth')
    with pytest.raises(UserError, match=sentence):
        built(tmp_path / 'vit.pth')


def test_layer_scale_that_the_file_has_not_is_no_default(tmp_path: Path) -> None:
    torch.save(timm_state(), tmp_path / 'vit.pth')
    with pytest.raises(UserError, match='LayerScale no and not yes'):
        built(tmp_path / 'vit.pth', layer_scale_init_value=1e-5)


class Reaches:
    """In a file, `getattr(owner, name)`."""

    def __init__(self, owner: type, name: str) -> None:
        self.what = owner, name

    def __reduce__(self) -> tuple:
        return getattr, self.what


def test_mmengine_s_curves_are_read_and_getattr_is_not(tmp_path: Path) -> None:
    """A checkpoint of training names its curves' methods by getattr, which could reach anything."""
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save({'state_dict': timm_state(), 'message_hub': history}, tmp_path / 'run.pth')
    assert built(tmp_path / 'run.pth').state_dict()
    for owner, name in ((HistoryBuffer, '__init__'), (torch.Tensor, 'mean')):
        torch.save({'state_dict': timm_state(), 'x': Reaches(owner, name)}, tmp_path / 'bad.pth')
        with pytest.raises(UserError, match=r'holds more than weights|is no checkpoint'):
            built(tmp_path / 'bad.pth')
