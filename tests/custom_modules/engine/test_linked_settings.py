"""Settings that need a partner: it follows, or the sentence says what to give."""

from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.optim.scheduler import CosineAnnealingLR
from torch import nn
from torch.optim import SGD

from cellkit.errors import UserError
from cellkit.metrics.records import VALUES
from custom_modules.engine.linked_settings import better, follow, schedule_problem

CONFIGS = Path(__file__).parents[3] / 'configs'


def followed(config: str, **overrides: object) -> tuple[Config, list[str]]:
    written = Config.fromfile(CONFIGS / f'{config}.py')
    merged = deepcopy(written)
    merged.merge_from_dict({key.replace('__', '.'): value for key, value in overrides.items()})
    return merged, follow(written, merged)


@pytest.mark.parametrize(
    ('value', 'rule'),
    [
        ('val_loss', 'less'),
        ('val_loss_mask', 'less'),
        ('count/relative_error', 'less'),
        ('count/mae', 'less'),
        ('coco/segm_mAP', 'greater'),
        ('coco/bbox_mAP_50', 'greater'),
        ('pixel/dice_pooled', 'greater'),
        ('instance/cell_ap_50', 'greater'),
        ('instance/boundary_f1', 'greater'),
    ],
)
def test_the_best_checkpoint_is_the_best_by_any_value(value: str, rule: str) -> None:
    config, _ = followed('bccd_vitb_mask_rcnn', default_hooks__checkpoint__save_best=value)
    assert config.default_hooks.checkpoint.rule == rule


def test_every_value_of_the_tables_has_a_direction() -> None:
    assert {better(key) for key, *_ in VALUES} == {'greater', 'less', 'neither'}
    assert [key for key, *_ in VALUES if better(key) == 'neither'] == ['count/relative_bias']


def test_an_inherited_rule_follows_and_a_given_one_that_keeps_the_worst_is_refused() -> None:
    written = {'default_hooks': {'checkpoint': {'save_best': 'coco/segm_mAP', 'rule': 'greater'}}}
    merged = deepcopy(written)
    merged['default_hooks']['checkpoint']['save_best'] = 'val_loss'
    assert follow(written, merged) == ['default_hooks.checkpoint.rule=less, for val_loss']
    assert merged['default_hooks']['checkpoint']['rule'] == 'less'
    with pytest.raises(UserError, match=r'would keep the worst: give .*rule=less'):
        follow({}, {'default_hooks': {'checkpoint': {'save_best': 'val_loss', 'rule': 'greater'}}})


@pytest.mark.parametrize('value', ['count/relative_bias', 'count/best_score_thr'])
def test_a_value_without_a_better_is_refused(value: str) -> None:
    with pytest.raises(UserError, match='neither a high nor a low one is a good one'):
        followed('bccd_vitb_mask_rcnn', default_hooks__checkpoint__save_best=value)


def test_a_value_of_unknown_direction_wants_a_rule() -> None:
    with pytest.raises(UserError, match=r'give default_hooks\.checkpoint\.rule=greater or '):
        followed('bccd_vitb_mask_rcnn', default_hooks__checkpoint__save_best='gloss')
    config, _ = followed(
        'bccd_vitb_mask_rcnn',
        default_hooks__checkpoint__save_best=['gloss', 'val_loss'],
        default_hooks__checkpoint__rule=['greater', 'less'],
    )
    assert config.default_hooks.checkpoint.rule == ['greater', 'less']


def test_early_stopping_watches_in_the_same_direction() -> None:
    hook = {'type': 'EarlyStoppingHook', 'monitor': 'count/mae'}
    config, _ = followed('bccd_vitb_mask_rcnn', custom_hooks=[hook])
    assert config.custom_hooks[0].rule == 'less'
    config, _ = followed(
        'bccd_vitb_mask_rcnn',
        param_scheduler=[{'type': 'ReduceOnPlateauLR', 'monitor': 'pixel/dice'}],
    )
    assert config.param_scheduler[0].rule == 'greater'


@pytest.mark.parametrize(
    ('config', 'length'),
    [('bccd_vitb_mask_rcnn', 'max_epochs'), ('bccd_hybrid_mask_rcnn_cpu', 'max_iters')],
)
def test_the_schedule_ends_with_training(config: str, length: str) -> None:
    merged, notes = followed(config, **{f'train_cfg__{length}': 777})
    assert merged.param_scheduler[1].T_max == 777
    assert notes == [f'param_scheduler.1.T_max=777, for train_cfg.{length}=777']
    assert (
        merged.param_scheduler[0] == Config.fromfile(CONFIGS / f'{config}.py').param_scheduler[0]
    )  # the warm-up is as long as it was
    given, notes = followed(config, **{f'train_cfg__{length}': 777, 'param_scheduler__1__T_max': 9})
    assert given.param_scheduler[1].T_max == 9
    assert not notes


