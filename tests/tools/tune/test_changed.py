"""A changed config, written as what it inherits and the differences."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from tools.tune.changed import difference, write_changed

ROOT = Path(__file__).parents[3]
BASE = ROOT / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py'


@pytest.mark.parametrize(
    'overrides',
    [
        {},
        {'optim_wrapper.optimizer.lr': 3e-4, 'randomness.seed': 2},
        {'param_scheduler.0.end': 20, 'train_dataloader.dataset.pipeline.2.scale': (800, 600)},
        {'model.roi_head.mask_head.num_convs': 1, 'load_from': None},
        {'custom_hooks': []},
        {'model.backbone': {'_delete_': True, 'type': 'HybridViT', 'channels': [8, 8, 8, 8]}},
    ],
    ids=lambda overrides: '+'.join(overrides) or 'nothing',
)
def test_the_file_is_the_changed_config(overrides: dict[str, Any], tmp_path: Path) -> None:
    wanted = Config.fromfile(BASE)
    wanted.merge_from_dict(overrides)
    file = tmp_path / 'a' / 'best.py'
    write_changed(BASE, overrides, file, 'Best.\n\n  make train')
    assert Config.fromfile(file).to_dict() == wanted.to_dict()
    text = file.read_text()
    assert text.startswith('# Best.\n#\n#   make train\n_base_ = ')
    assert len(text.splitlines()) < 70  # the differences only


def test_linked_settings_follow(tmp_path: Path) -> None:
    file = tmp_path / 'shorter.py'
    write_changed(BASE, {'train_cfg.max_iters': 50}, file, 'Shorter.')
    base, found = Config.fromfile(BASE), Config.fromfile(file)
    length = base.train_cfg.max_iters
    assert found.train_cfg.max_iters == 50
    ends = [index for index, part in enumerate(base.param_scheduler) if part.get('T_max') == length]
    assert ends
    assert all(found.param_scheduler[index].T_max == 50 for index in ends)


def test_what_cannot_be_inherited_is_written_whole(tmp_path: Path) -> None:
    base = tmp_path / 'base.py'
    base.write_text('a = dict(b=1, c=2)\n_d_ = 3\n')
    write_changed(base, {'a': {'_delete_': True, 'c': 2}}, tmp_path / 'x.py', 'X')
    assert Config.fromfile(tmp_path / 'x.py').to_dict() == {'a': {'c': 2}, '_d_': 3}


def test_differences() -> None:
    written = {'a': {'b': 1, 'c': {'d': 2}}, 'e': [1], 'f': None}
    merged = {'a': {'b': 1, 'c': {'d': 3}}, 'e': [1, 2], 'f': {'g': 1}, 'h': {'i': 1}}
    assert difference(written, merged) == {
        'a': {'c': {'d': 3}}, 'e': [1, 2], 'f': {'_delete_': True, 'g': 1}, 'h': {'i': 1},
    }  # fmt: skip
    assert difference(written, written) == {}
