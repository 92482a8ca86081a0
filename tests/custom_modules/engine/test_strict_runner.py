"""The strict runner on a model of one weight: what it says and what it resumes from."""

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import nn

from cellkit.errors import UserError
from custom_modules.engine import strict_runner
from custom_modules.engine.strict_runner import (
    StrictRunner,
    pretrained_settings,
    warmup_iterations,
    warmup_warning,
)

CONFIG = """
model = dict(type='OneWeight')
train_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True), dataset=dict(type='Numbers', length=2))
val_dataloader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False), dataset=dict(type='Numbers', length=1))
val_evaluator = dict(type='Steps')
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
default_hooks = dict(checkpoint=dict(
    type='CheckpointHook', interval=1, save_best='steps', rule='greater', max_keep_ckpts=1))
log_level = 'ERROR'
default_scope = 'mmengine'
"""


@DATASETS.register_module(force=True)
class Numbers(BaseDataset):
    """As many numbers as asked for."""

    def __init__(self, length: int, missing: str | None = None, bad: int = -1) -> None:
        if missing:
            raise FileNotFoundError(f'{missing} is not there: run `make prepare`.')
        self.length, self.bad = length, bad
        super().__init__(serialize_data=False)

    def prepare_data(self, idx: int) -> dict:
        if idx == self.bad:
            raise UserError(f"{idx}.png can't be read as an image: replace it")
        return super().prepare_data(idx)

    def load_data_list(self) -> list[dict]:
        return [{'number': float(i)} for i in range(self.length)]


@MODELS.register_module(force=True)
class OneWeight(BaseModel):
    """Counts its training steps."""

    def __init__(
        self, init_cfg: dict | None = None, most: int = 100, fails_after: int = 100
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.most, self.fails_after = most, fails_after
        self.line = nn.Linear(1, 1)
        self.register_buffer('steps', torch.zeros(()))

    def forward(self, number: torch.Tensor, sample_idx: torch.Tensor, mode: str = 'tensor'):
        if mode == 'loss':
            self.steps += 1
            if len(number) > self.most or self.steps > self.fails_after:
                raise torch.cuda.OutOfMemoryError('CUDA out of memory.')
            return {'loss': self.line(torch.as_tensor(number).view(-1, 1).float()).square().sum()}
        return [float(self.steps)]


@METRICS.register_module(force=True)
class Steps(BaseMetric):
    """A score that grows, as a NumPy scalar, which checkpoints must survive."""

    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list) -> dict:
        import numpy as np

        return {'steps': np.float64(max(results))}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / 'config.py'
    path.write_text(CONFIG)
    config = Config.fromfile(path)
    config.work_dir = str(tmp_path / 'run')
    return config


def start(config: Config, name: str, **settings: object) -> StrictRunner:
    config.merge_from_dict({'experiment_name': name, **settings})
    return StrictRunner.from_cfg(config)


def test_misspelt_override_ends_the_program(config: Config) -> None:
    with pytest.raises(SystemExit, match=r'`optim_wraper.optimizer.lr`.*`optim_wrapper.opt') as end:
        start(config, 'misspelt', **{'optim_wraper.optimizer.lr': 1.0})
    assert '\n' not in str(end.value)
    assert not Path(config.work_dir).exists()


def test_workers_zero_alone_loads_in_the_main_process(config: Config) -> None:
    assert start(config, 'workers').train_dataloader is not None


def test_missing_data_set_is_one_sentence(config: Config) -> None:
    runner = start(config, 'nodata', **{'train_dataloader.dataset.missing': 'x/train.json'})
    with pytest.raises(SystemExit, match=r'^x/train.json is not there: run `make prepare`.$'):
        runner.train()


