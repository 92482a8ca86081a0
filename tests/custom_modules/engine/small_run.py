"""What the tests of runs train: a model of one weight, on three numbers."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import nn

from custom_modules.engine.strict_runner import StrictRunner

CONFIG = """
model = dict(type='Line')
train_dataloader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True), dataset=dict(type='FewNumbers'))
val_dataloader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False), dataset=dict(type='FewNumbers'))
val_evaluator = dict(type='Rising')
train_cfg = dict(by_epoch=True, max_epochs=3)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
default_hooks = dict(checkpoint=dict(
    type='CheckpointHook', interval=1, save_best='rising', rule='greater', max_keep_ckpts=1))
log_level = 'ERROR'
default_scope = 'mmengine'
"""


class Killed(BaseException):
    """Nothing may catch it."""


@DATASETS.register_module(force=True)
class FewNumbers(BaseDataset):
    def __init__(self) -> None:
        super().__init__(serialize_data=False)

    def load_data_list(self) -> list[dict]:
        return [{'number': float(i)} for i in range(3)]


@MODELS.register_module(force=True)
class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, number: torch.Tensor, sample_idx: torch.Tensor, mode: str = 'tensor'):
        noise = torch.rand(())  # the step's random numbers matter
        loss = self.line(torch.as_tensor(number).view(-1, 1).float() + noise).square().mean()
        return {'loss': loss} if mode == 'loss' else [0.0]


@METRICS.register_module(force=True)
class Rising(BaseMetric):
    rounds = 0

    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list) -> dict:
        Rising.rounds += 1
        return {'rising': float(Rising.rounds)}


EPOCHS = 'by_epoch=True, max_epochs=3'


def start(
    tmp_path: Path,
    name: str,
    folder: str = 'run',
    loop: str = EPOCHS,
    more: str = '',
    **settings: object,
) -> StrictRunner:
    """A runner that has not begun; ``name`` is one that no other test gives.

    ``more`` is written into its config file.
    """
    file = tmp_path / 'config.py'
    file.write_text(CONFIG.replace(EPOCHS, loop) + more)
    config = Config.fromfile(file)
    given = {'experiment_name': name, 'work_dir': str(tmp_path / folder)}
    config.merge_from_dict(given | settings)
    return StrictRunner.from_cfg(config)