def test_begin_and_end_follow_too() -> None:
    schedule = {'by_epoch': False, 'begin': 50, 'end': 300, 'T_max': 250}
    written = {'train_cfg': {'max_iters': 300}, 'param_scheduler': [schedule]}
    merged = deepcopy(written)
    merged['train_cfg']['max_iters'] = 1000
    follow(written, merged)
    assert merged['param_scheduler'] == [{**schedule, 'end': 1000, 'T_max': 950}]
    merged = deepcopy(written)
    merged['train_cfg']['max_iters'] = 40
    with pytest.raises(UserError, match=r'max_iters=40 ends before param_scheduler\.0 begins at'):
        follow(written, merged)


def test_milestones_are_asked_for() -> None:
    steps = {'type': 'MultiStepLR', 'milestones': [16, 22]}
    written = {'train_cfg': {'max_epochs': 24}, 'param_scheduler': [steps]}
    merged = deepcopy(written)
    merged['train_cfg']['max_epochs'] = 48
    with pytest.raises(UserError, match=r'param_scheduler\.0\.milestones=\[16, 22\] are for 24'):
        follow(written, merged)
    merged['param_scheduler'][0]['milestones'] = [32, 44]
    assert follow(written, merged) == []


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_nothing_moves_without_overrides(path: Path) -> None:
    written = Config.fromfile(path)
    merged = deepcopy(written)
    assert follow(written, merged) == []
    assert merged.default_hooks.checkpoint.pop('rule') == 'greater'
    assert merged.to_dict() == written.to_dict()


def cosine(begin: int, period: int, length: int, **more: int) -> float:
    """The rate of the last step, of 1, as MMEngine gives it."""
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = CosineAnnealingLR(optimizer, T_max=period, begin=begin, by_epoch=False, **more)
    for _ in range(length - 1):
        schedule.step()
    return optimizer.param_groups[0]['lr']


@settings(max_examples=30, deadline=None)
@given(begin=st.integers(0, 10), period=st.integers(1, 200), length=st.integers(100, 200))
def test_what_passes_ends_low_and_what_does_not_is_told(
    begin: int, period: int, length: int
) -> None:
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = CosineAnnealingLR(optimizer, T_max=period, begin=begin, by_epoch=False)
    problem = schedule_problem([schedule], length, 1)
    if problem is None:
        assert cosine(begin, period, length) < 0.1
    if begin + period == length:
        assert problem is None
    if length == 2 * (begin + period):  # where 40 epochs would end with a schedule for 20
        assert f'T_max={length - begin}' in problem


def test_a_schedule_that_stays_at_its_end_passes() -> None:
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = CosineAnnealingLR(optimizer, T_max=20, begin=0, end=20, by_epoch=False)
    assert schedule_problem([schedule], 40, 1) is None


def test_classes_of_one_head_alone_are_refused() -> None:
    with pytest.raises(UserError, match=r'bbox_head\.num_classes=2 and .*num_classes=1 differ'):
        followed('bccd_vitb_mask_rcnn', model__roi_head__bbox_head__num_classes=2)
    both = {f'model__roi_head__{head}_head__num_classes': 2 for head in ('bbox', 'mask')}
    with pytest.raises(UserError, match=r'the prepared data have 1 class \(cell\)'):
        followed('bccd_vitb_mask_rcnn', **both)


def test_no_validation_is_one_setting() -> None:
    config, notes = followed('bccd_vitb_mask_rcnn', val_dataloader=None)
    assert config.val_cfg is config.val_evaluator is None
    assert config.default_hooks.checkpoint.save_best is None
    assert len(notes) == 3


def test_annotations_follow_the_images() -> None:
    config, notes = followed('bccd_vitb_mask_rcnn', val_dataloader__dataset__data_root='other')
    assert {metric.ann_file for metric in config.val_evaluator} == {'other/annotations/val.json'}
    assert {metric.ann_file for metric in config.test_evaluator} == {
        'data/bccd/annotations/test.json'
    }
    assert len(notes) == 3
    with pytest.raises(UserError, match=r"against another set's annotations, so give val_eval"):
        followed('bccd_vitb_mask_rcnn', val_evaluator__0__ann_file='elsewhere.json')
