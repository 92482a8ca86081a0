"""Who has which trial: none twice, none lost, never more than asked for; and what is no storage."""

import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from cellkit.errors import UserError
from tools.tune import study as module
from tools.tune.runs import draw_parameters
from tools.tune.space import Space, read_space
from tools.tune.study import STARTS, Workers, open_storage, open_study

ROOT = Path(__file__).parents[3]


@pytest.fixture
def space(tmp_path: Path) -> Space:
    file = tmp_path / 'mine.py'
    file.write_text("config = 'c.py'\nspace = {'a': dict(low=0.0, high=1.0), 'b': [1, 2, 3]}\n")
    return read_space(file)


def worker(space: Space, folder: Path, total: int, grace: float = 1e6, **more: object) -> Workers:
    """A worker with a storage of its own, as another process has."""
    storage = open_storage(None, folder)
    return Workers(open_study(storage, 'x', space, 'data', **more), storage, total, grace)


def test_workers_take_turns_and_stop_at_the_total(space: Space, tmp_path: Path) -> None:
    workers = [worker(space, tmp_path, 5) for _ in range(2)]
    taken = []
    while trials := [(w, t) for w in workers if (t := w.claim()) is not None]:
        for one, trial in trials:
            taken.append(trial.number)
            one.study.tell(trial, 0.5)
    assert taken == list(range(5))


def test_a_worker_that_is_too_late_leaves_the_trial(space: Space, tmp_path: Path) -> None:
    one, other = (worker(space, tmp_path, 1) for _ in range(2))
    seen = other.trials()
    one.claim()
    other.trials = lambda *states: seen if not states else []  # looked before, asks after
    assert other.claim() is None
    states = [t.state for t in one.trials()]
    assert states == [TrialState.RUNNING, TrialState.WAITING]
    assert one.claim() is None


def test_a_silent_worker_s_trial_goes_on_elsewhere_with_its_parameters(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = worker(space, tmp_path, 2), worker(space, tmp_path, 2, grace=100)
    trial = one.claim()
    drawn = draw_parameters(trial, space)
    now = [0.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])
    assert other.put_back_stale() == []
    now[0] = 99
    assert one.beat(trial)
    assert other.put_back_stale() == []  # it has moved
    now[0] = 198
    assert other.put_back_stale() == []
    now[0] = 200
    assert other.put_back_stale() == [0]
    again = other.claim()
    assert again.number == 0
    assert draw_parameters(again, space) == drawn
    assert not one.beat(trial)  # the first one, if it lives, must let go
    assert other.beat(again)
    assert again.study.trials[0].user_attrs['starts'] == 2


def test_a_dead_process_on_this_machine_is_known_at_once(space: Space, tmp_path: Path) -> None:
    one, other = worker(space, tmp_path, 2), worker(space, tmp_path, 2)
    trial = one.claim()
    dead = subprocess.Popen([sys.executable, '-c', ''])
    dead.wait()
    trial.set_user_attr('worker', {'name': 'x', 'place': module.here(), 'pid': dead.pid, 'beat': 1})
    assert other.put_back_stale() == [0]
    trial = other.claim()
    trial.set_user_attr(
        'worker', {'name': 'x', 'place': 'elsewhere', 'pid': dead.pid, 'beat': 1}
    )  # process numbers of another machine say nothing
    assert one.put_back_stale() == []
    living = {'name': 'x', 'place': module.here(), 'pid': os.getpid(), 'beat': 1}
    trial.set_user_attr('worker', living)
    assert one.put_back_stale() == []


def test_a_trial_that_kills_its_workers_fails_in_the_end(space: Space, tmp_path: Path) -> None:
    for start in range(1, STARTS + 1):
        one = worker(space, tmp_path, 1)
        trial = one.claim()
        assert trial.number == 0
        other = worker(space, tmp_path, 1, grace=-1)
        assert other.put_back_stale() == [0]
        (left,) = other.trials()
        assert left.state == (TrialState.FAIL if start == STARTS else TrialState.WAITING)
    assert 'its worker died 3 times' in left.user_attrs['reason']


def test_two_workers_cover_a_grid_once(tmp_path: Path) -> None:
    file = tmp_path / 'grid.py'
    file.write_text(
        "config = 'c.py'\nsampler = 'grid'\nspace = {'a': [1, 2, 3], 'b': ['x', 'y']}\n"
    )
    space = read_space(file)
    workers = [worker(space, tmp_path, space.grid_size()) for _ in range(2)]
    seen = []
    while trials := [(w, t) for w in workers if (t := w.claim()) is not None]:
        for one, trial in trials:
            seen.append(tuple(draw_parameters(trial, space).values()))
            one.study.tell(trial, 0.5)
    assert sorted(seen) == [(a, b) for a in (1, 2, 3) for b in 'xy']


def test_the_first_trial_has_the_own_settings(space: Space, tmp_path: Path) -> None:
    one = worker(space, tmp_path, 3, first={'a': 0.25, 'b': 3})
    worker(space, tmp_path, 3, first={'a': 0.25, 'b': 3})  # makes none of its own
    trial = one.claim()
    assert draw_parameters(trial, space) == {'a': 0.25, 'b': 3}
    assert len(one.trials()) == 1


def test_a_study_of_another_space_or_data_is_one_sentence(space: Space, tmp_path: Path) -> None:
    worker(space, tmp_path, 1)
    storage = open_storage(None, tmp_path)
    with pytest.raises(UserError, match='the study x was made on other data'):
        open_study(storage, 'x', space, 'others')
    space.file.write_text(space.file.read_text().replace('high=1.0', 'high=2.0'))
    with pytest.raises(UserError, match=r'searches another space \(a differ\); name another'):
        open_study(storage, 'x', read_space(space.file), 'data')
    with pytest.raises(UserError, match='there is no study y yet'):
        open_study(storage, 'y', space, 'data', make=False)


@pytest.mark.parametrize(
    ('url', 'wanted'),
    [
        ('postgresql+psycopg2://me:secret@127.0.0.1:1/x', "the database can't be used"),
        ('nosuch://host/x', "the database can't be used"),
        ('grpc://127.0.0.1:1', 'no proxy answers'),
    ],
)
def test_no_database_is_one_sentence(
    url: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.startswith('grpc'):
        proxy = optuna.storages.GrpcStorageProxy
        wait = proxy.wait_server_ready
        monkeypatch.setattr(proxy, 'wait_server_ready', lambda self, timeout: wait(self, 0.2))
    with pytest.raises(UserError) as caught:
        open_storage(url, tmp_path)
    assert wanted in str(caught.value)
    assert 'STORAGE=' in str(caught.value)
    assert '\n' not in str(caught.value)
    assert 'secret' not in str(caught.value)


def test_a_file_that_is_no_journal_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / 'x.txt'
    file.write_text('not a journal\nat all\n')
    with pytest.raises(UserError, match=r'x\.txt: is no journal of a study'):
        open_storage(str(file), tmp_path)


@pytest.mark.slow
def test_workers_that_start_at_once_on_an_empty_database_all_open_it(postgres: str) -> None:
    code = f'from tools.tune.study import _database; _database({postgres!r})'
    command = [sys.executable, '-c', code]
    starts = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    for process in starts:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
