"""`make train` without a config."""

import json
from pathlib import Path

import pytest

from tools import pick_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations' / 'train.json').write_text('{}')
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    return tmp_path


def test_all_choices_exist() -> None:
    assert all((ROOT / path).is_file() for path in vars(pick_config).values()
               if isinstance(path, str) and path.startswith('configs/'))  # fmt: skip


@pytest.mark.parametrize(
    ('gpu', 'demo', 'config'),
    [
        (True, False, pick_config.GPU),
        (True, True, pick_config.GPU),
        (False, False, pick_config.CPU),
        (False, True, pick_config.DEMO),
    ],
)
def test_choice(gpu: bool, demo: bool, config: str) -> None:
    assert pick_config.pick(gpu, demo)[0] == config


def test_prints_the_config_alone_and_the_reason_beside(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    (prepared / 'split.json').write_text(json.dumps({'demo': True}))
    assert pick_config.main() == 0
    told = capsys.readouterr()
    assert told.out == f'{pick_config.DEMO}\n'
    assert 'synthetic' in told.err


def test_no_data_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'none'))
    assert pick_config.main() == 1
    told = capsys.readouterr()
    assert told.out == ''
    assert 'make prepare' in told.err
    assert told.err.count('\n') == 1
