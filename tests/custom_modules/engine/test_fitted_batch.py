"""What is chosen for a GPU of a given memory, what overrides it, and how want of memory ends."""

import logging
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from custom_modules.engine import fitted_batch, training_memory
from custom_modules.engine.fitted_batch import UNKNOWN, FittedBatch
from custom_modules.engine.training_memory import Memory
from custom_modules.models.mixed_precision import PRECISIONS

CONFIGS = Path(__file__).parents[3] / 'configs'


class Network(nn.Module):
    """What is asked of a model: a device, a precision, a backbone that recomputes or can't."""

    def __init__(self, precision: str = 'bfloat16', recomputes: bool = True) -> None:
        super().__init__()
        self.precision = precision
        self.precision_on = lambda device: precision
        self.backbone = nn.Linear(1, 1)
        if recomputes:
            self.backbone.with_cp = False


@pytest.fixture
def config() -> Config:
    return Config.fromfile(CONFIGS / 'bccd_vitb_mask_rcnn.py')


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):
    """Pretends a GPU with so many GiB free."""

    def pretend(gib: float) -> None:
        monkeypatch.setattr(training_memory, 'free_gib', lambda device: gib)

    return pretend


@pytest.fixture(scope='module')
def counted() -> dict[str, dict[bool, Memory]]:
    """The main configuration's memory by precision, counted once."""
    init_default_scope('mmdet')
    whole = Config.fromfile(CONFIGS / 'bccd_vitb_mask_rcnn.py')
    return {kind: fitted_batch.count(whole, Network(kind)) for kind in PRECISIONS}


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('card', [6, 8, 11, 16, 24, 40, 80])
def test_the_main_configuration_fits_every_card(
    config: Config, gpu, counted: dict, monkeypatch: pytest.MonkeyPatch, card: int, precision: str
) -> None:
    gib = 0.9 * card
    gpu(gib)
    monkeypatch.setattr(fitted_batch, 'count', lambda config, network: counted[network.precision])
    network = Network(precision)
    fitted = FittedBatch(config, network, 16)
    choice = fitted.choice
    assert 1.25 * counted[precision][choice.recompute].of(choice.at_once) <= gib
    assert network.backbone.with_cp == choice.recompute
    assert str(fitted).startswith('Batch of 16 ')
    assert str(fitted).endswith(f'the GPU has {gib:.1f} GiB.')


def test_too_little_memory_is_one_sentence(config: Config, gpu) -> None:
    gpu(1.0)
    with pytest.raises(SystemExit, match=r'^The GPU has 1\.0 GiB free and this model wants') as end:
        FittedBatch(config, Network(), 16)
    sentence = str(end.value)
    assert 'micro_batch.size=1 model.backbone.with_cp=True' in sentence
    assert 'configs/bccd_hybrid_mask_rcnn_cpu.py' in sentence
    assert '\n' not in sentence


@pytest.mark.parametrize(
    ('settings', 'gib', 'expected'),
    [
        ({'micro_batch.size': 3}, 80, (3, False)),
        ({'micro_batch.size': 3}, 5.5, (3, True)),
        ({'micro_batch.size': 64}, 80, (16, False)),
        ({'model.backbone.with_cp': True}, 80, (16, True)),
        ({'model.backbone.with_cp': False}, 6, (1, False)),
        ({'micro_batch.size': 16, 'model.backbone.with_cp': False}, 1, (16, False)),
        ({'micro_batch.size': 2}, 1, (2, True)),
    ],
)
def test_settings_win(config: Config, gpu, settings: dict, gib: float, expected: tuple) -> None:
    config.merge_from_dict(settings)
    gpu(gib)
    network = Network()
    assert FittedBatch(config, network, 16).choice == expected
    assert network.backbone.with_cp == expected[1]


def test_without_a_gpu_the_batch_is_whole(config: Config) -> None:
    assert FittedBatch(config, Network(), 16).choice == (16, False)


