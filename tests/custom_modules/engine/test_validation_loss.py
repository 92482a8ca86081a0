"""Validation losses: what they are, and that training goes on as without them."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from custom_modules.engine.repeatable import seed_all
from custom_modules.engine.strict_runner import StrictRunner
from custom_modules.engine.validation_loss import (
    ValidationLossHook,
    isolated_random_numbers,
    mean_losses,
    with_annotations,
)

CONFIG = Path(__file__).parents[3] / 'configs' / 'bccd_hybrid_mask_rcnn_cpu.py'
LOAD = {'type': 'LoadLabelMap'}
IMAGE, RESIZE, PACK = ({'type': kind} for kind in ('LoadImageFromFile', 'Resize', 'PackDetInputs'))


@pytest.fixture
def config(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The CPU configuration for two steps on tiny pictures, with three validation images."""
    monkeypatch.setenv('DATA_ROOT', str(tiny_data))
    config = Config.fromfile(CONFIG)
    config.work_dir = str(tmp_path / 'run')
    small = (160, 120)
    config.val_dataloader.dataset.ann_file = 'annotations/train.json'
    for evaluator in config.val_evaluator:
        evaluator.ann_file = str(tiny_data / 'annotations' / 'train.json')
    for part in ('train', 'val'):
        config[f'{part}_dataloader'].num_workers = 0
        config[f'{part}_dataloader'].persistent_workers = False
    config.train_dataloader.batch_size = 1
    config.merge_from_dict(
        {
            'train_dataloader.dataset.pipeline.2.scale': small,
            'val_dataloader.dataset.pipeline.1.scale': small,
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 1,
            'default_hooks.checkpoint': {'type': 'CheckpointHook', 'interval': 99},
            'default_hooks.logger': {'interval': 1, 'log_metric_by_epoch': False},
            'randomness': {'seed': 3},
        }
    )
    config.visualizer.vis_backends = [{'type': 'LocalVisBackend'}]
    return config


def random_state() -> list:
    """Numbers that follow from all three generators without drawing from them."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return [random.getstate(), numpy_state[1].tolist(), torch.get_rng_state().tolist()]


def test_random_numbers_go_on_as_if_nothing_had_happened():
    before = random_state()
    drawn = []
    for _ in range(2):
        with isolated_random_numbers(5):
            drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
    assert random_state() == before
    with pytest.raises(KeyError), isolated_random_numbers(5):
        raise KeyError(random.random())
    assert random_state() == before


def test_annotations_are_loaded_before_the_image_is_resized():
    wanted = [IMAGE, LOAD, RESIZE, PACK]
    assert with_annotations([IMAGE, RESIZE, LOAD, PACK], []) == wanted
    assert with_annotations([IMAGE, RESIZE, PACK], [IMAGE, LOAD, PACK]) == wanted
    with pytest.raises(ValueError, match='give its setting pipeline'):
        with_annotations([IMAGE, PACK], [])


def test_losses_are_the_mean_over_images_and_the_model_stays_as_it_is(config):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}

    def measured(max_images):
        runner = type('R', (), {'cfg': config, 'build_dataloader': Runner.build_dataloader})
        with isolated_random_numbers(0):
            loader = ValidationLossHook(max_images)._build_loader(runner)
            return len(loader.dataset), mean_losses(model, loader), loader

    number, losses, loader = measured(None)
    by_hand = []
    with isolated_random_numbers(0):
        for k, batch in enumerate(loader):
            seed_all(0, k)
            data = model.data_preprocessor(batch, False)
            assert len(data['data_samples'][0].gt_instances.masks) > 0
            by_hand.append(model.parse_losses(model(**data, mode='loss'))[1])
    assert number == len(by_hand) > 1
    assert set(losses) == {f'val_{name}' for name in by_hand[0]}
    for name, value in losses.items():
        expected = np.mean([float(item[name.removeprefix('val_')]) for item in by_hand])
        assert value == pytest.approx(expected, rel=1e-3)
        assert type(value) is float
    parts = [value for name, value in losses.items() if name.startswith('val_loss_')]
    assert len(parts) == 5
    assert losses['val_loss'] == pytest.approx(sum(parts), rel=1e-4)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert measured(1)[0] == 1


@pytest.mark.slow
def test_training_is_the_same_with_it_and_the_log_has_every_value(config, tmp_path):
    weights, metrics = {}, {}
    for name in ('with', 'without'):
        config.work_dir = str(tmp_path / name)
        config.experiment_name = config.visualizer.name = f'validation_loss_{name}'
        config.custom_hooks = [{'type': 'ValidationLossHook', 'max_images': 2}]
        if name == 'without':
            config.custom_hooks = []
        runner = StrictRunner.from_cfg(config)
        runner.train()
        weights[name] = runner.model.state_dict()
        metrics[name] = random_state()
    for name, value in weights['without'].items():
        assert torch.equal(weights['with'][name], value), name
    assert metrics['with'] == metrics['without']

    log = next((tmp_path / 'with').glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    logged = [line for line in lines if 'val_loss' in line]
    assert [line['step'] for line in logged] == [1, 2]
    assert logged[0]['val_loss'] != logged[1]['val_loss']
    assert 'coco/segm_mAP' in logged[0]
    # The last one is that of the final weights alone, not an average over validations.
    runner.model.load_state_dict(weights['with'])
    runner.model.eval()
    with isolated_random_numbers(0):
        loader = ValidationLossHook(2)._build_loader(runner)
        final = mean_losses(runner.model, loader, runner.optim_wrapper)
    assert logged[1]['val_loss'] == pytest.approx(final['val_loss'], rel=1e-6)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match='max_images is 0'):
        ValidationLossHook(max_images=0)
