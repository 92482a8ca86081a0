"""Work spread over processor cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import cv2

from cellkit.errors import UserError
from cellkit.files.cores import usable_cores


def in_processes(
    function: Callable[[Any], Any], items: Sequence[Any], workers: int | None = None, each: int = 1
) -> Iterator[Any]:
    """``map(function, items)`` over processes, or in this one where a second is not worth it.

    Args:
        function: Can be pickled, like its items and results.
        items: What it is called with.
        workers: Processes; as many as usable cores when None.
        each: Number of items that is worth a process.

    Raises:
        UserError: A process was killed.
    """
    workers = min(workers or usable_cores(), len(items) // each)
    if workers <= 1:
        yield from map(function, items)
        return
    # Spawned, not forked: a fork hangs on the threads that OpenCV may hold in this process.
    with ProcessPoolExecutor(workers, get_context('spawn'), cv2.setNumThreads, (1,)) as pool:
        try:
            yield from pool.map(function, items)
        except BrokenProcessPool as error:
            raise UserError(
                'a worker process was killed, perhaps for want of memory; try fewer with --workers'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
