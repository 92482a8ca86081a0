"""A child ends with its starter, whatever ends that: closed, killed, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tools.runs import child

ROOT = Path(__file__).parents[3]
SLEEPER = (
    'from tools.runs.child import end_with_the_starter; import os, time; end_with_the_starter();'
    'print(os.getpid(), flush=True); time.sleep(100)'
)
STARTER = (
    f'import sys; from tools.runs import child; child.run([sys.executable, "-c", {SLEEPER!r}])'
)


def test_a_child_ends_when_its_stdin_is_closed() -> None:
    process = subprocess.Popen(
        [sys.executable, '-c', SLEEPER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline()
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_starter(number: signal.Signals) -> None:
    starter = subprocess.Popen(
        [sys.executable, '-c', STARTER], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    pid = int(starter.stdout.readline())
    os.kill(starter.pid, number)
    starter.wait(20)
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_the_status_is_handed_on() -> None:
    assert child.run([sys.executable, '-c', 'raise SystemExit(7)'], cwd=ROOT) == 7


def test_one_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, 'END', 0.2)
    deaf = (
        'import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);'
        'time.sleep(100)'
    )
    with subprocess.Popen(
        [sys.executable, '-c', deaf], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        process.stdout.readline()
        child.stop(process)
        assert process.returncode == -signal.SIGKILL
