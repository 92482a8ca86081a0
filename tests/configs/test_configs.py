"""Every config loads, says how to run it, and keeps the promises of the project."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import RUNNERS, init_default_scope

from custom_modules import MapLayerNorm, WindowedViT
from custom_modules.engine.custom_keys import check_custom_keys
from custom_modules.models.encoders.shape import CONFIGS as SHAPES
from custom_modules.models.encoders.shape import shape_of

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(
    path
    for path in (ROOT / 'configs').rglob('*.py')
    if path.relative_to(ROOT / 'configs').parts[0] not in ('_base_', 'pretrain', 'tune')
)


def by_name(path: Path) -> str:
    return path.stem


def test_there_are_configs() -> None:
    assert {'bccd_vitb_mask_rcnn', 'bccd_hybrid_mask_rcnn_cpu'} <= set(map(by_name, CONFIGS))


@pytest.mark.parametrize('path', CONFIGS, ids=by_name)
def test_opens_with_a_comment_and_the_command(path: Path) -> None:
    head = path.read_text().split('_base_')[0]
    assert all(line.startswith('#') for line in head.strip().splitlines())
    assert 'make ' in head or 'mim train mmdet configs/' in head


def each(settings: object) -> list:
    """Those of all stages of a cascade, or the only ones."""
    return settings if isinstance(settings, list) else [settings]


@pytest.mark.parametrize('path', CONFIGS, ids=by_name)
def test_dense_images_fit(path: Path) -> None:
    config = Config.fromfile(path)
    model = config.model
    assert model.test_cfg.rcnn.max_per_img >= 300
    assert model.test_cfg.rpn.max_per_img >= model.test_cfg.rcnn.max_per_img
    heads = [*each(model.roi_head.bbox_head), model.roi_head.mask_head]
    assert {head.num_classes for head in heads} == {1}
    assert 'Pad' not in [step.type for step in config.test_dataloader.dataset.pipeline]


@pytest.mark.parametrize('path', CONFIGS, ids=by_name)
def test_test_images_stay_out_of_training_and_selection(path: Path) -> None:
    config = Config.fromfile(path)
    loaders = {part: config[f'{part}_dataloader'].dataset for part in ('train', 'val', 'test')}
    if loaders['train'].type == 'SyntheticSmears':
        del loaders['train']  # reads no file
    for part, dataset in loaders.items():
        assert dataset.ann_file == f'annotations/{part}.json'
    assert all(metric.ann_file.endswith('val.json') for metric in config.val_evaluator)
    assert all(metric.ann_file.endswith('test.json') for metric in config.test_evaluator)


def test_the_report_s_figures_stand_in_the_main_config() -> None:
    config = Config.fromfile(ROOT / 'configs/bccd_vitb_mask_rcnn.py')
    assert config.train_cfg.max_epochs == 20
    assert config.train_dataloader.batch_size == 16
    assert config.optim_wrapper.optimizer.lr == 1e-3
    assert config.optim_wrapper.optimizer.type == 'AdamW'


def test_heads_and_decay_of_the_vitb_are_vitdet_s() -> None:
    """Li et al., ECCV 2022, appendix: convolutions with LayerNorm, no decay of norms and biases."""
    config = Config.fromfile(ROOT / 'configs/bccd_vitb_mask_rcnn.py')
    init_default_scope('mmdet')
    with torch.device('meta'):
        model = MODELS.build(config.model)
    heads = model.roi_head
    for convs in (heads.bbox_head.shared_convs, heads.mask_head.convs):
        assert [type(layer.norm) for layer in convs] == [MapLayerNorm] * 4
        assert all(layer.conv.bias is None for layer in convs)
    assert len(heads.bbox_head.shared_fcs) == 1
    assert len(model.rpn_head.rpn_conv) == 2
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    groups = {id(p): group for group in optimizer.param_groups for p in group['params']}
    assert len(groups) == sum(1 for _ in model.parameters())
    for name, parameter in model.named_parameters():
        group = groups[id(parameter)]
        free = name.endswith('bias') or parameter.ndim == 1 or 'pos_embed' in name
        assert group['weight_decay'] == (0 if free else 0.1), name
        if not name.startswith('backbone.'):
            assert group['lr'] == 1e-3


def shallow(config: Config, data_root: Path) -> Config:
    """The same experiment on one small image, a block or two deep, from scratch."""
    backbone = config.model.backbone
    backbone.init_cfg = None
    if backbone.type == 'WindowedViT':
        arch = WindowedViT.arch_zoo[backbone.arch] if isinstance(backbone.arch, str) else None
        backbone.arch = dict(arch or backbone.arch, num_layers=1)
        backbone.global_blocks = ()  # windows are what is special
    config.model.train_cfg.rpn_proposal.max_per_img = 40
    for stage in each(config.model.train_cfg.rcnn):
        stage.sampler.num = 16
    config.model.test_cfg.rpn.max_per_img = config.model.test_cfg.rcnn.max_per_img = 20
    dataset = config.train_dataloader.dataset
    if dataset.type == 'SyntheticSmears':
        dataset.size = (160, 128)
    else:
        dataset.update(data_root=str(data_root), indices=1)
    for part in (config.train_dataloader, config.test_dataloader):
        for step in part.dataset.get('pipeline', ()):
            if step.type in ('Resize', 'RandomResize'):
                step.scale = (160, 128)
            if step.type == 'RandomChoiceResize':
                step.scales = [(160, 128)]
            if step.type == 'StainNormalize':
                step.reference = str(data_root / 'stain/reference.json')
    config.test_dataloader.dataset.update(data_root=str(data_root), indices=1)
    return config


STEPPED: dict[str, Path] = {}
"""Configs whose step was taken, by all that it hangs on."""


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=by_name)
def test_takes_a_step_and_predicts(path: Path, tiny_data: Path) -> None:
    torch.manual_seed(0)
    init_default_scope('mmdet')
    config = Config.fromfile(path)
    of_a_step = [config.model, config.optim_wrapper.to_dict()]
    of_a_step += [config[f'{part}_dataloader'].dataset for part in ('train', 'test')]
    if (same := STEPPED.setdefault(str(of_a_step), path)) != path:
        pytest.skip(f'schedule or hooks alone differ from {same.name}')
    config = shallow(config, tiny_data)
    model = MODELS.build(config.model)
    names = [name for name, _ in model.named_parameters()]
    check_custom_keys(config.optim_wrapper.get('paramwise_cfg'), names)
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    optimizer.optimizer.param_groups[0]['lr'] = 1e-3  # the first layers' is next to nothing
    first = next(model.backbone.parameters())
    before = first.detach().clone()
    train, test = (
        DATASETS.build(loader.dataset)
        for loader in (config.train_dataloader, config.test_dataloader)
    )
    model.train()
    losses = model.train_step(pseudo_collate([train[0]]), optimizer)
    assert all(torch.isfinite(value).all() for value in losses.values())
    assert not first.equal(before)
    model.eval()
    with torch.no_grad():
        (found,) = model.test_step(pseudo_collate([test[0]]))
    assert torch.isfinite(found.pred_instances.scores).all()


def vits() -> list[Path]:
    return [path for path in CONFIGS if path.stem in SHAPES]


def test_each_encoder_s_config_is_known_by_its_shape() -> None:
    assert {path.stem for path in vits()} == set(SHAPES)


@pytest.mark.parametrize('path', vits(), ids=by_name)
def test_backbones_are_of_the_shape_that_is_looked_for(path: Path) -> None:
    init_default_scope('mmdet')
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(path).model.backbone)
    assert shape_of(model.state_dict()) == SHAPES[path.stem]


def shrink(config: Config, data_root: Path, work_dir: Path) -> Config:
    """The same experiment on one small image, from scratch, for one step."""
    config.work_dir = str(work_dir)
    loader = config.train_dataloader
    loader.update(batch_size=1, num_workers=0, persistent_workers=False)
    loader.dataset.update(data_root=str(data_root), indices=1)
    for step in loader.dataset.pipeline:
        if step.type == 'RandomResize':
            step.scale = (160, 128)
    config.model.backbone.init_cfg = None
    config.train_cfg.max_epochs = 1
    for part in ('val', 'test'):
        for kind in ('dataloader', 'evaluator', 'cfg'):
            config[f'{part}_{kind}'] = None
    config.visualizer.vis_backends = []
    return config


@pytest.mark.slow
def test_one_real_step_of_the_vitb(tiny_data: Path, tmp_path: Path) -> None:
    config = Config.fromfile(ROOT / 'configs/bccd_vitb_mask_rcnn.py')
    init_default_scope('mmdet')
    runner = RUNNERS.build(shrink(config, tiny_data, tmp_path))
    model = runner.model
    before = {name: value.clone() for name, value in model.named_parameters()}
    runner.train()
    assert runner.iter == 1
    moved = {name for name, new in model.named_parameters() if not torch.equal(new, before[name])}
    assert moved >= {
        'backbone.patch_embed.projection.weight',
        'backbone.layers.0.attn.qkv.weight',
        'backbone.layers.11.ffn.layers.1.weight',
        'neck.levels.0.1.weight',
        'rpn_head.rpn_cls.weight',
        'roi_head.bbox_head.shared_convs.0.ln.weight',
        'roi_head.bbox_head.fc_cls.weight',
        'roi_head.mask_head.conv_logits.weight',
    }
    assert all(torch.isfinite(value).all() for value in model.parameters())
    scales = {group['lr_scale'] for group in runner.optim_wrapper.optimizer.param_groups}
    assert [min(scales), max(scales)] == pytest.approx([0.7**13, 1])
    assert len(runner.optim_wrapper.optimizer.param_groups) <= 2 * 14


@pytest.mark.slow
def test_drawn_smears_train_a_step_and_validate(tiny_data: Path, tmp_path: Path) -> None:
    config = Config.fromfile(ROOT / 'configs/box_hybrid_mask_rcnn.py')
    init_default_scope('mmdet')
    config.work_dir = str(tmp_path)
    config.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    config.val_dataloader.update(num_workers=0, persistent_workers=False)
    config.val_dataloader.dataset.update(data_root=str(tiny_data), indices=1)
    for evaluator in config.val_evaluator:
        evaluator.ann_file = str(tiny_data / 'annotations/val.json')
    config.train_cfg.update(max_iters=1, val_interval=1)
    config.default_hooks.checkpoint.interval = 1
    config.visualizer.vis_backends = []
    runner = RUNNERS.build(config)
    before = {name: value.clone() for name, value in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 1
    moved = {name for name, new in runner.model.named_parameters() if not new.equal(before[name])}
    assert {'rpn_head.rpn_cls.weight', 'roi_head.mask_head.conv_logits.weight'} <= moved
    assert any(key.endswith('segm_mAP') for key in runner.message_hub.log_scalars)
