"""What is timed, in which order, and what the tables look like."""

import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import psutil
import pytest

from benchmarks.harness import (
    ROOT,
    Way,
    in_turn,
    machine,
    markdown_table,
    peak_megabytes,
    run_module,
)
from cellkit.errors import UserError


class Clock:
    """Stands still but where work moves it; writes down who worked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> str:
        self.now += seconds
        self.calls.append(name)
        return f'{name} {len(self.calls)}'


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_ways_take_turns_in_every_round(clock: Clock) -> None:
    ways = {name: Way(partial(clock.work, name, s)) for name, s in (('slow', 3.0), ('fast', 1.0))}
    measured = in_turn(ways, 2, clock=clock, in_a_row=2)
    assert clock.calls == ['slow', 'slow', 'fast', 'fast'] * 2
    assert measured.seconds == {'slow': [3.0] * 4, 'fast': [1.0] * 4}
    assert measured.results == {}


def test_preparation_is_not_timed_and_done_anew_for_every_run(clock: Clock) -> None:
    way = Way(lambda given: (given, clock.work('run', 1.0)), lambda: (clock.work('made', 5.0),))
    measured = in_turn({'way': way}, 2, clock=clock, keep=True)
    assert measured.seconds == {'way': [1.0, 1.0]}
    assert measured.results == {'way': ('made 3', 'run 4')}  # of the last round


def test_a_slow_way_sits_out_once_its_patience_is_used_up(clock: Clock) -> None:
    ways = {name: Way(partial(clock.work, name, s)) for name, s in (('slow', 9.0), ('fast', 1.0))}
    measured = in_turn(ways, 6, clock=clock, patience=10.0)
    assert len(measured.seconds['slow']) == 3  # runs that even the slowest gets
    assert len(measured.seconds['fast']) == 6


def test_no_round_is_refused() -> None:
    with pytest.raises(UserError, match='rounds'):
        in_turn({'way': Way(list)}, 0)


def test_peak_memory_is_that_of_the_way_alone() -> None:
    megabytes = 64
    big = Way(lambda: np.ones(megabytes * 1_000_000, np.uint8).sum())
    assert 0.95 * megabytes < peak_megabytes([big, big]) < 1.5 * megabytes
    assert peak_megabytes([Way(list)]) < megabytes / 4


def test_numbers_stand_right_and_a_cell_stays_on_its_line() -> None:
    table = markdown_table(['way', 'why', 'ms'], [['a', 'two\nlines', '1.0']], text=2)
    assert table.splitlines() == ['| way | why | ms |', '|---|---|---:|', '| a | two lines | 1.0 |']


def test_the_machine_is_told_with_its_versions() -> None:
    assert machine('numpy').endswith(f'numpy {np.__version__}')
    assert ' cores; Python 3.' in machine()


PARENT = """
from benchmarks.harness import run_module
run_module('timeit', '-n1', '-r1', 'import time; time.sleep(60)')
"""


def test_a_signal_ends_the_program_that_is_run_too() -> None:
    parent = subprocess.Popen([sys.executable, '-c', PARENT], cwd=ROOT)
    watched = psutil.Process(parent.pid)
    deadline = time.monotonic() + 60
    while not (children := watched.children()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(30) == 128 + signal.SIGTERM
    assert not psutil.pid_exists(children[0].pid)


def test_a_program_that_fails_is_a_sentence() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match='timeit --no-such failed, see above; the same command'):
        run_module('timeit', '--no-such')
    assert signal.getsignal(signal.SIGTERM) == before
