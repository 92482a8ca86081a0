"""A resumed run goes on as it was set, or says that it would not do as asked."""

from pathlib import Path

import pytest
from mmengine.config import Config

from custom_modules.engine.strict_runner import StrictRunner
from tests.custom_modules.engine.test_strict_runner import CONFIG, start


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / 'config.py'
    path.write_text(
        CONFIG + "param_scheduler = [dict(type='CosineAnnealingLR', T_max=2, eta_min=0.01)]\n"
    )
    config = Config.fromfile(path)
    config.work_dir = str(tmp_path / 'run')
    return config


def resumed(config: Config, name: str, **settings: object) -> StrictRunner:
    start(config, f'{name}_first').train()
    runner = start(config, f'{name}_again', resume=True, **settings)
    runner.train()
    return runner


@pytest.mark.parametrize(
    ('key', 'value', 'told'),
    [
        ('optim_wrapper.optimizer.lr', 0.5, r'optim_wrapper\.optimizer\.lr was 0\.1, not 0\.5'),
        ('optim_wrapper.optimizer.momentum', 0.5, r'momentum was 0\.9, not 0\.5'),
        ('train_cfg.max_epochs', 4, r'param_scheduler\.0\.T_max was 2, not 4'),
        ('param_scheduler.0.eta_min', 0.05, r'param_scheduler\.0\.eta_min was 0\.01, not 0\.05'),
        ('param_scheduler', None, r'param_scheduler was there'),
    ],
)
def test_what_the_checkpoint_would_overrule_is_refused(
    config: Config, key: str, value: object, told: str
) -> None:
    with pytest.raises(SystemExit, match=told) as end:
        resumed(config, f'changed_{key}', **{key: value})
    assert 'load_from=' in str(end.value)
    assert '\n' not in str(end.value)


def test_other_settings_may_change(config: Config) -> None:
    runner = resumed(config, 'other', **{'default_hooks.checkpoint.max_keep_ckpts': 3})
    assert runner.epoch == 2
