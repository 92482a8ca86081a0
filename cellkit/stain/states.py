"""Fitted states as JSON: one file holds a reference image's state for every method."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from cellkit.stain.density import DensityState
from cellkit.stain.reinhard import ReinhardState

State = ReinhardState | DensityState

STATES: dict[str, type] = {
    'reinhard': ReinhardState,
    'macenko': DensityState,
    'vahadane': DensityState,
}
METHODS: tuple[str, ...] = tuple(STATES)

FORMAT = 'stain-reference-1'


def save_states(path: str | Path, states: dict[str, State], **about: Any) -> None:
    """Write states to a JSON file, whole or not at all.

    Args:
        path: File to write.
        states: State by method.
        **about: What else to note, such as the reference image's name; JSON values.
    """
    path = Path(path)
    content = {
        'format': FORMAT,
        **about,
        'states': {method: _to_dict(state) for method, state in states.items()},
    }
    beside = path.with_name(path.name + '.part')
    beside.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    os.replace(beside, path)


def load_state(path: str | Path, method: str) -> State:
    """Read the state of one method.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is none of :func:`save_states` or lacks the method.
    """
    path = Path(path)
    if method not in STATES:
        raise ValueError(f'stain method {method!r} is unknown: give one of {METHODS}')
    if not path.is_file():
        raise FileNotFoundError(
            f'stain reference {path} does not exist: write it with '
            '`python -m data_prep.stain_reference`'
        )
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if content['format'] != FORMAT:
            raise ValueError(f'format {content["format"]!r}')
        return _from_dict(STATES[method], content['states'][method])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} holds no {method} state ({error}): write it again with '
            '`python -m data_prep.stain_reference`'
        ) from error


def _to_dict(state: State) -> dict[str, Any]:
    values = {f.name: getattr(state, f.name) for f in fields(state)}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _from_dict(kind: type, values: dict[str, Any]) -> State:
    missing = {f.name for f in fields(kind)} ^ set(values)
    if missing:
        raise ValueError(f'fields {sorted(missing)} missing or unknown')
    arrays = {
        k: np.asarray(v, np.float64) if isinstance(v, list) else float(v) for k, v in values.items()
    }
    if not all(np.all(np.isfinite(v)) for v in arrays.values()):
        raise ValueError('values that are no numbers')
    return kind(**arrays)
