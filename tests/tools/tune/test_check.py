"""Whether a space can be searched is told before the first trial."""

from pathlib import Path

import pytest
from mmengine.config import Config

from cellkit.errors import UserError
from tools.tune.check import check_settings, own_parameters, read_config, validations
from tools.tune.space import TRAININGS, read_space

ROOT = Path(__file__).parents[3]
SPACES = sorted((ROOT / 'configs' / 'tune').glob('*.py'))
TRAINED = [space for space in SPACES if "searches = 'predictions'" not in space.read_text()]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize('file', TRAINED, ids=lambda file: file.stem)
def test_ready_spaces_can_be_searched_and_hold_the_config_s_own_settings(file: Path) -> None:
    space = read_space(file)
    config = read_config(space)
    check_settings(space, config)
    own = own_parameters(space, config)
    assert own is not None
    changed = Config(config.to_dict())
    changed.merge_from_dict(space.overrides(own))
    assert changed.to_dict() == config.to_dict()


@pytest.mark.parametrize('file', SPACES, ids=lambda file: file.stem)
def test_ready_spaces_open_with_their_command(file: Path) -> None:
    head = file.read_text().split('=')[0]
    assert file.read_text().startswith('# ')
    assert 'make ' in head
    assert f'make tune SPACE=configs/tune/{file.name}' in file.read_text()


def space_of(folder: Path, body: str) -> Path:
    file = folder / 'mine.py'
    file.write_text(f"config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'\n{body}\n")
    return file


@pytest.mark.parametrize(
    ('body', 'wanted'),
    [
        ("space = {'optim_wraper.optimizer.lr': [1, 2]}", 'is `optim_wrapper.optimizer.lr`'),
        ("space = {'max_iters': [1, 2]}", '`max_iters` only serves inside the config file'),
        (
            "space = {'x': {'a': {}, 'b': {'model.neck.out_chanels': 3}}}",
            'nothing reads `model.neck.out_chanels`',
        ),
        ("space = {'param_scheduler.7.end': [1]}", "can't be changed"),
        ("space = {'train_cfg.val_interval': [100, 1000]}", 'never validated'),
        (
            "space = {'load_from': [None]}\nobjectives = {'seconds_per_image': 'minimize'}",
            'put another value first',
        ),
    ],
)
def test_what_nothing_reads_is_one_sentence(tmp_path: Path, body: str, wanted: str) -> None:
    space = read_space(space_of(tmp_path, body))
    assert space.searches == TRAININGS
    with pytest.raises(UserError) as caught:
        check_settings(space, read_config(space))
    assert wanted in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_config_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    file = space_of(tmp_path, "space = {'a': [1]}")
    file.write_text(file.read_text().replace('cpu', 'gpu'))
    with pytest.raises(UserError, match=r'no config .*; configs has .*_cpu\.py'):
        read_config(read_space(file))


def test_rungs_are_the_validations() -> None:
    config = Config.fromfile('configs/bccd_hybrid_mask_rcnn_cpu.py')
    assert validations(config) == 4
    config.train_cfg.update(max_iters=310)
    assert validations(config) == 5
    assert validations(Config.fromfile('configs/bccd_vitb_mask_rcnn.py')) == 20


def test_a_space_without_the_own_settings_has_no_first_trial(tmp_path: Path) -> None:
    file = space_of(tmp_path, "space = {'optim_wrapper.optimizer.lr': [1e-3, 2e-3]}")
    space = read_space(file)
    assert own_parameters(space, read_config(space)) is None
