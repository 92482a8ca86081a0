"""How the benchmarks measure and what they write: ways in turn, peak memory, machine, tables.

Ways run in turn in one process, so that what else the machine does slows all of them alike.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import math
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files.program import hand_on_signals

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT.parent / 'shared' / 'data' / 'BCCD Dataset with mask'
"""The real sample, where it lies beside the repository."""

LEAST_RUNS = 3  # even of a way that is out of patience


class Way(NamedTuple):
    """One way to do a thing.

    Attributes:
        run: What is timed.
        prepare: Gives the arguments of ``run``, anew before every run; not timed.
    """

    run: Callable[..., Any]
    prepare: Callable[[], tuple] = tuple


class Measured(NamedTuple):
    """Seconds of every run of each way, and the results of the last round."""

    seconds: dict[Any, list[float]]
    results: dict[Any, Any]


def in_turn(
    ways: Mapping[Hashable, Way],
    rounds: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    in_a_row: int = 1,
    patience: float = math.inf,
    keep: bool = False,
    label: str = '',
) -> Measured:
    """Time every way in every round.

    Args:
        ways: By their names.
        rounds: How many.
        clock: Gives seconds.
        in_a_row: Runs of a way in a round, as in a data loader: the first one of a turn pays for
            waking a core.
        patience: Seconds after which a slow way sits out the other rounds.
        keep: Whether to keep the results.
        label: Of the progress bar; none without it.
    """
    if rounds < 1:
        raise UserError(f'rounds: {rounds} is below 1; give at least one')
    measured = Measured({name: [] for name in ways}, {})
    for _ in tqdm(range(rounds), label, disable=None if label else True):
        measured.results.clear()
        for name, way in ways.items():
            seconds = measured.seconds[name]
            if len(seconds) >= LEAST_RUNS and sum(seconds) > patience:
                continue
            for _ in range(in_a_row):
                arguments = way.prepare()
                start = clock()
                result = way.run(*arguments)
                seconds.append(clock() - start)
                if keep:
                    measured.results[name] = result
                del result, arguments
    return measured


def peak_megabytes(ways: Iterable[Way], device: str = 'cpu') -> float:
    """MB that the ways, one after another, add to a process at most; on a GPU what they take there.

    On a CPU they run in a forked process, as a data loader's worker does (Linux only).
    """
    if device != 'cpu':
        import torch

        torch.cuda.reset_peak_memory_stats()
        _run(ways)
        return torch.cuda.max_memory_allocated() / 1e6
    context = get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(_growth(ways)))
    child.start()
    sender.close()  # so that a child that dies ends the wait
    growth = receiver.recv()
    child.join()
    return growth


def _growth(ways: Iterable[Way]) -> float:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # nothing freed earlier may hide what is taken now
    Path('/proc/self/clear_refs').write_text('5')  # starts the high-water mark anew
    before = _megabytes('VmRSS')
    _run(ways)
    return _megabytes('VmHWM') - before


def _run(ways: Iterable[Way]) -> None:
    for way in ways:
        way.run(*way.prepare())


def _megabytes(key: str) -> float:
    return int(_entry('/proc/self/status', key).split()[0]) / 1000


def _entry(file: str, key: str) -> str:
    """The value of the first line ``key: value`` of a file, empty if there is none."""
    path = Path(file)
    for line in path.read_text().splitlines() if path.is_file() else ():
        name, _, value = line.partition(':')
        if name.strip() == key:
            return value.strip()
    return ''


def machine(*packages: str, device: str = 'cpu') -> str:
    """Processor, cores, GPU if it is used, and versions, in one line.

    Args:
        packages: By the names they are imported with.
        device: Where the ways run, as torch names it.
    """
    parts = [_entry('/proc/cpuinfo', 'model name') or platform.processor()]
    parts.append(f'{os.cpu_count()} cores')
    if device != 'cpu':
        import torch

        parts.append(torch.cuda.get_device_name())
    versions = [f'{name} {importlib.import_module(name).__version__}' for name in packages]
    return ', '.join(parts) + '; ' + ', '.join([f'Python {platform.python_version()}', *versions])


def run_module(module: str, *words: str | Path, **environment: str) -> None:
    """Run ``python -m MODULE …`` in the repository's root and wait for it.

    SIGTERM and SIGUSR1 go to it, which is given the time to end; then this program ends too.

    Raises:
        UserError: It failed.
        SystemExit: A signal came.
    """
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    received = hand_on_signals()
    try:
        command = [sys.executable, '-m', module, *words]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment})
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    if received:
        raise SystemExit(128 + received[0])
    if done.returncode:
        raise UserError(f'{module} {words[0]} failed, see above; the same command goes on')


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1) -> str:
    """A table of which the first ``text`` columns are words; the others, numbers, stand right."""
    rules = ['---'] * text + ['---:'] * (len(header) - text)
    lines = [' | '.join(row).replace('\n', ' ') for row in (header, *rows)]
    return '\n'.join([f'| {lines[0]} |', f'|{"|".join(rules)}|', *(f'| {x} |' for x in lines[1:])])
