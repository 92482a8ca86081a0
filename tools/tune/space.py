"""Search spaces: which settings are searched, in what ranges, for what; read and checked."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from cellkit.errors import UserError
from cellkit.files.writing import sha256_of_settings
from tools.runs.config_file import beside
from tools.tune.methods import PRUNERS, SAMPLERS, Method, read_method

TRAININGS, PREDICTIONS = 'trainings', 'predictions'
DEFAULTS = dict(
    searches=TRAININGS, config=None, objectives={'coco/segm_mAP': 'maximize'}, fixed={},
    sampler='tpe', pruner='none',
)  # fmt: skip
RANGE = {'low', 'high', 'step', 'log', 'points', 'keys'}
CHOICES = {'choices', 'keys'}


class Parameter(NamedTuple):
    """One dimension of a space.

    Attributes:
        name: The config's dotted key, or a name for several.
        distribution: What Optuna draws from.
        keys: Dotted keys that take the value; none where the choices bring their own.
        settings: What each choice sets, in the distribution's order; none of a range.
        points: Number of values of a range in a grid; None where nothing is said.
    """

    name: str
    distribution: BaseDistribution
    keys: tuple[str, ...]
    settings: tuple[Mapping[str, Any], ...] = ()
    points: int | None = None

    def overrides(self, value: Any) -> dict[str, Any]:
        """Settings by dotted key that a value of this parameter stands for."""
        if self.settings:
            return dict(self.settings[int(self.distribution.to_internal_repr(value))])
        return dict.fromkeys(self.keys, value)

    def grid(self) -> list[Any]:
        """The values of this parameter in a grid.

        Raises:
            UserError: It is a range without a step or a number of points.
        """
        drawn = self.distribution
        if isinstance(drawn, CategoricalDistribution):
            return list(drawn.choices)
        low, high = drawn.low, drawn.high
        if self.points is None:
            if drawn.step is None or drawn.log:
                raise UserError(
                    f'the range of {self.name} has no end of values in a grid: give it points=…, '
                    'such as points=4, or name another sampler'
                )
            values = [
                low + k * drawn.step for k in range(int((high - low) / drawn.step + 1e-9) + 1)
            ]
        else:
            ends = (math.log(low), math.log(high)) if drawn.log else (low, high)
            shares = [k / max(self.points - 1, 1) for k in range(self.points)]
            values = [ends[0] + share * (ends[1] - ends[0]) for share in shares]
            values = [min(max(math.exp(v) if drawn.log else v, low), high) for v in values]
        whole = isinstance(drawn, IntDistribution)
        return list(dict.fromkeys(round(v) if whole else v for v in values))


@dataclass(frozen=True)
class Space:
    """A space that was read.

    Attributes:
        file: Where it stands.
        searches: ``'trainings'`` or, with nothing trained, ``'predictions'``.
        config: The config that its keys change; None where predictions are searched.
        parameters: Its dimensions.
        objectives: ``'maximize'`` or ``'minimize'`` by value; the first is what runs are pruned by.
        fixed: Settings that every trial has.
        sampler: What proposes the next trial.
        pruner: What ends a trial early.
    """

    file: Path
    searches: str
    config: Path | None
    parameters: tuple[Parameter, ...]
    objectives: Mapping[str, str]
    fixed: Mapping[str, Any]
    sampler: Method
    pruner: Method

    @property
    def objective(self) -> str:
        """The value that comes first."""
        return next(iter(self.objectives))

    @property
    def maximize(self) -> bool:
        """Whether more of the first value is better."""
        return self.objectives[self.objective] == 'maximize'

    def overrides(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All settings of a trial, from its parameters by name."""
        result = dict(self.fixed)
        for parameter in self.parameters:
            result |= parameter.overrides(parameters[parameter.name])
        return result

    def grid(self) -> dict[str, list[Any]]:
        """Values by parameter, for a grid.

        Raises:
            UserError: A range has no end of values.
        """
        return {parameter.name: parameter.grid() for parameter in self.parameters}

    def grid_size(self) -> int:
        """Number of trials of the whole grid."""
        return math.prod(len(values) for values in self.grid().values())

    @property
    def description(self) -> dict[str, Any]:
        """What makes trials comparable: searches of two descriptions never share a study."""
        return {
            'searches': self.searches,
            'config': self.config and self.config.as_posix(),
            'objectives': dict(self.objectives),
            'fixed': _plain(self.fixed),
            'space': {
                p.name: [distribution_to_json(p.distribution), list(p.keys), _plain(p.settings)]
                for p in self.parameters
            },
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the description."""
        return sha256_of_settings(self.description)


def read_space(
    file: Path | str,
    fixed: Mapping[str, Any] | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
) -> Space:
    """Read a space; whether its keys are settings is checked by :func:`tools.tune.check.check`.

    Args:
        file: A Python file of a few assignments, see docs/tune.md.
        fixed: More settings that every trial has.
        sampler: Instead of the file's.
        pruner: Instead of the file's.

    Raises:
        UserError: The file isn't there, or something in it is no space.
    """
    file = Path(file)
    if not file.is_file():
        raise UserError(f'{file}: there is no such space{beside(file)}')
    try:
        content = Config.fromfile(file, import_custom_modules=False).to_dict()
    except Exception as error:  # a space is a program
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{file}: can't be read as a space ({reason}); mend it") from error
    content = {key: value for key, value in content.items() if not key.startswith('_')}
    for key in content:
        if key not in {*DEFAULTS, 'space'}:
            known = [*DEFAULTS, 'space']
            near = difflib.get_close_matches(key, known, 1) or [', '.join(known)]
            raise UserError(f'{file}: nothing reads `{key}`; the nearest is {near[0]}')
    found = DEFAULTS | content
    try:
        return _space(file, found, fixed or {}, sampler, pruner)
    except UserError as error:
        raise UserError(f'{file}: {error}') from error


def _space(
    file: Path,
    found: Mapping[str, Any],
    fixed: Mapping[str, Any],
    sampler: str | None,
    pruner: str | None,
) -> Space:
    if found['searches'] not in (TRAININGS, PREDICTIONS):
        raise UserError(
            f"`searches` is {found['searches']!r}; write '{TRAININGS}' or '{PREDICTIONS}'"
        )
    trains = found['searches'] == TRAININGS
    if trains != bool(found['config']):
        raise UserError(
            '`config` is missing: name the training config'
            if trains
            else '`config` serves no purpose where predictions are searched; remove it'
        )
    if not isinstance(found.get('space'), Mapping) or not found['space']:
        raise UserError('`space` is missing: give the ranges by config key')
    objectives = found['objectives']
    if not isinstance(objectives, Mapping) or not objectives:
        raise UserError("`objectives` is missing: write {'coco/segm_mAP': 'maximize'}")
    for key, direction in objectives.items():
        if direction not in ('maximize', 'minimize'):
            raise UserError(f'the objective {key} is {direction!r}; write maximize or minimize')
    parameters = tuple(_parameter(name, given) for name, given in found['space'].items())
    pruner_method = read_method('pruner', pruner or found['pruner'], PRUNERS)
    if len(objectives) > 1 and pruner_method.name != 'none':
        raise UserError("trials of two objectives can't be pruned: write pruner = 'none'")
    space = Space(
        file,
        found['searches'],
        Path(found['config']) if trains else None,
        parameters,
        dict(objectives),
        {**found['fixed'], **fixed},
        read_method('sampler', sampler or found['sampler'], SAMPLERS),
        pruner_method,
    )
    if space.sampler.name == 'grid':
        space.grid()
    return space


def _parameter(name: str, given: Any) -> Parameter:
    """One dimension, from a range, a list of choices, or settings by name."""
    if isinstance(given, (list, tuple)):
        return _choice(name, given, (name,))
    if not isinstance(given, Mapping):
        raise UserError(f'{name} is {given!r}; give a range, dict(low=…, high=…), or a list')
    keys = given.get('keys', (name,))
    if isinstance(keys, str):
        keys = (keys,)
    if 'choices' in given:
        _known(name, given, CHOICES)
        return _choice(name, given['choices'], tuple(keys))
    if given and all(isinstance(settings, Mapping) for settings in given.values()):
        return Parameter(name, CategoricalDistribution(list(given)), (), tuple(given.values()))
    _known(name, given, RANGE)
    low, high = (given.get(end) for end in ('low', 'high'))
    if not all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (low, high)):
        raise UserError(f'the range of {name} needs numbers for low and high')
    points = given.get('points')
    if points is not None and (not isinstance(points, int) or points < 1):
        raise UserError(f'points of {name} is {points!r}; give a whole number from 1')
    step, log = given.get('step'), given.get('log', False)
    try:
        if all(isinstance(x, int) for x in (low, high, step or 1)):
            drawn: BaseDistribution = IntDistribution(low, high, log, step or 1)
        else:
            drawn = FloatDistribution(low, high, log, step)
    except (ValueError, TypeError) as error:
        reason = str(error).strip().rstrip('.')
        raise UserError(f"the range of {name} can't be drawn from ({reason})") from error
    if drawn.high != high:
        raise UserError(
            f'the range of {name} does not end at {high}: its steps of {step} end at {drawn.high}'
        )
    return Parameter(name, drawn, tuple(keys), points=points)


def _choice(name: str, values: Sequence[Any], keys: tuple[str, ...]) -> Parameter:
    if not isinstance(values, (list, tuple)) or not values:
        raise UserError(f'{name} has no choices: give at least one')
    simple = (type(None), bool, int, float, str)
    labels = [value if isinstance(value, simple) else repr(value) for value in values]
    if len(set(map(repr, labels))) < len(labels):
        raise UserError(f'{name} has a choice twice: {values!r}')
    settings = tuple(dict.fromkeys(keys, value) for value in values)
    return Parameter(name, CategoricalDistribution(labels), keys, settings)


def _known(name: str, given: Mapping[str, Any], names: set[str]) -> None:
    for key in given:
        if key not in names:
            raise UserError(f'{name} has {key}=…, which no range has: {", ".join(sorted(names))}')


def short(value: Any) -> str:
    """A setting in a few letters."""
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """The same in what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def candidates(space: Space) -> list[dict[str, Any]]:
    """Settings of trials in which every choice and both ends of every range come up."""
    ends = [
        list(p.distribution.choices)
        if isinstance(p.distribution, CategoricalDistribution)
        else [p.distribution.low, p.distribution.high]
        for p in space.parameters
    ]
    columns = itertools.zip_longest(*ends)
    rows = [[v if v is not None or k < len(e) else e[-1] for v, e in zip(row, ends, strict=True)]
            for k, row in enumerate(columns)]  # fmt: skip
    names = [p.name for p in space.parameters]
    return [space.overrides(dict(zip(names, row, strict=True))) for row in rows]
