"""The program: a line a tensor, a file that loads again, and refusals that write nothing."""

from pathlib import Path

import pytest
import timm
import torch

from tools.encoder.__main__ import main

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope='module')
def dinobloom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = timm.create_model('vit_small_patch14_dinov2', img_size=224, num_classes=0)
    state = {f'backbone.{name}': tensor for name, tensor in model.state_dict().items()}
    file = tmp_path_factory.mktemp('encoder') / 'DinoBloom-S.pth'
    torch.save({'teacher': state | {'dino_head.weight': torch.ones(2)}}, file)
    return file


def test_it_says_what_became_of_each_tensor(dinobloom, tmp_path, capsys) -> None:
    out = tmp_path / 'a.safetensors'
    config = ROOT / 'configs/bccd_dinobloom_s_mask_rcnn.py'
    assert main([str(dinobloom), str(out), '--config', str(config)]) == 0
    said = capsys.readouterr().out
    assert 'used     extra_tokens 1x1x384 <- backbone.cls_token' in said
    assert 'dropped  dino_head.weight: not of the encoder' in said
    assert 'resampled from 14 to 16 pixels' in said
    assert 'fits: configs/bccd_dinobloom_s_mask_rcnn.py' in said
    assert main([str(out), str(tmp_path / 'b.safetensors'), '--quiet']) == 0  # its own output


def test_another_architecture_names_the_config(dinobloom, tmp_path, capsys) -> None:
    config = ROOT / 'configs/bccd_vitb_mask_rcnn.py'
    assert main([str(dinobloom), str(tmp_path / 'a.safetensors'), '--config', str(config)]) == 2
    assert 'take configs/bccd_dinobloom_s_mask_rcnn.py' in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
