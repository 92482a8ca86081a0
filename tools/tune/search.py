"""The two kinds of search: over trainings, and over predictions that are there already."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import TrialState
from tqdm.auto import tqdm

from cellkit.errors import UserError
from cellkit.files.annotations import GroundTruth
from cellkit.files.writing import sha256_of, write_whole
from tools.runs.predictions import read_predictions
from tools.runs.run import Run
from tools.tune.changed import write_changed
from tools.tune.check import (
    check_settings,
    data_fingerprint,
    folder_name,
    own_parameters,
    read_config,
    save_best,
    validations,
)
from tools.tune.findings import Findings
from tools.tune.runs import Outcome, TrialRun, draw_parameters
from tools.tune.space import Space, short
from tools.tune.study import GRACE, Workers, open_storage, open_study
from tools.tune.thresholds import (
    MODEL_SETTINGS,
    STANDARD,
    Thresholds,
    check_thresholds,
)

TRIALS = 16
CANDIDATES = 1000
HOPELESS = 3  # so many failures and not one success: it isn't the settings
WAIT = 5.0  # seconds between two looks at other workers' trials


class Search:
    """A search that is ready to go on: everything is checked.

    Args:
        space: What is searched.
        trials: How many trials the study shall have.
        study: Its name.
        storage: Where it is kept.
        out: Folder of studies.
        make: Whether to make the study if it isn't there.
    """

    study: Study

    def __init__(
        self, space: Space, trials: int | None, study: str | None, storage: str | None,
        out: Path, make: bool,
    ) -> None:  # fmt: skip
        self.space, self.make, self.where = space, make, storage
        self.name = study or folder_name(space.file)
        self.folder = out / self.name
        self.total = trials or self._usual
        if space.sampler.name == 'grid':
            self.total = min(trials or space.grid_size(), space.grid_size())

    _usual = TRIALS

    def carry_out(self) -> None:
        """Search until the study has its trials."""
        raise NotImplementedError

    def write_best(self, findings: Findings) -> Path | None:
        """Write the best settings as a config; None while there are none."""
        raise NotImplementedError


class TrainingSearch(Search):
    """A search whose trials are runs; see :class:`Search`.

    Args:
        gpus: Processes of a run.
        grace: Seconds without a sign of life of another worker.
    """

    def __init__(
        self, space: Space, trials: int | None, *, gpus: int, grace: float | None, **common: Any
    ) -> None:
        super().__init__(space, trials, **common)
        self.gpus = gpus
        config = read_config(space)
        check_settings(space, config)
        first = own_parameters(space, config)
        changed = read_config(space)
        changed.merge_from_dict(dict(space.fixed))
        data = data_fingerprint(changed)
        self.storage = open_storage(self.where, self.folder)
        self.study = open_study(
            self.storage, self.name, space, data, validations(changed), first, self.make
        )
        self.workers = Workers(self.study, self.storage, self.total, grace or GRACE)

    def carry_out(self) -> None:
        """Run trials until the study has them all, and those of workers that died."""
        waiting = failed = 0
        while True:
            for number in self.workers.put_back_stale():
                self._say(f'trial {number}: its worker is gone')
            trial = self.workers.claim()
            if trial is None:
                running = len(self.workers.trials(TrialState.RUNNING))
                if not running and not self._left():
                    return
                if running != waiting:
                    self._say(f'waiting for {running} trials of other workers')
                waiting = running
                time.sleep(WAIT)
                continue
            outcome = self._one(trial)
            failed = failed + 1 if outcome.state == TrialState.FAIL else 0
            if failed >= HOPELESS and not self.workers.trials(TrialState.COMPLETE):
                raise UserError(
                    f'the first {failed} trials all failed, the last one: {outcome.reason}; '
                    f'see {self.folder}/trial_{trial.number:04d}.txt'
                )

    def _one(self, trial: optuna.Trial) -> Outcome:
        def left() -> None:
            self.workers.put_back(trial)

        try:
            run = TrialRun(trial, self.space, self.folder, self.gpus)
            again = ', going on' if run.run.exists() else ''
            named = ', '.join(f'{name}={short(value)}' for name, value in run.parameters.items())
            self._say(f'trial {trial.number}{again}: {named}')
            outcome = run.carry_out(lambda: self.workers.beat(trial))
        except UserError as error:  # the space's fault, found out late
            trial.set_user_attr('reason', str(error))
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        except BaseException:  # Ctrl-C, a storage that is gone
            left()
            raise
        if outcome.state == TrialState.WAITING:
            return outcome
        if outcome.reason:
            trial.set_user_attr('reason', outcome.reason)
        self.study.tell(trial, outcome.values, outcome.state)
        values = ', '.join(
            f'{key} {value:.4f}'
            for key, value in zip(self.space.objectives, outcome.values or (), strict=False)
        )
        self._say(f'trial {trial.number}: {outcome.state.name.lower()}, {values or outcome.reason}')
        return outcome

    def _left(self) -> bool:
        """Whether trials wait to be run."""
        return any(t.number < self.total for t in self.workers.trials(TrialState.WAITING))

    def _say(self, text: str) -> None:
        print(f'{self.name}: {text}', flush=True)

    def write_best(self, findings: Findings) -> Path | None:
        """``best.py`` for ``make train``, and ``repeat.py`` that compares it with the default."""
        if (best := findings.best) is None:
            return None
        settings = self.space.overrides(best.parameters)
        file = self.folder / 'best.py'
        values = ', '.join(f'{key} {value:.4f}' for key, value in best.values.items())
        head = f'Best of {len(findings.rows)} trials of {self.name}: trial {best.number}, {values} '
        head += f'on validation.\n\n  make train CONFIG={file}'
        write_changed(self.space.config, settings | save_best(self.space), file, head)
        write_whole(self.folder / 'repeat.py', repeat_text(self.space, settings, self.folder))
        return file


def repeat_text(space: Space, best: dict[str, Any], folder: Path) -> str:
    """A space that runs the best settings and the default ones with three seeds each."""
    objective = {space.objective: space.objectives[space.objective]}
    return (
        f'# The best settings against the default ones, three seeds each.\n#\n'
        f'#   make tune SPACE={folder}/repeat.py\n'
        f'config = {space.config.as_posix()!r}\nobjectives = {objective!r}\n'
        f"sampler = 'grid'\n"
        f"space = {{\n    'settings': {{\n        'default': {dict(space.fixed)!r},\n"
        f"        'best': {best!r},\n    }},\n    'randomness.seed': [0, 1, 2],\n}}\n"
    )


class PredictionSearch(Search):
    """A search over thresholds that trains nothing; see :class:`Search`.

    It is one process: candidates are drawn in memory, and the study takes them all at its end.

    Args:
        run: Whose predictions of the validation part are searched; the newest when None.
    """

    _usual = CANDIDATES

    def __init__(
        self, space: Space, trials: int | None, *, run: Path | str | None, **common: Any
    ) -> None:
        check_thresholds(space)
        self.run = Run(run)
        common['study'] = common['study'] or f'{space.file.stem}_{self.run.folder.name}'
        super().__init__(space, trials, **common)
        stored = stored_predictions(self.run)
        about = json.loads(stored.with_suffix('.about.json').read_bytes())
        annotations = Path(about['annotations'])
        if not annotations.is_file() or sha256_of(annotations) != about['annotations_sha256']:
            raise UserError(
                f'{annotations}: is not what {stored} was predicted from; predict anew with '
                f'`make evaluate RUN={self.run.folder} PART=val`'
            )
        self.thresholds = Thresholds(read_predictions(stored), GroundTruth(annotations))
        self.storage = open_storage(self.where, self.folder)
        self.study = open_study(self.storage, self.name, space, sha256_of(stored), make=self.make)

    def carry_out(self) -> None:
        """Try candidates until the study has them all."""
        before = self.study.get_trials(deepcopy=False)
        memory = optuna.create_study(
            directions=self.study.directions, sampler=self.study.sampler, study_name=self.name
        )
        memory.add_trials(before)
        if not before and self.space.sampler.name != 'grid' and (first := self._standard()):
            memory.enqueue_trial(first, user_attrs={'default': True})
        keys = list(self.space.objectives)
        bar = tqdm(range(len(before), self.total), self.name, unit='candidate', disable=None)
        start = time.perf_counter()
        for _ in bar:
            trial = memory.ask()
            found = self.thresholds.values(draw_parameters(trial, self.space), keys)
            memory.tell(trial, list(found.values()))
        if (number := self.total - len(before)) > 0:
            seconds = time.perf_counter() - start
            print(f'{self.name}: {number} candidates in {seconds:.0f} s', flush=True)
        self.study.add_trials(memory.get_trials(deepcopy=False)[len(before) :])

    def _standard(self) -> dict[str, Any] | None:
        """The thresholds that hold without a search, where the space has them all."""
        own = dict(STANDARD)
        with contextlib.suppress(UserError):  # predictions may have outlived their checkpoint
            own['score_thr'] = self.run.threshold(self.run.open_checkpoint()).value
        first = {p.name: own[p.name] for p in self.space.parameters}
        inside = (p.distribution._contains(first[p.name]) for p in self.space.parameters)
        return first if all(inside) else None

    def write_best(self, findings: Findings) -> Path | None:
        """``best.py``: the run's config with what a config can hold of the best thresholds."""
        if (best := findings.best) is None or (base := self.run.config_file) is None:
            return None
        settings = {
            MODEL_SETTINGS[name]: value
            for name, value in best.parameters.items()
            if name in MODEL_SETTINGS
        }
        file = self.folder / 'best.py'
        named = ', '.join(f'{name} {value:.4g}' for name, value in best.parameters.items())
        head = f'Best thresholds of {len(findings.rows)} for {self.run.folder}: {named}.\n\n'
        head += f'  make evaluate RUN={self.run.folder} ARGS="--config {file}'
        head += (
            f' --score-thr {best.parameters["score_thr"]:.4g}"'
            if ('score_thr' in best.parameters)
            else '"'
        )
        write_changed(base, settings, file, head)
        return file


def stored_predictions(run: Run) -> Path:
    """The newest predictions of a run's validation part.

    Raises:
        UserError: There are none.
    """
    files = list(run.results.glob('predictions/*/val.json'))
    if not files:
        raise UserError(
            f'{run.folder}: holds no predictions of the validation part; make them with '
            f'`make evaluate RUN={run.folder} PART=val`'
        )
    return max(files, key=lambda file: file.stat().st_mtime_ns)