def test_a_model_that_cannot_be_counted_trains_whole(config: Config, gpu) -> None:
    config.model = dict(type='NoSuchModel')
    gpu(6)
    fitted = FittedBatch(config, Network(recomputes=False), 16)
    assert fitted.choice == (16, False)
    assert 'micro_batch.size=8' in fitted.out_of_memory(None)


def test_what_the_count_is_made_of(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def count(model: dict, size: tuple, half: bool, recompute: bool) -> Memory:
        asked.append((size, half, recompute))
        return UNKNOWN[recompute]

    monkeypatch.setattr(training_memory, 'training_memory', count)
    fitted_batch.count(config, Network('float32'))
    assert asked == [((960, 1024), False, False), ((960, 1024), False, True)]


@pytest.mark.parametrize(
    ('precision', 'wrapper', 'half'),
    [
        ('float16', 'OptimWrapper', True),
        ('bfloat16', 'OptimWrapper', True),
        ('float32', 'OptimWrapper', False),
        ('float32', 'AmpOptimWrapper', False),
        ('auto', 'AmpOptimWrapper', True),
    ],
)
def test_the_precision_is_the_models(
    config: Config, monkeypatch: pytest.MonkeyPatch, precision: str, wrapper: str, half: bool
) -> None:
    """Of the real model: the attributes that are asked for are there."""
    module = 'custom_modules.models.mixed_precision'
    monkeypatch.setattr(f'{module}.fast_precision', lambda device: 'float32')
    small = Config.fromfile(CONFIGS / 'bccd_hybrid_mask_rcnn_cpu.py').model
    network = MODELS.build({**small, 'precision': precision})
    config.optim_wrapper.type = wrapper
    assert fitted_batch.computes_in_half(config, network) == half


@pytest.mark.parametrize(
    ('setting', 'value'),
    [('size', 0), ('size', 'four'), ('size', 1.5), ('size', True), ('out_of_memory', 'ignore')],
)
def test_a_setting_that_cannot_be_is_one_sentence(
    config: Config, setting: str, value: object
) -> None:
    config.micro_batch[setting] = value
    with pytest.raises(SystemExit, match=rf'^micro_batch\.{setting}={value}: give'):
        FittedBatch(config, Network(), 16)


def test_a_bare_number_is_one_sentence(config: Config) -> None:
    config.merge_from_dict({'micro_batch': 4})
    with pytest.raises(SystemExit, match=r'^micro_batch=4: give micro_batch\.size=4\.$'):
        FittedBatch(config, Network(), 16)


def test_out_of_memory_names_the_next_choice_until_there_is_none(config: Config, gpu) -> None:
    gpu(80)
    config.micro_batch.out_of_memory = 'smaller'
    fitted = FittedBatch(config, Network(), 16)
    sentence = fitted.out_of_memory('work_dirs/x/epoch_3.pth')
    assert sentence.startswith('Out of memory with 16 of 16 images at once: set ')
    assert 'micro_batch.size=8 (--cfg-options or OPTS) and resume from ' in sentence
    assert 'work_dirs/x/epoch_3.pth' in sentence
    assert 'resume' not in fitted.out_of_memory(None)
    logger, sizes = logging.getLogger('quiet'), []
    while (size := fitted.smaller(logger)) is not None:
        sizes.append((size, fitted.backbone.with_cp))
    assert sizes[0] == (8, False)
    assert sizes[-1] == (1, True)
    assert 'which is the least: end what else runs on the GPU' in fitted.out_of_memory(None)


def test_it_stops_unless_asked_to_go_on(config: Config) -> None:
    assert FittedBatch(config, Network(), 16).smaller(logging.getLogger('quiet')) is None


def test_free_memory_is_a_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert training_memory.free_gib(torch.device('cpu')) is None
    monkeypatch.setattr('torch.cuda.mem_get_info', lambda device: (3 * 2**30, 16 * 2**30))
    monkeypatch.setattr('torch.cuda.memory_reserved', lambda device: 2**30)
    assert training_memory.free_gib(torch.device('cuda')) == 4.0
