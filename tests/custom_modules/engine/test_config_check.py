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
from custom_modules.engine.config_check import find_unread_in_file, find_unread_settings
from custom_modules.engine.config_check.signatures import accepted_by, keys_taken_from

CONFIGS = Path(__file__).parents[3] / 'configs'
VIT = CONFIGS / 'bccd_vitb_mask_rcnn.py'
CPU = CONFIGS / 'bccd_hybrid_mask_rcnn_cpu.py'
RUN = sorted(
    {*CONFIGS.rglob('*.py')} - {*CONFIGS.glob('_base_/**/*.py'), *CONFIGS.glob('tune/*.py')}
)


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
        ('train_dataloader.dataset.filter_cfg.filter_empty=1', 'filter_cfg.filter_empty_gt'),
        ('train_dataloader.dataset.data_prefix.imgs=x', 'data_prefix.img'),
        ('model.train_cfg.rcnn.sampler.poss_fraction=1', 'rcnn.sampler.pos_fraction'),
        ('model.test_cfg.rcnn.nms.iou_thr=0.5', 'rcnn.nms.iou_threshold'),
        ('model.test_cfg.rcnn.nms_pre=3', 'model.test_cfg.rcnn.nms'),
        ('model.test_cfg.rcnn.nms.type=softnms', 'soft_nms'),
        ('model.train_cfg.rcnn.soft_mask_targets=True', 'rcnn.soft_mask_target'),
        ('optim_wrapper.paramwise_cfg.decay_rate=1', 'paramwise_cfg.layer_decay_rate'),
        ('optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mul=0', 'custom_keys.neck.lr_mult'),
        ('env_cfg.dist_cfg.prot=1', 'env_cfg.dist_cfg.port'),
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
        'env_cfg.dist_cfg.port=29501',
        'model.test_cfg.rcnn.nms.type=soft_nms',
        'model.test_cfg.rcnn.nms.class_agnostic=True',
        'model.test_cfg.rcnn.nms.split_thr=1000',
        'model.train_cfg.rcnn.soft_mask_target=True',
        'model.train_cfg.rpn.sampler.num=128',
        'train_dataloader.dataset.filter_cfg.min_size=32',
        'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0',
        'model.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio=2',
        'default_hooks.checkpoint.save_best=[val_loss,coco/segm_mAP]',
        'model.precision=float32',
        'model.test_cfg.rcnn.score_thr=1',
        'train_dataloader.num_workers=0',
        'optim_wrapper.clip_grad=None',
        'val_dataloader.dataset.pipeline.1.scale=[160,120]',
    ],
)
def test_real_setting_passes(override: str) -> None:
    assert problems(VIT, override) == []


@pytest.mark.parametrize(
    'override',
    [
        'model.train_cfg.rcnn.sampler.foo=1',  # the sampler takes **kwargs, and drops them
        'val_evaluator.0.proposal_nums=(1,2)',
        'val_dataloader.dataset.filter_cfg.filter_empty_gt=True',  # only training is filtered
        'default_hooks.checkpoint.foo=1',  # would fail at the first save
    ],
)
def test_what_a_class_takes_but_never_reads_is_found(override: str) -> None:
    (problem,) = problems(VIT, override)
    assert f'nothing reads `{override.split("=")[0]}`' in problem


def test_soft_nms_brings_its_own_parameters() -> None:
    nms = 'model.test_cfg.rcnn.nms'
    assert problems(VIT, f'{nms}.type=soft_nms', f'{nms}.sigma=0.5') == []
    assert problems(VIT, f'{nms}.sigma=0.5')


def test_the_constructor_decides_what_custom_keys_hold() -> None:
    path = 'optim_wrapper.paramwise_cfg.custom_keys.backbone'
    other = 'optim_wrapper.constructor=mmpretrain.LearningRateDecayOptimWrapperConstructor'
    assert problems(VIT, other, f'{path}.decay_mult=0') == []
    assert f'nothing reads `{path}.lr_mult`' in problems(VIT, other, f'{path}.lr_mult=0')[0]


