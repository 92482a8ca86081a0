"""Part the processor's cores between pictures that are done at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from cellkit.files.cores import usable_cores

MOST = 4
"""Networks at work at once: each takes memory, and Python itself runs one thread at a time."""


@contextmanager
def pools(device: str, jobs: int) -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor]]:
    """One pool to read and draw pictures in, and one for the network.

    The network has several pictures at once, on a core or more each. Threads on one picture would
    wait for each other after every layer, and idle where a step has one thread only. A GPU is given
    one picture after another. What was not begun when the block is left is dropped.

    Args:
        device: Where the network runs, as torch names it.
        jobs: How many pictures or tiles there are; if fewer than cores, they share the cores.
    """
    before = torch.get_num_threads()  # as OMP_NUM_THREADS has it
    cores = min(before, usable_cores())
    at_once = max(min(jobs, cores, MOST), 1) if device == 'cpu' else 1
    threads = max(cores // at_once, 1)
    # Each thread has a setting of its own; new ones have the last that was made anywhere.
    network = ThreadPoolExecutor(at_once, 'network', torch.set_num_threads, (threads,))
    pictures = ThreadPoolExecutor(at_once + 1, 'picture')  # one is read or drawn meanwhile
    try:
        yield pictures, network
    finally:
        for pool in (pictures, network):
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in (pictures, network):
            pool.shutdown()
        torch.set_num_threads(before)
