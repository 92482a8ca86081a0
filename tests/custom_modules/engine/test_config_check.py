"""Every misspelt override is found and its nearest real key named; real ones pass."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config, DictAction
from mmengine.hooks import CheckpointHook, LoggerHook
from torch.optim import SGD

import custom_modules  # noqa: F401  registers what the configs name
from custom_modules.engine.config_check import accepted_by, find_unread_settings

CONFIGS = Path(__file__).parents[3] / 'configs'
VIT = CONFIGS / 'bccd_vitb_mask_rcnn.py'
CPU = CONFIGS / 'bccd_hybrid_mask_rcnn_cpu.py'


@cache
def load(path: Path) -> Config:
    return Config.fromfile(path)


def problems(path: Path, *overrides: str) -> list[str]:
    """What is found after overrides as they are typed on the command line."""
    written, merged = load(path), deepcopy(load(path))
    pairs = (override.split('=', maxsplit=1) for override in overrides)
    merged.merge_from_dict({key: DictAction._parse_iterable(value) for key, value in pairs})
    merged.launcher, merged.work_dir = 'none', 'somewhere'  # as the training script adds them
    return find_unread_settings(written.to_dict(), merged.to_dict())


@pytest.mark.parametrize(
    ('override', 'nearest'),
    [
        ('optim_wraper.optimizer.lr=1', 'optim_wrapper.optimizer.lr'),
        ('optim_wrapper.optimizer.lrr=1', 'optim_wrapper.optimizer.lr'),
        ('optim_wrapper.optimiser.lr=1', 'optim_wrapper.optimizer.lr'),
        ('optim_wrapper.clip_grad.maxnorm=1', 'optim_wrapper.clip_grad.max_norm'),
        ('train_dataloader.bach_size=4', 'train_dataloader.batch_size'),
        ('train_dataloader.dataset.pipeline.2.scal=(4,4)', 'pipeline.2.scale'),
        ('train_cfg.max_epoch=3', 'train_cfg.max_epochs'),
        ('train_cfg.max_iters=3', 'train_cfg.max_epochs'),
        ('param_scheduler.0.edn=3', 'param_scheduler.0.end'),
        ('model.backbone.drop_path_rat=0.1', 'model.backbone.drop_path_rate'),
        ('model.roi_head.bbox_head.num_clases=2', 'model.roi_head.bbox_head.num_classes'),
        ('model.test_cfg.rcnn.max_per_imgs=3', 'model.test_cfg.rcnn.max_per_img'),
        ('model.train_cfg.rcnn.smapler.num=3', 'model.train_cfg.rcnn.sampler.num'),
        ('default_hooks.chekpoint.interval=3', 'default_hooks.checkpoint.interval'),
        ('default_hooks.checkpoint.max_keep_ckpt=3', 'default_hooks.checkpoint.max_keep_ckpts'),
        ('randomness.sed=3', 'randomness.seed'),
        ('env_cfg.mp_cfg.mp_start_methode=spawn', 'env_cfg.mp_cfg.mp_start_method'),
        ('backbone.init_cfg.checkpoint=x', 'model.backbone.init_cfg.checkpoint'),
        ('lr=1', 'optim_wrapper.optimizer.lr'),
        ('batch_size=4', 'train_dataloader.batch_size'),
        ('optim_wrapper.type=AmpOptimWraper', 'AmpOptimWrapper'),
        ('load_form=x.pth', 'load_from'),
    ],
)
def test_misspelt_key_is_found_and_the_real_one_named(override: str, nearest: str) -> None:
    (problem,) = problems(VIT, override)
    typed = override.split('=')[0]
    assert f'`{typed}`' in problem
    assert f'{nearest}`' in problem


@pytest.mark.parametrize(
    'override',
    [
        'optim_wrapper.optimizer.lr=5e-4',
        'optim_wrapper.optimizer.betas=(0.9,0.95)',
        'optim_wrapper.accumulative_counts=2',
        'default_hooks.checkpoint.max_keep_ckpts=3',
        'default_hooks.checkpoint.priority=LOW',
        'train_dataloader.pin_memory=True',
        'train_dataloader.prefetch_factor=4',
        'train_dataloader.sampler.seed=1',
        'train_dataloader.dataset.indices=10',
        'train_dataloader.batch_sampler.type=AspectRatioBatchSampler',
        'train_cfg.val_begin=3',
        'param_scheduler.1.verbose=True',
        'model.backbone.init_cfg=None',
        'model.backbone.init_cfg.checkpoint=/somewhere/mae.pth',
        'model.backbone.with_cp=True',
        'model.data_preprocessor.pad_mask=True',
        'model.test_cfg.rcnn.score_thr=0.3',
        'model.train_cfg.rcnn.sampler.num=64',
        'randomness.seed=3',
        'randomness.deterministic=True',
        'resume=True',
        'load_from=x.pth',
        'log_level=ERROR',
        'compile=True',
        'custom_hooks=[]',
        'visualizer.vis_backends.0.save_dir=x',
        'auto_scale_lr.enable=True',
        'env_cfg.dist_cfg.backend=gloo',
    ],
)
def test_real_setting_passes(override: str) -> None:
    assert problems(VIT, override) == []


def test_a_new_type_brings_its_own_parameters() -> None:
    assert problems(VIT, 'optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=8.0') == []
    assert problems(CPU, 'optim_wrapper.type=OptimWrapper', 'optim_wrapper.loss_scale=8.0')
    assert problems(VIT, 'optim_wrapper.optimizer.type=SGD') == []
    assert problems(VIT, 'optim_wrapper.optimizer.type=SGD', 'optim_wrapper.optimizer.eps=1')


@pytest.mark.parametrize(
    ('override', 'instead'),
    [
        ('max_iters=10', '`train_cfg.max_iters`'),
        ('scale=(400,300)', '`train_dataloader.dataset.pipeline.2.scale`'),
        ('data_root=/elsewhere/', 'DATA_ROOT'),
        ('vis_backends=[]', '`visualizer.vis_backends`'),
    ],
)
def test_a_name_that_only_serves_inside_the_file_is_no_setting(override: str, instead: str) -> None:
    (problem,) = problems(CPU, override)
    assert instead in problem


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_no_problem_without_overrides(path: Path) -> None:
    assert problems(path) == []


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_unknown_first_step_passes(data: st.DataObject) -> None:
    word = data.draw(st.from_regex(r'[a-z]{3,12}', fullmatch=True))
    written = {'model': {'type': 'MaskRCNN'}, 'train_cfg': {'max_epochs': 3, 'by_epoch': True}}
    known = {'compile', 'launcher', 'resume', 'visualizer', 'model', 'randomness', 'cfg'}
    if word not in known:
        assert len(find_unread_settings(written, {**written, word: 1})) == 1
    assert find_unread_settings(written, {**written, 'resume': True}) == []


def test_keyword_arguments_are_followed_to_the_base_class() -> None:
    class Base:
        def __init__(self, a: int) -> None: ...

    class Open(Base):
        def __init__(self, b: int, **kwargs: int) -> None: ...

    class Closed(Open):
        def __init__(self, c: int) -> None: ...

    assert accepted_by(Open) == ({'a', 'b'}, False)
    assert accepted_by(Closed) == ({'c'}, False)
    assert accepted_by(CheckpointHook).any_other  # it hands **kwargs to what writes the file
    assert not accepted_by(LoggerHook).any_other
    assert 'momentum' in accepted_by(SGD).names
