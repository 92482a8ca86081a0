"""Two processes on the CPU: they train, validate, stop and resume as one does."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from benchmarks.survival import CONFIG
from cellkit.files.run_folder import LOCK

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
STEPS = 6
EDITS = {
    'batch_size=1': 'batch_size=2',
    'max_iters=24': f'max_iters={STEPS}',
    'T_max=24': f'T_max={STEPS}',
    'end=8': 'end=2',
    'interval=4,': 'interval=2,',
    "save_best='val_loss', rule='less'": 'save_best=None',
}


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps of batches of two, an image at a time."""
    text = CONFIG + 'micro_batch = dict(size=1)\n'
    for old, new in EDITS.items():
        assert old in text
        text = text.replace(old, new)
    file = tmp_path_factory.mktemp('config') / 'two.py'
    file.write_text(text)
    return file


class Start:
    """Starts torchrun or a plain process; ends what is left."""

    def __init__(self, data: Path) -> None:
        self.env = {**os.environ, 'DATA_ROOT': str(data), 'OMP_NUM_THREADS': '1'}
        self.env['PYTHONPATH'] = str(ROOT)
        self.started: list[psutil.Process] = []

    def __call__(
        self, processes: int, script: str, *args: str | Path, options: tuple[str, ...] = ()
    ) -> subprocess.Popen:
        import mmdet

        launcher = ['-m', 'torch.distributed.run', f'--nproc-per-node={processes}', '--standalone']
        file = Path(mmdet.__file__).parent / '.mim' / 'tools' / script
        command = [sys.executable, *(launcher if processes > 1 else []), file, *args]
        command += ['--launcher', 'pytorch'] if processes > 1 else []
        command += ['--cfg-options', *options] if options else []
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(psutil.Process(process.pid))
        return process

    def done(self, *args: object, **kw: object) -> str:
        """The output of a process that has to end well."""
        process = self(*args, **kw)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output

    def end(self) -> None:
        """Kills what is left."""
        for process in self.started:
            if process.is_running():
                kill(process)


def kill(process: psutil.Process) -> None:
    """The launcher and all that it started."""
    for one in (*process.children(recursive=True), process):
        one.kill()


@pytest.fixture(scope='module')
def start(tiny_data: Path) -> Iterator[Start]:
    starter = Start(tiny_data)
    yield starter
    starter.end()


