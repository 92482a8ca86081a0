"""A study that any number of workers share: where it is kept, and who has which trial."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from cellkit.errors import UserError
from tools.tune.methods import build_pruner, build_sampler
from tools.tune.space import Space

JOURNAL = 'study.journal'
GRACE = 120.0  # seconds without a sign of life after which a trial's worker counts as dead
FIRST_TRIES = 4  # to open a database that another worker may be making ready
STARTS = 3  # a trial whose workers died so often is no good
WORKER = 'worker'

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings('ignore', category=optuna.exceptions.ExperimentalWarning)


def open_storage(where: str | None, folder: Path) -> BaseStorage:
    """Where studies are kept.

    Args:
        where: A database's URL, ``grpc://HOST:PORT`` of a proxy, or a journal file; None: the
            journal in ``folder``.
        folder: The study's.

    Raises:
        UserError: It can't be used.
    """
    if where and where.startswith('grpc://'):
        return _proxy(where)
    if where and '://' in where:
        return _database(where)
    file = Path(where) if where else folder / JOURNAL
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return JournalStorage(JournalFileBackend(str(file)))
    except Exception as error:  # a line that is no JSON, a key that is none of Optuna's, …
        if isinstance(error, OSError):
            raise
        raise UserError(f'{file}: is no journal of a study ({_reason(error)}); name another') from (
            error
        )


def _database(url: str) -> BaseStorage:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    shown = url.partition('://')[0] + '://…'
    try:
        shown = make_url(url).render_as_string(hide_password=True)
        for _ in range(FIRST_TRIES):
            with contextlib.suppress(IntegrityError, ProgrammingError):
                return RDBStorage(url, engine_kwargs={'pool_pre_ping': True})
            time.sleep(1)  # another worker makes the tables of an empty database, just now
        return RDBStorage(url, engine_kwargs={'pool_pre_ping': True})
    except Exception as error:  # drivers have errors of their own
        hint = 'start it, or name another with STORAGE=…'
        if isinstance(error, ImportError):
            hint = "its driver isn't installed: .venv/bin/pip install -e '.[tune]'"
        raise UserError(
            f"{shown}: the database can't be used ({_reason(error)}); {hint}"
        ) from error


def _proxy(url: str) -> BaseStorage:
    from optuna.storages import GrpcStorageProxy

    host, _, port = url.removeprefix('grpc://').partition(':')
    try:
        proxy = GrpcStorageProxy(host=host, port=int(port or 13000))
        proxy.wait_server_ready(timeout=10)
    except Exception as error:
        raise UserError(
            f'{url}: no proxy answers ({_reason(error)}); start python -m tools.tune.proxy there, '
            'or name another with STORAGE=…'
        ) from error
    return proxy


def _reason(error: BaseException) -> str:
    """The line of an error that says what is wrong: a driver's own, where there is one."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip('.')


def open_study(
    storage: BaseStorage,
    name: str,
    space: Space,
    data: str,
    rungs: int = 1,
    first: Mapping[str, Any] | None = None,
    make: bool = True,
) -> Study:
    """The study of that name, made if it isn't there.

    Args:
        storage: See :func:`open_storage`.
        name: Of the study.
        space: What it searches.
        data: Fingerprint of what trials are judged on.
        rungs: Validations of a trial.
        first: Parameters of the first trial, the config's own.
        make: Whether to make it.

    Raises:
        UserError: It is of another space or data, or isn't there and shall not be made.
    """
    grid = space.grid() if space.sampler.name == 'grid' else None
    given = dict(
        storage=storage,
        study_name=name,
        sampler=build_sampler(space.sampler, grid),
        pruner=build_pruner(space.pruner, rungs),
    )
    about = {'space': space.fingerprint, 'data': data, 'description': space.description}
    try:
        if not make:
            raise DuplicatedStudyError
        study = optuna.create_study(directions=list(space.objectives.values()), **given)
        if first and grid is None:
            study.enqueue_trial(dict(first), user_attrs={'default': True})
        for key, value in about.items():
            study.set_user_attr(key, value)
    except DuplicatedStudyError:
        try:
            study = optuna.load_study(**given)
        except KeyError as error:
            raise UserError(f'there is no study {name} yet: search first') from error
    _check(study, space, about)
    return study