@pytest.mark.parametrize(
    'source', ['nowhere.pth', 'http://localhost:9/weights.pth', 'garbage.pth', 'cut_short.pth']
)
def test_missing_weights_name_both_ways_out(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('garbage.pth').write_text('<html>not found</html>')
    torch.save(torch.zeros(100_000), 'whole.pth')
    Path('cut_short.pth').write_bytes(Path('whole.pth').read_bytes()[:200_000])
    weights = {'type': 'Pretrained', 'checkpoint': source}
    runner = start(config, f'weights{len(source)}', **{'model.init_cfg': weights})
    with pytest.raises(SystemExit) as end:
        runner.train()
    message = str(end.value)
    assert source in message
    assert 'model.init_cfg.checkpoint=/path/file.pth' in message
    assert 'model.init_cfg=None' in message
    assert '\n' not in message


def test_pretrained_settings_are_found_at_any_depth() -> None:
    weights = {'type': 'Pretrained', 'checkpoint': 'a.pth'}
    neck = {'init_cfg': {'type': 'Xavier'}}
    model = {'init_cfg': None, 'backbone': {'init_cfg': weights}, 'neck': neck}
    assert pretrained_settings(model) == {'model.backbone.init_cfg': 'a.pth'}


def test_resuming_an_empty_folder_starts_afresh(config: Config) -> None:
    runner = start(config, 'afresh', resume=True)
    runner.train()
    assert runner.epoch == 2


def test_missing_checkpoint_is_one_sentence(config: Config) -> None:
    runner = start(config, 'nocheckpoint', load_from='nowhere/best.pth')
    with pytest.raises(SystemExit, match=r'^The checkpoint nowhere/best.pth is not there'):
        runner.train()


def test_a_copied_run_goes_on_from_its_own_checkpoints(config: Config, tmp_path: Path) -> None:
    start(config, 'first').train()
    before = {path.name: path.read_bytes() for path in (tmp_path / 'run').glob('*.pth')}
    assert set(before) == {'epoch_2.pth', 'best_steps_epoch_2.pth'}

    copy = tmp_path / 'copy'
    shutil.copytree(tmp_path / 'run', copy)
    config.work_dir = str(copy)
    runner = start(config, 'second', resume=True, **{'train_cfg.max_epochs': 3})
    runner.train()

    assert (runner.epoch, float(runner.model.steps)) == (3, 6.0)
    assert {path.name for path in copy.glob('*.pth')} == {'epoch_3.pth', 'best_steps_epoch_3.pth'}
    after = {path.name: path.read_bytes() for path in (tmp_path / 'run').glob('*.pth')}
    assert after == before  # the original run is as it was


def test_resuming_needs_no_pretrained_weights(config: Config) -> None:
    start(config, 'trained').train()
    weights = {'type': 'Pretrained', 'checkpoint': 'nowhere.pth'}
    settings = {'model.init_cfg': weights, 'train_cfg.max_epochs': 3}
    runner = start(config, 'resumed', resume=True, **settings)
    runner.train()
    assert runner.epoch == 3


def test_an_interrupted_save_leaves_the_last_checkpoint(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = start(config, 'interrupted')
    runner.train()
    whole = (tmp_path / 'run' / 'epoch_2.pth').read_bytes()

    def cut_off(checkpoint: dict, filename: str, **_: object) -> None:
        Path(filename).write_bytes(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr('mmengine.runner.runner.save_checkpoint', cut_off)
    with pytest.raises(KeyboardInterrupt):
        runner.save_checkpoint(str(tmp_path / 'run'), 'epoch_2.pth')
    assert (tmp_path / 'run' / 'epoch_2.pth').read_bytes() == whole


def test_amp_without_a_gpu_is_one_sentence(config: Config) -> None:
    config.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')  # mim train --amp
    runner = StrictRunner.from_cfg(config)
    with pytest.raises(SystemExit, match=r'--amp.* torch sees none: leave it out; .* in float32'):
        runner.train()


@pytest.mark.parametrize(
    ('precision', 'given', 'kind'),
    [
        ('float16', 'OptimWrapper', 'AmpOptimWrapper'),
        ('bfloat16', 'OptimWrapper', 'OptimWrapper'),
        ('float32', 'OptimWrapper', 'OptimWrapper'),
        ('bfloat16', 'AmpOptimWrapper', 'AmpOptimWrapper'),
    ],
)
def test_float16_on_a_gpu_gets_loss_scaling(
    precision: str, given: str, kind: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = StrictRunner.from_cfg(config)
    runner.model.precision_on = lambda device: precision
    for module in (
        'custom_modules.engine.strict_runner',
        'mmengine.optim.optimizer.amp_optimizer_wrapper',
    ):
        monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    wrapper = runner.build_optim_wrapper({**config.optim_wrapper, 'type': given})
    assert type(wrapper).__name__ == kind


def test_a_batch_in_parts_is_one_iteration(config: Config) -> None:
    settings = {'train_dataloader.batch_size': 2, 'train_dataloader.dataset.length': 3}
    runner = start(config, 'parts', **settings, **{'micro_batch.size': 1})
    runner.train()
    assert runner.iter == 4
    assert float(runner.model.steps) == 6


def test_misspelt_micro_batch_is_refused(config: Config) -> None:
    with pytest.raises(SystemExit, match=r'`micro_batch.sise`, the nearest is `micro_batch.size`'):
        start(config, 'misspeltparts', **{'micro_batch.sise': 1})


def test_out_of_memory_is_one_sentence_and_leaves_the_last_checkpoint(
    config: Config, tmp_path: Path
) -> None:
    settings = {'train_dataloader.batch_size': 2, 'model.fails_after': 1}
    runner = start(config, 'memory', **settings)
    with pytest.raises(SystemExit, match=r'^Out of memory with 2 of 2 images at once: set') as end:
        runner.train()
    sentence = str(end.value)
    last = tmp_path / 'run' / 'epoch_1.pth'
    assert 'set micro_batch.size=1 (--cfg-options or OPTS) and resume from ' in sentence
    assert str(last) in sentence
    assert '\n' not in sentence
    assert torch.load(last, weights_only=False)['meta']['epoch'] == 1
    config.model.fails_after = 100
    again = start(config, 'memorymended', resume=True, **{'micro_batch.size': 1})
    again.train()
    assert again.epoch == 2


def test_out_of_memory_goes_on_with_smaller_parts_if_asked(config: Config) -> None:
    asked = {'micro_batch.out_of_memory': 'smaller', 'model.most': 1}
    settings = {'train_dataloader.batch_size': 4, 'train_dataloader.dataset.length': 4}
    runner = start(config, 'smaller', **settings, **asked)
    runner.train()
    assert runner.iter == 2
    assert float(runner.model.steps) == 1 + 1 + 4 + 4  # 4 and 2 at once don't fit


@pytest.mark.parametrize(
    ('settings', 'each'),
    [
        ({}, 2),
        ({'train_dataloader.batch_size': 8}, 1),
        ({'auto_scale_lr.enable': True}, 16),
    ],
)
def test_processes_share_the_batch(
    config: Config, monkeypatch: pytest.MonkeyPatch, settings: dict, each: int
) -> None:
    config.train_dataloader.batch_size = 16
    config.auto_scale_lr = dict(enable=False, base_batch_size=16)
    monkeypatch.setattr(strict_runner, 'find_unread_settings', lambda *_: [])
    runner = start(config, f'gpus{each}', **settings)
    monkeypatch.setattr(strict_runner, 'get_world_size', lambda: 8)
    loader = dict(batch_size=runner.cfg.train_dataloader.batch_size)
    runner._fit_batch(loader)
    assert loader['batch_size'] == each


@pytest.mark.parametrize(('processes', 'cores', 'workers'), [(1, 2, 2), (2, 4, 2), (4, 2, 1)])
def test_no_more_workers_than_cores(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
    cores: int,
    workers: int,
) -> None:
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.replace('num_workers=0', 'num_workers=8', 1))
    config = Config.fromfile(path)
    config.work_dir = str(tmp_path / 'run')
    monkeypatch.setattr(strict_runner, 'usable_cores', lambda: cores)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', str(processes))
    runner = start(config, f'workers{processes}')
    assert runner._train_dataloader['num_workers'] == workers
    assert runner._val_dataloader['num_workers'] == 0
    asked = start(config, f'asked{processes}', **{'train_dataloader.num_workers': 9})
    assert asked._train_dataloader['num_workers'] == 9


def test_enough_cores_leave_the_workers(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_runner, 'usable_cores', lambda: 16)
    config.train_dataloader.num_workers = 8
    assert start(config, 'cores')._train_dataloader['num_workers'] == 8


@pytest.mark.parametrize('by_epoch', [False, True])
def test_a_training_that_is_mostly_warmup_is_told(
    by_epoch: bool, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    length = config.train_cfg.get('max_epochs') if by_epoch else 100
    scheduler = dict(type='LinearLR', start_factor=0.001, by_epoch=by_epoch, begin=0, end=length)
    runner = start(config, 'warmup', param_scheduler=[scheduler])
    monkeypatch.setattr(runner.logger, 'warning', told.append)
    runner.train()
    (line,) = (line for line in told if 'warm-up' in line)
    warmup = 4 if by_epoch else 100
    assert line.startswith(f'Training has 4 optimiser steps and a warm-up of {warmup}: give it ')
    assert f'{3 * warmup} steps or more' in line
    assert 'param_scheduler.0.end=1' in line
    per_epoch = runner.train_loop.max_iters / runner.train_loop.max_epochs
    assert warmup_iterations(runner.param_schedulers, per_epoch) == warmup


def test_the_main_schedule_is_long_enough() -> None:
    steps = -(-818 // 16) * 20
    assert steps == 1040  # as the schedule's comment says
    assert warmup_warning(steps, 100) is None
    assert warmup_warning(-(-34 // 16) * 20, 100).startswith('Training has 60 optimiser steps')
    assert warmup_warning(300, 100) is None
    assert warmup_warning(10, 0) is None


@pytest.fixture
def turing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model computes in float16, on what MMEngine takes for a GPU."""
    monkeypatch.setattr(OneWeight, 'precision_on', lambda self, device: 'float16', raising=False)
    wrapper = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    for module in ('custom_modules.engine.strict_runner', wrapper):
        monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    monkeypatch.setattr(f'{wrapper}.GradScaler', partial(torch.amp.GradScaler, device='cpu'))


@pytest.mark.usefixtures('turing')
def test_a_model_in_float16_trains_with_scaled_losses_and_resumes_the_scale(config: Config) -> None:
    clipping = {'optim_wrapper.clip_grad': {'max_norm': 0.01, 'error_if_nonfinite': True}}
    runner = start(config, 'scaled', **clipping, **{'optim_wrapper.accumulative_counts': 2})
    line, seen = runner.model.line, []
    for parameter in line.parameters():
        nn.init.ones_(parameter)
    line.bias.register_hook(lambda grad: seen.append(float(grad)))
    runner.train()
    # (w x + b)^2 at x = 0 and 1, accumulated: its gradient is (0 + 4, 2 + 4) / 2.
    assert sorted(seen[:2]) == [2**16 * 1, 2**16 * 2]
    norms, _ = runner.message_hub.get_scalar('train/grad_norm').data
    assert norms[0] == pytest.approx(13**0.5)
    # Two steps along (2, 3) of the clipped length, the second with momentum.
    moved = 0.1 * 0.01 * 2.9 * 2 / 13**0.5
    assert float(line.weight.detach()) == pytest.approx(1 - moved, abs=1e-5)
    runner.optim_wrapper.loss_scaler.update(8.0)
    runner.save_checkpoint(config.work_dir, 'epoch_2.pth')
    again = start(config, 'scaled_again', resume=True)
    again.train()
    assert again.optim_wrapper.loss_scaler.get_scale() == 8


@pytest.mark.usefixtures('turing')
def test_a_run_in_float16_goes_on_where_nothing_needs_scaling(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(config, 'float16').train()
    monkeypatch.delattr(OneWeight, 'precision_on')
    again = start(config, 'bfloat16', resume=True, **{'train_cfg.max_epochs': 3})
    again.train()
    assert type(again.optim_wrapper) is OptimWrapper
    assert again.epoch == 3


@pytest.mark.parametrize('workers', [0, 1])
def test_a_bad_image_in_mid_epoch_is_one_sentence(config: Config, workers: int) -> None:
    loader = {'train_dataloader.num_workers': workers, 'train_dataloader.dataset.bad': 1}
    runner = start(config, f'bad{workers}', **loader)
    with pytest.raises(SystemExit, match=r"^1\.png can't be read as an image: replace it$"):
        runner.train()


def test_an_internal_error_keeps_its_traceback(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(self: Numbers) -> list[dict]:
        raise ValueError('shapes differ')

    monkeypatch.setattr(Numbers, 'load_data_list', fault)
    runner = start(config, 'fault')
    with pytest.raises(ValueError, match='shapes differ'):
        runner.train()


def test_a_bad_value_of_a_setting_is_one_sentence(config: Config) -> None:
    hook = [dict(type='mmdet.ValidationLossHook', max_images=0)]
    with pytest.raises(SystemExit, match='max_images is 0: give 1 or more'):
        start(config, 'badsetting', custom_hooks=hook)


def test_an_unknown_best_value_is_told_before_the_first_step(config: Config) -> None:
    metric = dict(type='Steps', prefix='count')
    settings = {'val_evaluator': metric, 'default_hooks.checkpoint.save_best': 'coco/segm_mAPP'}
    runner = start(config, 'unknownbest', **settings)
    with pytest.raises(SystemExit, match=r'save_best=coco/segm_mAPP: no validation gives this'):
        runner.train()
    assert float(runner.model.steps) == 0


def test_no_validation_needs_one_setting(config: Config) -> None:
    runner = start(config, 'novalidation', val_dataloader=None)
    runner.train()
    assert runner.epoch == 2
    assert runner.val_loop is None


def test_ctrl_c_under_mim_is_one_sentence(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def stop(self: OneWeight, *args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(OneWeight, 'train_step', stop)
    with pytest.raises(KeyboardInterrupt):  # the program that started it says what is left
        start(config, 'ctrlc').train()
    runner = start(config, 'ctrlcmim')
    monkeypatch.setattr('sys.argv', ['tools/train.py'])
    with pytest.raises(SystemExit) as end:
        runner.train()
    assert end.value.code == 130
    assert capsys.readouterr().err.strip().splitlines()[-1] == 'Stopped; no checkpoint.'