@pytest.mark.parametrize(
    ('override', 'told'),
    [
        ('optim_wrapper.optimizer.lr=5e-4x', "`optim_wrapper.optimizer.lr='5e-4x'` is text"),
        ('train_cfg.max_epochs=many', 'where a number is wanted'),
        ('resume=maybe', 'where True or False is wanted'),
        ('experiment_name=[a,b]', "`experiment_name=['a', 'b']` is a list where text is wanted"),
        ('train_dataloader.dataset.ann_file=[a,b]', 'where text is wanted'),
        ('model.backbone.with_cp=1', 'is a number where True or False is wanted'),
        ('model.backbone.type=3', 'nothing is called 3'),
        ('model.test_cfg.rcnn.score_thr=low', 'is text where a number is wanted'),
        ('model.backbone.arch=3', 'where text is wanted'),
        ('train_dataloader.batch_size=[4]', 'is a list where a number is wanted'),
    ],
)
def test_a_value_of_another_kind_is_told(override: str, told: str) -> None:
    (problem,) = problems(VIT, override)
    assert told in problem


def in_file(tmp_path: Path, text: str, base: Path = CPU) -> list[str]:
    path = tmp_path / 'mine.py'
    path.write_text(f'_base_ = {str(base)!r}\n{text}\n')
    return find_unread_in_file(path)


@pytest.mark.parametrize(
    ('text', 'nearest'),
    [
        ('optim_wraper = dict(optimizer=dict(lr=1))', '`optim_wrapper.optimizer.lr`'),
        ('optim_wrapper = dict(optimiser=dict(lr=1))', '`optim_wrapper.optimizer.lr`'),
        ('resum = True', '`resume`'),
        ('load_form = "x.pth"', '`load_from`'),
        ('max_iters = 5000', '`train_cfg.max_iters`'),  # the base has used its own already
        ('optimizer = dict(type="SGD", lr=1)', '`optim_wrapper.'),  # as in 2.x
        ('model = dict(test_cfg=dict(rcnn=dict(score_th=0.1)))', 'test_cfg.rcnn.score_thr`'),
        ('train_dataloader = dict(bach_size=1)', '`train_dataloader.batch_size`'),
        ('custom_hooks = [dict(type="EMAHok")]', '`EMAHook`'),
        ('custom_hooks = [dict(type="EMAHook", momentun=0.1)]', '`custom_hooks.0.momentum`'),
        ('custom_hooks = [dict(type="EMAHook", ema_type="MeanWithStart", shar=1)]', '.0.share`'),
    ],
)
def test_a_misspelt_name_in_a_file_is_found(tmp_path: Path, text: str, nearest: str) -> None:
    (problem,) = in_file(tmp_path, text)
    assert nearest in problem


@pytest.mark.parametrize(
    'text',
    [
        'steps = 50\ntrain_cfg = dict(max_iters=steps)',
        'import os\nwork_dir = os.path.join("work_dirs", "mine")',
        'for k in (1, 2):\n    batch = k\ntrain_dataloader = dict(batch_size=batch)',
        'data_root = "elsewhere/"\nval_dataloader = dict(dataset=dict(data_root=data_root))',
        'pipeline = {{_base_.train_pipeline}}\ntrain_dataloader = dict(num_workers=len(pipeline))',
        'custom_hooks = [dict(type="EMAHook")]',
        'custom_hooks = [dict(type="EMAHook", momentum=0.1, begin_epoch=1, priority=40)]',
        'custom_hooks = [dict(type="EMAHook", ema_type="MeanWithStart", share=1, interval=2)]',
        '_note = "tried on Monday"',
        'model = dict(test_cfg=dict(rcnn=dict(nms=dict(type="soft_nms", sigma=0.5))))',
    ],
)
def test_a_variable_that_is_used_is_read(tmp_path: Path, text: str) -> None:
    assert in_file(tmp_path, text) == []


