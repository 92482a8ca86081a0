"""Fitted states as JSON: one file holds a reference image's state for every method."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from cellkit.errors import UserError
from cellkit.files.writing import write_json
from cellkit.stain.methods import State, find_method

FORMAT = 'stain-reference-1'


def save_states(path: str | Path, states: Mapping[str, State], **about: Any) -> None:
    """Write states, by method, to a JSON file, whole or not at all.

    ``about`` is what else to note, such as the reference image's name; JSON values.
    """
    listed = {
        method: {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(s).items()}
        for method, s in states.items()
    }
    write_json(Path(path), {'format': FORMAT, **about, 'states': listed}, indent=2)


def load_state(path: str | Path, method: str) -> State:
    """Read the state of one method.

    Raises:
        UserError: There is no such file, it is none of :func:`save_states` or lacks the method.
        ValueError: The method is unknown.
    """
    kind = find_method(method).state
    remedy = 'write it with `python -m data_prep.stain_reference`'
    try:
        content = json.loads(Path(path).read_bytes())
        if content['format'] != FORMAT:
            raise ValueError(f'format {content["format"]!r}')
        values = content['states'][method]
        if wrong := {f.name for f in fields(kind)} ^ set(values):
            raise ValueError(f'fields {sorted(wrong)} missing or unknown')
        values = {k: np.asarray(v, np.float64) for k, v in values.items()}
        if not all(np.isfinite(v).all() for v in values.values()):
            raise ValueError('values that are no numbers')
        return kind(**{k: v if v.ndim else float(v) for k, v in values.items()})
    except OSError as error:
        what = f"can't be read ({error.strerror})"
        raise UserError(f'stain reference {path}: {what}; {remedy}') from error
    except (ValueError, KeyError, TypeError) as error:
        what = f'holds no {method} state ({error})'
        raise UserError(f'stain reference {path}: {what}; {remedy}') from error