def _check(study: Study, space: Space, about: Mapping[str, Any]) -> None:
    for _ in range(50):  # another worker may be making it
        if about.keys() <= study.user_attrs.keys():
            break
        time.sleep(0.1)
    else:
        raise UserError(
            f'the study {study.study_name} is not one of this project; name another with STUDY=…'
        )
    if study.user_attrs['space'] != about['space']:
        before, now = study.user_attrs['description'], about['description']
        other = [key for key in now if before.get(key) != now[key]]
        if other == ['space']:
            names = {*before['space'], *now['space']}
            other = sorted(n for n in names if before['space'].get(n) != now['space'].get(n))
        raise UserError(
            f'{space.file}: the study {study.study_name} searches another space '
            f'({", ".join(other)} differ); name another with STUDY=…'
        )
    if study.user_attrs['data'] != about['data']:
        raise UserError(
            f'the study {study.study_name} was made on other data; name another with STUDY=…, or '
            'the data with DATA_ROOT=… or RUN=…'
        )


def here() -> str:
    """What process numbers count in: the machine, and the container in it."""
    try:
        space = os.readlink('/proc/self/ns/pid')
    except OSError:
        space = ''
    return f'{socket.gethostname()} {space}'.strip()


class Workers:
    """One worker's view of who has which trial of a study.

    A trial that runs carries its worker's name and a number that counts up as long as the worker
    lives. Whoever sees the number stand still for ``grace`` seconds by its own clock, or knows that
    the process is gone, puts the trial back; the storage then gives it to one worker alone. So it
    is the same for a journal file, a database and a proxy, and no two clocks are compared.

    Args:
        study: Which.
        storage: Where it is kept.
        total: Number of trials that the study shall have.
        grace: Seconds.
    """

    def __init__(self, study: Study, storage: BaseStorage, total: int, grace: float = GRACE):
        self.study, self.storage, self.total, self.grace = study, storage, total, grace
        self.name = uuid.uuid4().hex
        self._beats = 0
        self._seen: dict[int, tuple[Any, float]] = {}
        self._id = storage.get_study_id_from_name(study.study_name)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The study's trials."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def claim(self) -> Trial | None:
        """A trial to run: one that was put back, else a new one; None where all are taken."""
        everything = self.trials()
        waiting = [t for t in everything if t.state == TrialState.WAITING and t.number < self.total]
        if not waiting and len(everything) >= self.total:
            return None
        trial = self.study.ask()
        if trial.number >= self.total:  # another worker was faster
            self._set(trial.number, TrialState.WAITING)
            return None
        self._beats = 0
        self.beat(trial)
        trial.set_user_attr('starts', trial.user_attrs.get('starts', 0) + 1)
        return trial

    def beat(self, trial: Trial) -> bool:
        """Give a sign of life; False if the trial is another worker's by now."""
        if self._beats:
            (frozen,) = [t for t in self.trials() if t.number == trial.number]
            owner = frozen.user_attrs.get(WORKER, {}).get('name')
            if owner != self.name or frozen.state != TrialState.RUNNING:
                return False
        self._beats += 1
        sign = {'name': self.name, 'place': here(), 'pid': os.getpid(), 'beat': self._beats}
        trial.set_user_attr(WORKER, sign)
        return True

    def put_back(self, trial: Trial) -> None:
        """Leave a trial to whoever comes next."""
        self._set(trial.number, TrialState.WAITING)

    def put_back_stale(self) -> list[int]:
        """Put back the trials whose workers died; their numbers.

        One whose workers died again and again fails instead.
        """
        stale = [t for t in self.trials(TrialState.RUNNING) if self._is_stale(t)]
        for trial in stale:
            self._seen.pop(trial.number, None)
            if trial.user_attrs.get('starts', 0) < STARTS:
                self._set(trial.number, TrialState.WAITING)
                continue
            trial_id = self._trial_id(trial.number)
            reason = f'its worker died {STARTS} times, as when memory runs out'
            self.storage.set_trial_user_attr(trial_id, 'reason', reason)
            self._set(trial.number, TrialState.FAIL)
        return [trial.number for trial in stale]

    def _is_stale(self, trial: FrozenTrial) -> bool:
        sign, now = trial.user_attrs.get(WORKER, {}), time.monotonic()
        if sign.get('name') == self.name:
            return False
        if sign.get('place') == here() and not _is_alive(sign['pid']):
            return True
        before, since = self._seen.get(trial.number, (None, now))
        if before != sign:
            since = now
        self._seen[trial.number] = sign, since
        return now - since > self.grace

    def _set(self, number: int, state: TrialState) -> None:
        with contextlib.suppress(UpdateFinishedTrialError):  # it ended meanwhile
            self.storage.set_trial_state_values(self._trial_id(number), state=state)

    def _trial_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, number)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