@pytest.mark.parametrize('path', RUN, ids=lambda path: path.stem)
def test_no_problem_in_our_own_files(path: Path, tmp_path: Path) -> None:
    assert find_unread_in_file(path) == []
    dumped = tmp_path / 'dumped.py'  # as a run keeps it
    load(path).dump(dumped)
    assert Config.fromfile(dumped).to_dict() == load(path).to_dict()
    assert find_unread_in_file(dumped) == []


def test_an_inherited_fragment_of_which_nothing_is_used_is_told(tmp_path: Path) -> None:
    path = tmp_path / 'own.py'
    bases = f'_base_ = [{str(CPU)!r}, {str(CONFIGS / "_base_" / "augment" / "optics.py")!r}]\n'
    path.write_text(bases)
    (problem,) = find_unread_in_file(path)
    assert 'nothing of optics.py is used: put *_base_.augment_optics into' in problem
    path.write_text(f'{bases}steps = [*_base_.augment_optics]\nload_from = str(steps)\n')
    assert find_unread_in_file(path) == []


OPTICS = CONFIGS / 'augment' / 'bccd_hybrid_mask_rcnn_cpu_optics.py'
STEPS = 'train_dataloader.dataset.pipeline.7.steps'


@pytest.mark.parametrize(
    ('override', 'told'),
    [
        (f'{STEPS}.2.p=1.0', None),
        (f'{STEPS}.0.transforms.0.sigma_limit=(1.0,3.0)', None),
        (f'{STEPS}.3.type=PlasmaShadow', f'nothing reads `{STEPS}.3.quality_range`'),
        (f'{STEPS}.2.std_rang=(0.1,0.2)', f'the nearest is `{STEPS}.2.std_range`'),
        (f'{STEPS}.0.transforms.1.blur_limitt=3', 'the nearest is'),
        (f'{STEPS}.2.type=GausNoise', 'the nearest is `GaussNoise`'),
        (f'{STEPS}.2.p=often', 'is text where a number is wanted'),
        ('augment_optics.0.min_visible=0.1', 'set `train_dataloader.dataset.pipeline.7` instead'),
    ],
)
def test_steps_of_albumentations_are_settings_like_any_other(
    override: str, told: str | None
) -> None:
    found = problems(OPTICS, override)
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


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


@pytest.mark.parametrize('path', RUN, ids=lambda path: path.stem)
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
        def __init__(self, b: int, **kwargs: int) -> None:
            super().__init__(**kwargs)

    class Closed(Open):
        def __init__(self, c: int) -> None: ...

    assert accepted_by(Open) == ({'a', 'b'}, False)
    assert accepted_by(Closed) == ({'c'}, False)
    assert not accepted_by(CheckpointHook).any_other  # what it keeps fails at the first save
    assert not accepted_by(LoggerHook).any_other
    assert 'momentum' in accepted_by(SGD).names


def test_keywords_that_are_never_used_are_not_taken() -> None:
    class Drops:
        def __init__(self, a: int, **kwargs: int) -> None:
            self.a = a

    class Looks:
        def __init__(self, **kwargs: int) -> None:
            self.b = kwargs.get('b', 1) + kwargs.pop('c', 1) + kwargs['d']

    class Hands(Drops):
        def __init__(self, **kwargs: int) -> None:
            super().__init__(**kwargs)

    assert accepted_by(Drops) == accepted_by(Hands) == ({'a'}, False)
    assert accepted_by(Looks) == ({'b', 'c', 'd'}, False)


def test_keys_taken_from_an_attribute() -> None:
    class Parent:
        cfg: dict

        def one(self) -> int:
            return self.cfg.get('a', 0) + self.cfg['b']

        def two(self) -> int:
            return self.cfg.pop('c')

    class Child(Parent):
        def one(self) -> int:
            return super().one()

        def two(self) -> int:
            return self.cfg.get('d')

    assert keys_taken_from(Parent, 'cfg') == {'a', 'b', 'c'}
    assert keys_taken_from(Child, 'cfg') == {'a', 'b', 'd'}
