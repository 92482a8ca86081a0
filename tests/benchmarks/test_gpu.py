"""The GPU benchmark where there is no GPU: its page has its rows, and it says what it wants."""

import pytest
import torch

from benchmarks import gpu
from benchmarks.harness import ROOT
from benchmarks.model import batch, training_step
from cellkit.errors import UserError


def test_the_page_has_the_programs_rows() -> None:
    text = (ROOT / 'docs/gpu.md').read_text(encoding='utf-8')
    table = text.partition('<!-- gpu:begin -->')[2].partition('<!-- gpu:end -->')[0]
    lines = [line.strip('| ').split(' | ') for line in table.splitlines() if line[:2] == '| ']
    assert lines[0] == gpu.HEADER
    assert [line[:3] for line in lines[1:]] == [
        [precision, gpu.BLOCKS[again], str(images)] for precision, again, images in gpu.STEPS
    ]


def test_a_row() -> None:
    found = gpu.Measured(seconds=0.25, kept=11.12)
    wanted = ['bfloat16', 'recomputed', '4', '0.25', '16.0', '11.1', '11.0']
    assert gpu.row('bfloat16', True, 4, 11.04, found) == wanted
    assert gpu.row('float32', False, 4, 15.6, None)[3:] == ['out of memory', '', '', '15.6']


def test_without_a_gpu_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(UserError, match='there is no GPU; `python -m benchmarks model`'):
        gpu.run()


def test_a_step_tells_when_its_forward_pass_is_done() -> None:
    seen: list[bool] = []
    way = training_step(
        'bccd_hybrid_mask_rcnn_cpu',
        {},
        batch((96, 128), 1, pitch=32),
        'cpu',
        lambda: seen.append(torch.is_grad_enabled()),
    )
    way.run()
    way.run()
    assert seen == [True, True]
