"""What the tests of searches share: a small space, workers, a PostgreSQL server."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPACE = """
config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'
sampler = dict(name='tpe', n_startup_trials=5)
pruner = dict(name='hyperband', reduction_factor=2)
space = {
    'optim_wrapper.optimizer.lr': dict(low=1e-6, high=1.0, log=True),
    'param_scheduler.0.end': dict(low=1, high=4),
}
_small = (320, 240)
fixed = {
    'train_dataloader.dataset.pipeline.2.scale': _small,
    'val_dataloader.dataset.pipeline.1.scale': _small,
    'test_dataloader.dataset.pipeline.1.scale': _small,
    'train_dataloader.batch_size': 1,
    **{f'{part}_dataloader.num_workers': 0 for part in ('train', 'val', 'test')},
    'train_cfg.max_iters': 4,
    'train_cfg.val_interval': 1,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.logger.interval': 1,
}
"""


@pytest.fixture
def tiny_space(tmp_path: Path) -> Path:
    """A space whose trials are four steps on small pictures, a validation after each."""
    file = tmp_path / 'tiny.py'
    file.write_text(SPACE)
    return file


class Worker:
    """`make tune`'s command in a process of its own."""

    def __init__(self, data: Path, said: Path, *args: str | Path) -> None:
        self.said = said
        with said.open('ab') as file:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'tools.tune', *map(str, args)],
                cwd=ROOT,
                env={**os.environ, 'DATA_ROOT': str(data), 'OMP_NUM_THREADS': '1'},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        """What it said."""
        return self.said.read_text()


@pytest.fixture(scope='session')
def postgres() -> Iterator[str]:
    """A PostgreSQL server of our own, started and stopped here; the URL of its database."""
    pytest.importorskip('psycopg2')
    found = sorted(Path('/usr/lib/postgresql').glob('*/bin/pg_ctl'))
    program = str(found[-1]) if found else shutil.which('pg_ctl')
    if not program:
        pytest.skip('PostgreSQL is not installed (Debian: apt install postgresql)')
    programs = Path(program).resolve().parent
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            user = pwd.getpwnam('postgres')
        except KeyError:
            pytest.skip('root cannot run a PostgreSQL server, and there is no user postgres')
    folder = Path(tempfile.mkdtemp(prefix='pg', dir='/tmp'))  # a socket's path must be short
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]

    def run(name: str, *args: str) -> None:
        done = subprocess.run(
            [str(programs / name), *args],
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )
        assert done.returncode == 0, f'{name} {args}'

    data = str(folder / 'data')
    try:
        run('initdb', '-D', data, '-U', 'tune', '-A', 'trust', '--no-sync')
        options = f'-p {port} -k {folder} -c listen_addresses=127.0.0.1'
        run('pg_ctl', '-D', data, '-w', '-l', str(folder / 'log'), '-o', options, 'start')
        try:
            yield f'postgresql+psycopg2://tune:secret@127.0.0.1:{port}/postgres'
        finally:
            run('pg_ctl', '-D', data, '-m', 'immediate', 'stop')
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start_worker() -> type[Worker]:
    """Starts a worker: the data, the file that takes what it says, its arguments."""
    return Worker
