"""The configs that compare ways of stain handling differ in nothing else."""

from pathlib import Path

import pytest
from mmengine.config import Config

from benchmarks.stain_training import config_texts

TEXTS = config_texts(Path('reference.json'), steps=60)
SEEDS = {name: int(name[-1]) for name in TEXTS}


@pytest.fixture
def load(tmp_path: Path):
    def load(name: str) -> Config:
        (tmp_path / 'config.py').write_text(TEXTS[name])
        return Config.fromfile(tmp_path / 'config.py')

    return load


def steps(config: Config, part: str) -> list[str]:
    return [step.type for step in config[f'{part}_dataloader'].dataset.pipeline]


@pytest.mark.parametrize('name', TEXTS)
def test_the_stain_step_follows_loading_and_is_all_that_differs(load, name: str) -> None:
    config, plain = load(name), load('plain_seed0')
    for part in ('train', 'val', 'test'):
        found = steps(config, part)
        added = [step for step in found if step.startswith('Stain')]
        assert [step for step in found if step not in added] == steps(plain, part)
        wanted = {'plain': 0, 'jitter': part == 'train'}.get(name.split('_')[0], 1)
        assert len(added) == wanted
        assert added == found[1 : 1 + wanted]
    assert config.train_cfg.max_iters == 60
    assert config.randomness.seed == SEEDS[name]
    assert config.model == plain.model
    assert config.optim_wrapper == plain.optim_wrapper
