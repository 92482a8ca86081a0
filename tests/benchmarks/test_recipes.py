"""Recipes: what is trained with what, what is not done again, which tables come of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from benchmarks import recipes
from benchmarks.__main__ import main
from benchmarks.recipes import RECIPES, page, select
from benchmarks.recipes.measuring import opened
from benchmarks.recipes.recipes import BASELINE, Recipe
from cellkit.errors import UserError
from tools.runs import child

ROOT = Path(__file__).parents[2]
THERE = [name for name, recipe in RECIPES.items() if (ROOT / 'configs' / recipe.config).is_file()]


class Stand:
    """In place of training and of evaluating: what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[list[str]] = []
        self.scored: list[tuple[str, str, bool]] = []
        self.status = 0
        monkeypatch.setattr(child, 'run', self.train)
        monkeypatch.setattr('tools.evaluate.evaluate', self.evaluate)
        monkeypatch.setattr(
            page, 'ablation', lambda rows, *_, **__: f'{sum(map(len, rows.values()))}'
        )

    def train(self, command: list, cwd: Path, env: dict) -> int:
        self.trained.append([str(word) for word in command])
        folder = Path(command[command.index('--work-dir') + 1])
        if not self.status:
            steps = Config.fromfile(command[3]).train_cfg.max_iters
            (folder / f'iter_{steps}.pth').touch()
        return self.status

    def evaluate(self, run: Path, part: str, data: Path, tta: bool) -> None:
        self.scored.append((run.name, part, tta))
        file = run / ('tta' if tta else '') / f'evaluation{"" if part == "test" else "_val"}.json'
        file.parent.mkdir(exist_ok=True)
        file.write_text('{}')


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(monkeypatch)


def test_first_seeds_come_first_and_tests_after_what_they_test() -> None:
    found = select(None, 2)
    assert found[: len(RECIPES)] == [(name, 0) for name in RECIPES]
    assert found[len(RECIPES) :] == [(name, 1) for name in RECIPES]
    for name, recipe in RECIPES.items():
        if recipe.tested:
            assert found.index((recipe.tested, 0)) < found.index((name, 0))
    assert select('scratch:2, baseline', 2) == [(BASELINE, 0), (BASELINE, 1), ('scratch', 2)]


@pytest.mark.parametrize('only', ['basline', 'baseline:x'])
def test_what_is_no_recipe_is_told(only: str) -> None:
    with pytest.raises(UserError, match=only):
        select(only, 1)


def test_recipes_train_the_same_steps_from_configs_that_are_read_and_differ() -> None:
    found = {name: opened(name, RECIPES[name], 40).settings for name in THERE}
    for name, settings in found.items():
        assert settings['steps'] == 40
        assert (settings['start_sha256'] is None) == (name == 'scratch')
    own = [settings for name, settings in found.items() if not RECIPES[name].tested]
    digests = {settings['config_sha256'] + str(settings['start_sha256']) for settings in own}
    assert len(digests) == len(own)


def test_a_config_that_is_not_there_is_passed_over(
    tiny_data: Path, tmp_path: Path, stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(RECIPES, 'tta', Recipe('none.py'))
    recipes.run(tiny_data, only='tta', out=tmp_path)
    assert 'tta, seed 0: has no config yet' in capsys.readouterr().out
    assert not stand.trained


def test_stored_runs_are_not_done_again(tiny_data: Path, tmp_path: Path, stand: Stand) -> None:
    todo = dict(data_root=tiny_data, only='baseline tta', steps=40, out=tmp_path)
    assert recipes.run(**todo).startswith('2\n')
    assert stand.scored == [('baseline_seed0', 'val', False), ('baseline_seed0', 'val', True)]
    recipes.run(**todo)
    assert len(stand.trained) == 1
    assert len(stand.scored) == 2
    recipes.run(**todo, seeds=2, test=1)
    assert len(stand.trained) == 2
    assert stand.scored[2:4] == [
        ('baseline_seed0', 'test', False),
        ('baseline_seed0', 'test', True),
    ]
    config = Config.fromfile(tmp_path / 'baseline_seed1/written/baseline_seed1.py')
    assert config.randomness.seed == 1
    assert config.train_cfg.max_iters == config.train_cfg.val_interval == 40
    assert config.param_scheduler[1].T_max == 40
    assert config.default_hooks.checkpoint.interval == 10


def test_a_run_that_was_stopped_goes_on(tiny_data: Path, tmp_path: Path, stand: Stand) -> None:
    stand.status = 1
    todo = dict(data_root=tiny_data, only='baseline', steps=40, out=tmp_path)
    with pytest.raises(UserError, match='the same command goes on'):
        recipes.run(**todo)
    stand.status = 0
    (tmp_path / 'baseline_seed0' / 'last_checkpoint').write_text('iter_10.pth')
    recipes.run(**todo)
    assert ['--resume' in words for words in stand.trained] == [False, True]
    assert all('--with-starter' in words for words in stand.trained)


def test_other_settings_in_the_same_folder_are_told(
    tiny_data: Path, tmp_path: Path, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = dict(data_root=tiny_data, only='baseline', out=tmp_path)
    recipes.run(**todo, steps=40)
    with pytest.raises(UserError, match='a run with another steps'):
        recipes.run(**todo, steps=60)
    changed = RECIPES[BASELINE]._replace(overrides={'model.precision': 'bfloat16'})
    monkeypatch.setitem(RECIPES, BASELINE, changed)
    with pytest.raises(UserError, match='another config_sha256'):
        recipes.run(**todo, steps=40)


def test_what_tests_a_run_asks_for_it(tiny_data: Path, tmp_path: Path, stand: Stand) -> None:
    with pytest.raises(UserError, match='measure baseline:0 first'):
        recipes.run(tiny_data, only='tta', out=tmp_path)


def test_bad_input_is_told_in_a_sentence(tiny_data: Path, tmp_path: Path, capsys) -> None:
    data = ['recipes', '--data-root', str(tiny_data)]
    for words, said in (
        (['--steps', '0'], '--steps 0 is below 1'),
        (['--seeds', '0'], '--seeds 0 is below 1'),
        (['--test', '2'], '--test 2: write 1'),
        (['--write', str(tmp_path / 'x.md'), '--only', 'ema'], 'leave out --only'),
        (['--write', str(tmp_path / 'x.md')], 'lacks the lines <!-- recipes:begin -->'),
    ):
        assert main([*data, '--out', str(tmp_path), *words]) == 2
        assert said in capsys.readouterr().err


def test_a_start_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r'nowhere\.pth, from which baseline starts, is not there'):
        opened(BASELINE, Recipe(RECIPES[BASELINE].config, {'load_from': 'nowhere.pth'}), 40)


def test_all_recipes_are_named_before_anything_is_measured(tmp_path: Path) -> None:
    file = tmp_path / 'page.md'
    file.write_text('<!-- recipes:begin -->\n<!-- recipes:end -->\n')
    assert main(['recipes', '--write', str(file), '--out', str(tmp_path)]) == 0
    text = file.read_text()
    assert f'Not measured: {", ".join(RECIPES)}.' in text


def test_what_was_trained_on_other_data_is_told(
    tiny_data: Path, tmp_path: Path, stand: Stand
) -> None:
    recipes.run(tiny_data, only='baseline', steps=40, out=tmp_path)
    file = tmp_path / 'baseline_seed0' / 'settings.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | {'train_sha256': 'other'}))
    with pytest.raises(UserError, match='another train_sha256'):
        recipes.run(tiny_data, only='baseline', steps=40, out=tmp_path)