@pytest.fixture(scope='module')
def trained(start: Start, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes."""
    run = tmp_path_factory.mktemp('trained') / 'two'
    output = start.done(2, 'train.py', config, '--work-dir', run)
    assert '2 processes take 1 image each: a batch is 2.' in output
    return run


def lines(run: Path, key: str = 'loss') -> dict[int, dict]:
    """What was logged, by step."""
    found = {}
    for file in sorted(run.glob('*/vis_data/scalars.json')):
        entries = [json.loads(line) for line in file.read_text().splitlines()]
        found |= {entry['step']: entry for entry in entries if key in entry}
    return found


def figures(folder: Path) -> dict[str, float]:
    """Those that a test wrote."""
    (file,) = folder.glob('2*/*.json')
    values = json.loads(file.read_text())
    return {key: value for key, value in values.items() if 'time' not in key}


def test_two_do_the_steps_of_one(start: Start, config: Path, trained: Path, tmp_path: Path) -> None:
    """An image at a time, so that the losses divide by the same samples."""
    start.done(1, 'train.py', config, '--work-dir', tmp_path / 'one')
    one, two = lines(tmp_path / 'one'), lines(trained)
    assert len(one) == len(two) == STEPS
    for step, entry in one.items():
        losses = {key: value for key, value in entry.items() if 'loss' in key}
        assert {key: two[step][key] for key in losses} == pytest.approx(losses, rel=1e-4)


def test_figures_are_those_of_one_process(
    start: Start, config: Path, trained: Path, tmp_path: Path
) -> None:
    """Four images and three processes: two of them see an image again."""
    part = ('test_dataloader.dataset.ann_file=annotations/train.json',)
    part += tuple(
        f'test_evaluator.{k}.ann_file={start.env["DATA_ROOT"]}/annotations/train.json'
        for k in range(2)
    )
    found = []
    for processes in (1, 3):
        out = tmp_path / str(processes)
        last = trained / f'iter_{STEPS}.pth'
        start.done(processes, 'test.py', config, last, '--work-dir', out, options=part)
        found.append(repr(figures(out)))
    assert 'coco/segm_mAP' in found[0]
    assert found[0] == found[1]


def test_the_first_process_alone_writes(trained: Path) -> None:
    assert not (trained / LOCK).exists()
    assert not list(trained.glob('*.part'))
    assert len(list(trained.glob('2*'))) == 1
    assert len(list(trained.glob('2*/*.log'))) == 1
    assert len(list(trained.glob('2*/vis_data/events.*'))) == 1
    (begun,) = json.loads((trained / 'run.json').read_text())['starts']
    assert begun['processes'] == 2


def wait_for_step(process: subprocess.Popen, run: Path, step: int) -> None:
    deadline = time.monotonic() + 200
    while not any(
        int(number) >= step
        for file in run.glob('*/*.log')
        for number in re.findall(r'Iter\(train\) \[ *(\d+)/', file.read_text())
    ):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_pair_goes_on_to_the_same_weights(
    start: Start, config: Path, trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / 'run'
    process = start(2, 'train.py', config, '--work-dir', run)
    wait_for_step(process, run, 3)
    kill(psutil.Process(process.pid))
    process.wait()
    start.done(2, 'train.py', config, '--work-dir', run, '--resume')
    states = [
        torch.load(folder / f'iter_{STEPS}.pth', weights_only=False)['state_dict']
        for folder in (trained, run)
    ]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert (
        lines(run, 'val_loss')[STEPS]['val_loss'] == lines(trained, 'val_loss')[STEPS]['val_loss']
    )


@pytest.mark.parametrize('to', ['one process', 'all', 'torchrun'])
def test_sigterm_ends_both_with_one_checkpoint(
    start: Start, config: Path, tmp_path: Path, to: str
) -> None:
    run = tmp_path / 'run'
    process = start(2, 'train.py', config, '--work-dir', run)
    wait_for_step(process, run, 1)
    launcher = psutil.Process(process.pid)
    workers = [child for child in launcher.children() if 'train.py' in ' '.join(child.cmdline())]
    assert len(workers) == 2
    whom = {'one process': workers[1:], 'all': [launcher, *workers], 'torchrun': [launcher]}
    for one in whom[to]:
        one.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=200)
    assert process.returncode != 0
    step = re.search(r'SIGTERM: step (\d+) is kept in', output)[1]
    (last,) = {(run / 'last_checkpoint').read_text().strip()}
    assert re.search(r'iter_(\d+)\.pth', last)[1] == step
    torch.load(last, weights_only=False)
    assert len(list(run.glob('stopped_*.pth'))) <= 1
    assert not (run / LOCK).exists()
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.parametrize(
    ('more', 'options', 'sentence'),
    [
        ((), (), 'holds another run'),
        (
            ('--resume',),
            ('train_dataloader.batch_size=3',),
            'train_dataloader.batch_size=3 is the batch of all 2 processes',
        ),
    ],
    ids=['taken folder', 'odd batch'],
)
def test_what_a_user_can_mend_is_one_sentence(
    start: Start,
    config: Path,
    trained: Path,
    more: tuple[str, ...],
    options: tuple[str, ...],
    sentence: str,
) -> None:
    process = start(2, 'train.py', config, '--work-dir', trained, *more, options=options)
    output, _ = process.communicate(timeout=200)
    assert process.returncode != 0
    assert sentence in output
    if not more:  # found by the first process, said once
        assert output.count(sentence) == 1
