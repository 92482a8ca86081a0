"""How processes are started and agree; ``tests/test_distributed.py`` starts some."""

import pytest
import torch
from mmengine.device import get_device
from torch import nn

from cellkit.errors import UserError
from custom_modules.engine import processes
from custom_modules.engine.processes import (
    by_first,
    check_gpus,
    mean_of_processes,
    running_statistics,
    starting,
    wrapper_on_cpu,
)


@pytest.mark.skipif(get_device() != 'cpu', reason='a GPU is used where there is one')
def test_without_a_gpu_processes_talk_through_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
        monkeypatch.setenv(name, '0')
    before, settings = torch.cuda.set_device, {'dist_cfg': {'backend': 'nccl', 'timeout': 60}}
    with starting('pytorch', settings) as found:
        torch.cuda.set_device(3)  # as MMEngine does
        assert found['dist_cfg'] == {'backend': 'gloo', 'timeout': 60}
    assert torch.cuda.set_device is before
    assert settings['dist_cfg']['backend'] == 'nccl'  # the run may go on on GPUs
    with starting('none', settings) as found:
        assert found is settings


@pytest.mark.parametrize(
    ('launcher', 'missing'), [('pytorch', 'RANK.*torchrun'), ('slurm', 'SLURM_PROCID.*srun')]
)
def test_a_launcher_that_started_nothing_is_one_sentence(
    launcher: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('RANK', raising=False)
    with (
        pytest.raises(UserError, match=f'--launcher {launcher} reads {missing}'),
        starting(launcher, {}),
    ):
        pass


def test_processes_that_do_not_meet_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
        monkeypatch.setenv(name, '0')
    with (
        pytest.raises(UserError, match=r'the port is taken.*--master-port'),
        starting('pytorch', {}),
    ):
        raise torch.distributed.DistNetworkError('the port\nis taken')


def test_more_processes_than_gpus_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('LOCAL_RANK', '1')
    check_gpus()
    monkeypatch.setenv('LOCAL_RANK', '2')
    with pytest.raises(UserError, match='has 2 GPUs and more processes'):
        check_gpus()


def test_a_wrapper_on_the_cpu_names_no_device() -> None:
    assert wrapper_on_cpu({})['device_ids'] is None
    own = {'model_wrapper_cfg': {'type': 'MMDistributedDataParallel', 'static_graph': True}}
    assert wrapper_on_cpu(own) == {**own['model_wrapper_cfg'], 'device_ids': None}
    with pytest.raises(UserError, match='sync_bn=torch needs GPUs'):
        wrapper_on_cpu({'sync_bn': 'torch'})


def test_all_end_with_the_first_one_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list = []
    monkeypatch.setattr(processes, 'get_world_size', lambda: 2)

    def broadcast(values: list) -> None:
        if told:
            values[:] = told[0]
        else:
            told.append(list(values))

    monkeypatch.setattr(processes, 'broadcast_object_list', broadcast)

    def fail() -> str:
        raise UserError('the folder holds another run')

    for action, first in ((lambda: 'found', True), (fail, False)):
        told.clear()
        monkeypatch.setattr(processes, 'is_main_process', lambda: True)
        if first:
            assert by_first(action) == 'found'
        else:
            with pytest.raises(UserError):
                by_first(action)
        monkeypatch.setattr(processes, 'is_main_process', lambda: False)
        if first:
            assert by_first(fail) == 'found'  # which it never calls
        else:
            with pytest.raises(SystemExit) as ended:
                by_first(action)
            assert ended.value.code == 1  # in silence


def test_one_process_keeps_its_values() -> None:
    values = {'loss': torch.tensor(2.0)}
    assert mean_of_processes(values) is values
    assert by_first(lambda: 5) == 5


def test_statistics_are_those_that_a_step_moves() -> None:
    model = nn.Sequential(
        nn.BatchNorm2d(3), nn.BatchNorm2d(3).eval(), nn.GroupNorm(1, 3),
        nn.BatchNorm1d(4, track_running_stats=False),
    )  # fmt: skip
    found = running_statistics(model)
    assert [id(value) for value in found] == [id(model[0].running_mean), id(model[0].running_var)]
