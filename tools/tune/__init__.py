"""Tuning: a search over a config's settings, by any number of workers on any number of machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cellkit.errors import UserError
from cellkit.files.program import quiet

if TYPE_CHECKING:
    from tools.tune.search import Search

FOLDER = Path('work_dirs/tune')


class Tuned(NamedTuple):
    """What a study found so far.

    Attributes:
        folder: Of the study.
        states: Number of trials by state: ``complete``, ``pruned``, ``failed``, ``running``.
        parameters: Of the best trial by name; None before the first one is complete.
        values: Its objectives by name.
        config: Config file of the best settings; None where there is none yet.
        page: The HTML page.
    """

    folder: Path
    states: dict[str, int]
    parameters: dict[str, Any] | None
    values: dict[str, float]
    config: Path | None
    page: Path


def tune(
    space: Path | str,
    trials: int | None = None,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    *,
    study: str | None = None,
    storage: str | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    run: Path | str | None = None,
    out: Path | str = FOLDER,
    gpus: int = 1,
    grace: float | None = None,
    report_only: bool = False,
) -> Tuned:
    """Search a space until the study has so many trials; then say what it found.

    The same call in another process, or on another machine with the same storage, is one more
    worker of the same study.

    Args:
        space: The space's file, see docs/tune.md.
        trials: How many trials the study shall have in all, those of other workers included; the
            whole grid, or 16, when None (1000 where nothing is trained).
        overrides: Settings that every trial has: values by dotted key, or ``KEY=VALUE`` texts.
        study: Its name; the space's when None.
        storage: A database's URL, ``grpc://HOST:PORT``, or a journal file; a journal in the study's
            folder when None.
        sampler: ``grid``, ``random``, ``tpe`` or ``gp``; the space's when None.
        pruner: ``hyperband``, ``median`` or ``none``; the space's when None.
        run: Whose predictions are searched, where nothing is trained; the newest when None.
        out: Folder of studies; each has a folder of its own there.
        gpus: Processes of a run, one for each GPU.
        grace: Seconds without a sign of life after which another worker's trial is taken over.
        report_only: Search nothing; say what was found.

    Raises:
        UserError: The space, the storage or the data can't be used: told before the first trial.
    """
    if trials is not None and trials < 1:
        raise UserError(f'TRIALS is {trials}; give 1 or more')
    with quiet():  # late: it takes seconds, --help shouldn't
        from tools.runs.overrides import parse_overrides
        from tools.tune.search import PredictionSearch, TrainingSearch
        from tools.tune.space import PREDICTIONS, read_space
    read = read_space(space, parse_overrides(overrides), sampler, pruner)
    common = dict(study=study, storage=storage, out=Path(out), make=not report_only)
    if read.searches == PREDICTIONS:
        search: Search = PredictionSearch(read, trials, run=run, **common)
    else:
        if run is not None:
            raise UserError(f'{read.file}: searches trainings, and RUN names none; leave it out')
        search = TrainingSearch(read, trials, gpus=gpus, grace=grace, **common)
    if not report_only:
        search.carry_out()
    return tell(search)


def tell(search: Search) -> Tuned:
    """Write what a study found into its folder."""
    from tools.tune.findings import gather
    from tools.tune.page import write

    findings = gather(search.study, search.space)
    config = search.write_best(findings)
    page = write(findings, search.folder, config)
    best = findings.best
    return Tuned(
        search.folder,
        dict(Counter(row.state for row in findings.rows)),
        best and dict(best.parameters),
        best.values if best else {},
        config,
        page,
    )
