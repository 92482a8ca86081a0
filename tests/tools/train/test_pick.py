"""`make train` without a config."""

from pathlib import Path

import pytest
from mmengine.config import Config

from cellkit.errors import UserError
from cellkit.files.writing import write_json
from tools.train.pick import (
    CONFIGS,
    CPU,
    CPU_DEMO,
    FEW,
    FEWEST,
    GPU,
    GPU_DEMO,
    GPU_FEW,
    HANDFUL,
    pick,
    pick_config,
)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_json(tmp_path / 'annotations' / 'train.json', {'images': [{}] * 34})
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    return tmp_path


def test_all_choices_exist() -> None:
    names = (GPU, GPU_FEW, GPU_DEMO, CPU, CPU_DEMO, HANDFUL)
    assert all((CONFIGS / name).is_file() for name in names)


@pytest.mark.parametrize(
    ('gpu', 'demo', 'images', 'config'),
    [
        (True, False, 818, GPU),
        (True, False, FEW, GPU),
        (True, False, FEW - 1, GPU_FEW),
        (True, True, 17, GPU_DEMO),
        (False, False, FEWEST, CPU),
        (False, False, FEWEST - 1, HANDFUL),
        (True, False, 1, HANDFUL),
        (False, True, 0, CPU_DEMO),
    ],
)
def test_choice(gpu: bool, demo: bool, images: int, config: str) -> None:
    assert pick(gpu, demo, images)[0] == config


def test_every_choice_leaves_its_warm_up_far_behind() -> None:
    config = Config.fromfile(CONFIGS / GPU)
    steps = config.train_cfg.max_epochs * FEW // config.train_dataloader.batch_size
    assert steps >= 5 * config.param_scheduler[0].end
    for name in (GPU_FEW, GPU_DEMO, CPU, CPU_DEMO, HANDFUL):
        config = Config.fromfile(CONFIGS / name)
        assert config.train_cfg.max_iters >= 5 * config.param_scheduler[0].end
        assert config.param_scheduler[1].T_max == config.train_cfg.max_iters


@pytest.mark.parametrize(
    ('gpu', 'images', 'config', 'said'),
    [
        (True, 34, GPU_FEW, '34 training images'),
        (False, 5, HANDFUL, '5 training images'),
        (False, 1, HANDFUL, '1 training image '),
    ],
)
def test_the_number_of_images_counts(
    gpu: bool,
    images: int,
    config: str,
    said: str,
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: gpu)
    write_json(prepared / 'split.json', {'train': ['a.png'] * images})
    file, reason = pick_config()
    assert file.name == config
    assert said in reason


def test_the_demo_set_is_told_by_its_split(prepared: Path) -> None:
    assert pick_config()[0].name == CPU
    write_json(prepared / 'split.json', {'demo': True})
    file, reason = pick_config()
    assert file.name == CPU_DEMO
    assert 'synthetic' in reason


def test_the_config_is_found_from_any_folder(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    assert pick_config()[0] == Path('configs') / CPU
    monkeypatch.chdir(prepared)
    assert pick_config()[0] == CONFIGS / CPU


def test_no_data_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'none'))
    with pytest.raises(UserError, match='none holds no prepared data: run `make prepare` first'):
        pick_config()


def test_a_damaged_split_is_one_sentence(prepared: Path) -> None:
    (prepared / 'split.json').write_text('{')
    with pytest.raises(UserError, match=r"split\.json: can't be read"):
        pick_config()
