"""`make train` without a config."""

from pathlib import Path

import pytest

from cellkit.errors import UserError
from cellkit.files.writing import write_json
from tools.train.pick import CONFIGS, CPU, DEMO, GPU, pick, pick_config


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_json(tmp_path / 'annotations' / 'train.json', {})
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    return tmp_path


def test_all_choices_exist() -> None:
    assert all((CONFIGS / name).is_file() for name in (GPU, CPU, DEMO))


@pytest.mark.parametrize(
    ('gpu', 'demo', 'config'),
    [(True, False, GPU), (True, True, GPU), (False, False, CPU), (False, True, DEMO)],
)
def test_choice(gpu: bool, demo: bool, config: str) -> None:
    assert pick(gpu, demo)[0] == config


def test_the_demo_set_is_told_by_its_split(prepared: Path) -> None:
    assert pick_config()[0].name == CPU
    write_json(prepared / 'split.json', {'demo': True})
    file, reason = pick_config()
    assert file.name == DEMO
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
