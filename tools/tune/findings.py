"""What a study found, read from its storage alone: the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from tools.tune.space import Space

STATES = {
    TrialState.COMPLETE: 'complete',
    TrialState.PRUNED: 'pruned',
    TrialState.FAIL: 'failed',
    TrialState.RUNNING: 'running',
    TrialState.WAITING: 'waiting',
}

ENOUGH = 8  # complete trials that tell something of a parameter


class Row(NamedTuple):
    """One trial.

    Attributes:
        number: As in the names of its files.
        state: complete, pruned, failed, running or waiting.
        parameters: By name; empty of one that was never begun.
        values: Objectives by name, of a complete one.
        curve: Places on the axis of training and the first objective there.
        seconds: From start to end; None of one that runs.
        reason: Why it was pruned or failed.
        default: Whether it has the config's own settings.
    """

    number: int
    state: str
    parameters: Mapping[str, Any]
    values: dict[str, float]
    curve: list[tuple[float, float]]
    seconds: float | None
    reason: str
    default: bool


class Findings(NamedTuple):
    """What a study found.

    Attributes:
        name: Of the study.
        space: What it searches.
        rows: Its trials, less those that were never begun.
        best: The complete one with the best first objective; None while there is none.
        front: Numbers of those that no other one beats in every objective.
        importance: Share of each parameter in the first objective; empty of too few trials.
    """

    name: str
    space: Space
    rows: list[Row]
    best: Row | None
    front: list[int]
    importance: dict[str, float]

    def of(self, *states: str) -> list[Row]:
        """The trials in some states."""
        return [row for row in self.rows if row.state in states]

    @property
    def default(self) -> Row | None:
        """The complete trial with the config's own settings."""
        return next((row for row in self.of('complete') if row.default), None)


def gather(study: Study, space: Space) -> Findings:
    """Read a study."""
    trials = study.get_trials(deepcopy=False)
    rows = [_row(trial, space) for trial in trials if trial.params]
    complete = [row for row in rows if row.state == 'complete']
    pick = max if space.maximize else min
    best = pick(complete, key=lambda row: row.values[space.objective], default=None)
    front = [trial.number for trial in study.best_trials] if complete else []
    return Findings(study.study_name, space, rows, best, front, _importance(study, space))


def _row(trial: FrozenTrial, space: Space) -> Row:
    curve = trial.user_attrs.get('curve', {})
    over = trial.datetime_complete and trial.datetime_start
    complete = trial.state == TrialState.COMPLETE
    return Row(
        trial.number,
        STATES[trial.state],
        dict(trial.params),
        dict(zip(space.objectives, trial.values, strict=True)) if complete else {},
        [tuple(curve[rung]) for rung in sorted(curve, key=int)],
        (trial.datetime_complete - trial.datetime_start).total_seconds() if over else None,
        trial.user_attrs.get('reason', ''),
        trial.user_attrs.get('default', False),
    )


def _importance(study: Study, space: Space) -> dict[str, float]:
    """Shares by PED-ANOVA; empty where there are too few trials to tell."""
    several = len(space.objectives) > 1
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(complete) < ENOUGH:
        return {}
    try:
        return optuna.importance.get_param_importances(
            study, target=(lambda trial: trial.values[0]) if several else None
        )
    except (ValueError, RuntimeError, ZeroDivisionError):
        return {}
