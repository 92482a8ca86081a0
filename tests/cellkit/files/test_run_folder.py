"""A folder is one run's."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cellkit.errors import UserError
from cellkit.files import run_folder
from cellkit.files.run_folder import LOCK, free_folder, holder, is_taken, locked, newest_of


def run_in(folder: Path, name: str = 'iter_1.pth') -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"loss": 1}\n')
    return folder


def test_a_checkpoint_or_a_loss_takes_a_folder(tmp_path: Path) -> None:
    assert not is_taken(tmp_path / 'none')
    assert is_taken(run_in(tmp_path / 'a'))
    assert is_taken(run_in(tmp_path / 'b', '2026/vis_data/scalars.json'))
    assert not is_taken(run_in(tmp_path / 'c', 'evaluation.json'))
    assert not is_taken(run_in(tmp_path / 'd', '2026/2026.log'))  # ended before its first step


def test_the_next_free_name_and_the_newest_of_the_family(tmp_path: Path) -> None:
    first = tmp_path / 'x'
    assert free_folder(first) == newest_of(first) == first
    for name in ('x', 'x_2', 'x_3', 'x_cpu'):
        run_in(tmp_path / name)
    assert free_folder(first) == tmp_path / 'x_4'
    os.utime(tmp_path / 'x_2' / 'iter_1.pth', (2**32, 2**32))
    os.utime(tmp_path / 'x_cpu' / 'iter_1.pth', (2**33, 2**33))
    assert newest_of(first) == tmp_path / 'x_2'


def test_two_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    code = (
        'import sys, time; from pathlib import Path; from cellkit.files.run_folder import locked\n'
        'with locked(Path(sys.argv[1])): print("in", flush=True); time.sleep(60)'
    )
    other = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline().strip() == b'in'
        assert is_taken(tmp_path)
        with pytest.raises(UserError, match=f'process {other.pid} on .* trains in it'):
            locked(tmp_path).__enter__()
    finally:
        other.kill()
        other.wait()
    assert (tmp_path / LOCK).is_file()  # it had no time to take it away
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())['pid'] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_a_number_that_another_process_has_now_is_no_holder(tmp_path: Path) -> None:
    about = dict(pid=os.getpid(), host=socket.gethostname(), began=1.0)
    (tmp_path / LOCK).write_text(json.dumps(about))
    assert holder(tmp_path) is None


def test_one_on_another_machine_is_known_by_its_signs_of_life(tmp_path: Path) -> None:
    file = tmp_path / LOCK
    file.write_text(json.dumps(dict(pid=1, host='elsewhere', began=1.0)))
    assert holder(tmp_path) == 'process 1 on elsewhere'
    os.utime(file, (time.time() - run_folder.SILENT - 1,) * 2)
    assert holder(tmp_path) is None


def test_a_holder_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, 'BEAT', 0.01)
    with locked(tmp_path):
        os.utime(tmp_path / LOCK, (1, 1))
        deadline = time.monotonic() + 10
        while (tmp_path / LOCK).stat().st_mtime == 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
