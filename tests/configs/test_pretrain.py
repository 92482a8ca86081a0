"""The pretraining configs: they load, take a step, and the detector takes what they leave."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import RUNNERS, DefaultScope, init_default_scope
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from mmpretrain.registry import MODELS as PRETRAINING

from cellkit.errors import UserError
from custom_modules import WindowedViT
from custom_modules.engine.config_check import find_unread_in_file, find_unread_settings

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / 'configs' / 'pretrain').glob('*.py'))
ARCH = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def by_name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize('path', CONFIGS, ids=by_name)
def test_loads_says_how_to_run_it_and_comes_back_from_its_dump(path: Path, tmp_path: Path) -> None:
    config = Config.fromfile(path)
    head = path.read_text().split('_base_')[0]
    assert f'mim train mmpretrain configs/pretrain/{path.name}' in head
    assert not find_unread_in_file(path)
    config.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ('override', 'said'),
    [
        ({'model.backbone.mask_ration': 0.5}, 'the nearest is `model.backbone.mask_ratio`'),
        ({'model.neck.decoder_dept': 1}, 'the nearest is `model.neck.decoder_depth`'),
        ({'train_dataloader.dataset.data_rot': ''}, 'train_dataloader.dataset.data_root'),
        ({'train_dataloader.dataset.pipeline.2.crop_siz': 9}, 'pipeline.2.crop_size'),
        ({'smears': '/x'}, 'set `train_dataloader.dataset.data_root` instead'),
        ({'model.backbone.type': 'MAEVit'}, 'the nearest is `MAEViT`'),
        ({'train_dataloader.dataset.pipeline.0.type': 'LoadSmear'}, 'nothing is called LoadSmear'),
    ],
)
def test_a_wrong_key_is_named(override: dict, said: str) -> None:
    """Names are those of mmpretrain here, where MMDetection's of the same name take other keys."""
    config = Config.fromfile(ROOT / 'configs/pretrain/mae_vitb_smears.py')
    written = config.to_dict()
    config.merge_from_dict(override)
    (problem,) = find_unread_settings(written, config.to_dict())
    assert said in problem


def test_real_overrides_pass() -> None:
    config = Config.fromfile(ROOT / 'configs/pretrain/mae_vitb_smears.py')
    written = config.to_dict()
    config.merge_from_dict({
        'model.backbone.mask_ratio': 0.6, 'model.backbone.drop_path_rate': 0.1,
        'model.head.norm_pix': False, 'train_dataloader.dataset.pipeline.2.pad_val': 255,
    })  # fmt: skip
    assert find_unread_settings(written, config.to_dict()) == []


def small(path: Path, folder: Path) -> Config:
    """The same training with a tiny encoder, two steps of two crops."""
    config = Config.fromfile(path)
    model = config.model
    model.backbone.arch = ARCH
    model.neck.update(embed_dim=48, decoder_embed_dim=24, decoder_depth=1, decoder_num_heads=2)
    loader = config.train_dataloader
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    if loader.dataset.type == 'mmdet.SmearFolder':
        loader.dataset.data_root = str(folder / 'smears')
        (folder / 'smears').mkdir()
        noise = np.random.default_rng(0).integers(0, 255, (90, 400, 3), np.uint8)
        cv2.imwrite(str(folder / 'smears' / 'long.png'), noise)  # lower than a crop
    config.train_cfg.max_iters = config.default_hooks.checkpoint.interval = 2
    config.param_scheduler = None
    config.visualizer.vis_backends = []
    config.work_dir = str(folder / 'run')
    return config


def ready(checkpoint: Path, **more: object) -> WindowedViT:
    init_default_scope('mmdet')
    init = dict(type='PretrainedEncoder', checkpoint=str(checkpoint))
    backbone = dict(type='WindowedViT', arch=ARCH, img_size=224, window_size=0) | more
    model = MODELS.build(backbone | dict(init_cfg=init))
    model.init_weights()
    model.eval()  # mmpretrain's backbones return None here
    return model


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=by_name)
def test_two_steps_and_the_detector_s_encoder_is_the_one_they_left(
    path: Path, tmp_path: Path
) -> None:
    config = small(path, tmp_path)
    runner = RUNNERS.build(config)
    before = runner.model.backbone.layers[1].attn.qkv.weight.clone()
    runner.train()
    file = tmp_path / 'run' / 'iter_2.pth'
    assert not runner.model.backbone.layers[1].attn.qkv.weight.equal(before)

    model = ready(file)
    state = model.state_dict()
    taken = runner.model.backbone.state_dict()
    fixed = build_2d_sincos_position_embedding(14, 48, cls_token=False).float()
    assert torch.equal(state['pos_embed'], fixed)
    assert set(taken) - set(state) == {'cls_token', 'ln1.weight', 'ln1.bias'}
    assert set(state) <= set(taken)
    for name in set(state) - {'pos_embed'}:
        assert torch.equal(state[name], taken[name]), name

    picture = torch.rand(1, 3, 224, 224)
    own = runner.model.backbone
    x = own.patch_embed(picture)[0] + own.pos_embed[:, 1:]
    for layer in own.layers:
        x = layer(x)
    (seen,) = model(picture)
    torch.testing.assert_close(seen.flatten(2).transpose(1, 2), x, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_vit_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    config = Config.fromfile(ROOT / 'configs/pretrain/mae_vitti_smears.py')
    model = PRETRAINING.build(config.model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'mae.pth')
    with pytest.raises(UserError, match=r'take configs/bccd_vitti_mask_rcnn_cpu\.py'):
        ready(tmp_path / 'mae.pth')


@pytest.mark.parametrize(
    ('pretraining', 'detector'),
    [('mae_vitb_smears', 'bccd_vitb_mask_rcnn'), ('mae_vitti_smears', 'bccd_vitti_mask_rcnn_cpu')],
)
def test_both_get_the_same_pixels(pretraining: str, detector: str) -> None:
    """In the same order and range: else the detector starts from weights for other pictures."""
    pixels = torch.randint(0, 256, (3, 224, 224), dtype=torch.uint8)
    config = Config.fromfile(ROOT / f'configs/pretrain/{pretraining}.py')
    ours = PRETRAINING.build(config.model.data_preprocessor)
    found = ours(dict(inputs=pixels[None], data_samples=[None]), True)['inputs'][0]
    with DefaultScope.overwrite_default_scope('mmdet'):
        detects = Config.fromfile(ROOT / f'configs/{detector}.py').model.data_preprocessor
        theirs = MODELS.build(detects)
    torch.testing.assert_close(found, theirs(dict(inputs=[pixels]), False)['inputs'][0])


def test_it_computes_in_bfloat16_without_a_gpu_and_loses_little() -> None:
    config = Config.fromfile(ROOT / 'configs/pretrain/mae_vitti_smears.py')
    config.model.backbone.arch = ARCH
    config.model.neck.update(embed_dim=48, decoder_embed_dim=24, decoder_depth=1)
    config.model.neck.decoder_num_heads = 2
    pictures = torch.randint(0, 255, (2, 3, 224, 224), dtype=torch.uint8)
    losses, kinds = [], []
    for precision in ('float32', 'bfloat16'):
        config.model.precision = precision
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        model.backbone.layers[0].attn.qkv.register_forward_hook(
            lambda module, args, out: kinds.append(out.dtype)
        )
        torch.manual_seed(1)  # the same mask
        data = model.data_preprocessor(dict(inputs=pictures, data_samples=[None, None]), True)
        losses.append(model(**data, mode='loss')['loss'])
    assert kinds == [torch.float32, torch.bfloat16]
    assert losses[1].dtype == torch.float32
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.01)
