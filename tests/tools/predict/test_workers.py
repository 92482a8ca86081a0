"""How cores are parted, and what becomes of work that was not begun."""

import threading
from concurrent.futures import CancelledError

import pytest
import torch

from tools.predict import workers
from tools.predict.workers import pools


@pytest.fixture(autouse=True)
def threads_restored():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ('device', 'cores', 'jobs', 'at_once', 'threads'),
    [
        ('cpu', 2, 12, 2, 1),
        ('cpu', 2, 1, 1, 2),
        ('cpu', 1, 12, 1, 1),
        ('cpu', 16, 12, 4, 4),
        ('cpu', 3, 2, 2, 1),
        ('cuda', 4, 12, 1, 4),
    ],
)
def test_cores_are_parted(monkeypatch, device, cores, jobs, at_once, threads) -> None:
    """Every thread of the network waits for the others: no fewer may be at work, and no more."""
    monkeypatch.setattr(workers, 'usable_cores', lambda: cores)
    torch.set_num_threads(cores)
    together = threading.Barrier(at_once, timeout=20)
    lock, inside, most = threading.Lock(), [], []

    def work(_: int) -> int:
        with lock:
            inside.append(1)
            most.append(len(inside))
        together.wait()
        with lock:
            inside.pop()
        return torch.get_num_threads()

    with pools(device, jobs) as (_, network):
        assert set(network.map(work, range(2 * at_once))) == {threads}
    assert max(most) == at_once
    assert torch.get_num_threads() == cores


def test_what_was_not_begun_is_dropped() -> None:
    torch.set_num_threads(1)
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go.wait(20)

    with pools('cpu', 2) as (pictures, network):
        running = network.submit(wait)
        begun.wait(20)
        later = network.submit(wait)
        picture = pictures.submit(later.result)  # a picture that waits for its tile
        threading.Timer(0.2, go.set).start()
    assert running.done()
    assert later.cancelled()
    with pytest.raises(CancelledError):
        picture.result()
