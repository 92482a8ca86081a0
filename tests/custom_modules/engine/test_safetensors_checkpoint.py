"""Weights in a file from which nothing can run: round trip, damage, another version."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from cellkit.errors import UserError
from custom_modules.engine.safetensors_checkpoint import write_safetensors


def weights() -> dict[str, torch.Tensor]:
    return {'conv.weight': torch.randn(4, 3), 'bn.num_batches_tracked': torch.tensor(7)}


def load(file: Path) -> dict:
    """As MMEngine's runner and `init_cfg` do."""
    return CheckpointLoader.load_checkpoint(str(file), 'cpu', 'silent')


def test_half_precision_comes_back_through_mmengine(tmp_path: Path) -> None:
    file, written = tmp_path / 'model.safetensors', weights()
    write_safetensors(file, written, {'score_threshold': '0.4'})
    content = load(file)
    assert content['about']['score_threshold'] == '0.4'
    assert torch.equal(content['state_dict']['conv.weight'], written['conv.weight'].half())
    assert content['state_dict']['bn.num_batches_tracked'] == 7


def test_a_weight_beyond_half_precision_is_refused(tmp_path: Path) -> None:
    file = tmp_path / 'model.safetensors'
    with pytest.raises(ValueError, match='conv is not finite'):
        write_safetensors(file, {'conv': torch.tensor([1e6])}, {})
    assert not file.exists()


@pytest.mark.parametrize('damage', [lambda b: b[: len(b) // 2], lambda b: b'x' * 40, lambda b: b''])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage) -> None:
    file = tmp_path / 'model.safetensors'
    write_safetensors(file, weights(), {})
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=r'model\.safetensors: is damaged .*; copy it again'):
        load(file)


def test_another_version_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / 'model.safetensors'
    save_file(weights(), file, {'version': '99'})
    with pytest.raises(UserError, match='version 99 and this code reads version 1'):
        load(file)


def test_a_file_without_texts_is_read(tmp_path: Path) -> None:
    file = tmp_path / 'other.safetensors'
    save_file(weights(), file)
    assert load(file)['about'] == {}


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'none\.safetensors'):
        load(tmp_path / 'none.safetensors')
