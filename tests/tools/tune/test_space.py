"""What a space may say, and the one sentence where it says something else."""

from pathlib import Path

import pytest

from cellkit.errors import UserError
from tools.tune.space import candidates, read_space

CONFIG = "config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'\n"
LR = "space = {'optim_wrapper.optimizer.lr': dict(low=1e-4, high=1e-2, log=True)}\n"


@pytest.fixture
def written(tmp_path: Path):
    """Writes a space."""

    def write(text: str) -> Path:
        file = tmp_path / 'mine.py'
        file.write_text(text)
        return file

    return write


def test_every_kind_of_parameter_becomes_settings(written) -> None:
    space = read_space(
        written(
            CONFIG + "fixed = {'train_cfg.max_iters': 8}\n"
            "space = {'a.lr': dict(low=0.1, high=0.9), 'b.number': dict(low=2, high=8, step=2),\n"
            "'c.flips': [True, None, 'x', (1, 2)],\n"
            "'both': dict(keys=['d.x', 'd.y'], low=1, high=3),\n"
            "'sizes': dict(keys=['e.x', 'e.y'], choices=[(4, 3), (8, 6)]),\n"
            "'head': {'small': {'f.w': 8}, 'large': {'f.w': 64, 'f.n': 2}}}\n"
        )
    )
    drawn = {'a.lr': 0.5, 'b.number': 4, 'c.flips': '(1, 2)', 'both': 2, 'sizes': '(8, 6)',
             'head': 'large'}  # fmt: skip
    assert space.overrides(drawn) == {
        'train_cfg.max_iters': 8, 'a.lr': 0.5, 'b.number': 4, 'c.flips': (1, 2), 'd.x': 2,
        'd.y': 2, 'e.x': (8, 6), 'e.y': (8, 6), 'f.w': 64, 'f.n': 2,
    }  # fmt: skip
    assert space.objectives == {'coco/segm_mAP': 'maximize'}


def test_a_grid_has_steps_points_and_choices(written) -> None:
    space = read_space(
        written(
            CONFIG + "sampler = 'grid'\nspace = {'a': dict(low=0.1, high=10.0, log=True, points=3),"
            "'b': dict(low=1, high=5, step=2), 'c': ['x', 'y'], 'd': dict(low=0.0, high=1.0, "
            'step=0.25)}'
        )
    )
    grid = space.grid()
    assert grid['a'] == pytest.approx([0.1, 1, 10])
    assert grid['b'] == [1, 3, 5]
    assert grid['c'] == ['x', 'y']
    assert grid['d'] == [0, 0.25, 0.5, 0.75, 1]
    assert space.grid_size() == 3 * 3 * 2 * 5


def test_every_choice_and_both_ends_come_up_in_the_check(written) -> None:
    space = read_space(written(CONFIG + "space = {'a': dict(low=1, high=4), 'b': [7, 8, None]}"))
    assert [c['a'] for c in candidates(space)] == [1, 4, 4]
    assert [c['b'] for c in candidates(space)] == [7, 8, None]


def test_a_space_may_inherit_another_and_name_things_for_itself(written, tmp_path: Path) -> None:
    written(CONFIG + LR)
    other = tmp_path / 'other.py'
    other.write_text("_base_ = 'mine.py'\n_n = 3\nspace = {'param_scheduler.0.end': [_n, 9]}\n")
    names = [p.name for p in read_space(other).parameters]
    assert names == ['optim_wrapper.optimizer.lr', 'param_scheduler.0.end']


def test_fingerprints_tell_spaces_apart_but_not_samplers(written) -> None:
    one = read_space(written(CONFIG + LR))
    assert read_space(one.file, sampler='random').fingerprint == one.fingerprint
    assert read_space(one.file, {'train_cfg.max_iters': 4}).fingerprint != one.fingerprint
    written(CONFIG + LR.replace('1e-2', '2e-2'))
    assert read_space(one.file).fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ('text', 'wanted'),
    [
        (CONFIG + LR + "smapler = 'tpe'", 'nothing reads `smapler`; the nearest is sampler'),
        (LR, '`config` is missing'),
        (CONFIG, '`space` is missing'),
        (CONFIG + LR + "sampler = 'annealing'", "no sampler 'annealing'; name one of grid, random"),
        (CONFIG + LR + "pruner = 'asha'", "no pruner 'asha'; name one of hyperband, median, none"),
        (CONFIG + LR + "sampler = dict(name='tpe', start=3)", 'the sampler tpe takes no start'),
        (CONFIG + LR + "objectives = {'x': 'up'}", "the objective x is 'up'; write maximize"),
        (
            CONFIG + LR + "objectives = {'x': 'maximize', 'y': 'minimize'}\npruner = 'median'",
            "two objectives can't be pruned",
        ),
        (CONFIG + LR + "sampler = 'grid'", 'give it points='),
        (CONFIG + "space = {'a': dict(low=3, high=1)}", "the range of a can't be drawn from"),
        (CONFIG + "space = {'a': dict(low=0, high=1.0, log=True)}", 'the range of a'),
        (CONFIG + "space = {'a': dict(low=0, high=5, step=2)}", 'does not end at 5'),
        (CONFIG + "space = {'a': dict(low=0, high=5, steps=2)}", 'a has steps=…'),
        (CONFIG + "space = {'a': dict(low=0)}", 'the range of a needs numbers'),
        (CONFIG + "space = {'a': []}", 'a has no choices'),
        (CONFIG + "space = {'a': [1, 2, 1]}", 'a has a choice twice'),
        (CONFIG + "space = {'a': 3}", 'a is 3; give a range'),
        (CONFIG + LR + "searches = 'all'", "`searches` is 'all'"),
        (CONFIG + 'space = {', "can't be read as a space"),
    ],
)
def test_what_is_no_space_is_one_sentence(written, text: str, wanted: str) -> None:
    with pytest.raises(UserError) as caught:
        read_space(written(text))
    assert wanted in str(caught.value)
    assert 'mine.py: ' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_space_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UserError, match=r'no such space; configs/tune has .*optimiser\.py'):
        read_space('configs/tune/optimizer.py')
