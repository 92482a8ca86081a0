"""Fitted states as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellkit.errors import UserError
from cellkit.files.stain_states import load_state, save_states
from cellkit.stain import METHODS, StainNormalizer
from tests.cellkit.stain.slides import smear


@pytest.fixture(scope='module')
def states() -> dict:
    return {m: StainNormalizer(m).fit(smear(seed=1)) for m in METHODS}


@pytest.mark.parametrize('method', METHODS)
def test_loaded_state_does_what_the_fitted_one_did(
    states: dict, method: str, tmp_path: Path
) -> None:
    file = tmp_path / 'reference.json'
    save_states(file, states, image='train/original/a.png')
    assert json.loads(file.read_text())['image'] == 'train/original/a.png'
    image = smear((0.7, 0.61, 0.36), seed=2)
    loaded = StainNormalizer(method, state=load_state(file, method)).transform(image)
    fitted = StainNormalizer(method, state=states[method]).transform(image)
    assert loaded.applied
    assert np.array_equal(loaded.image, fitted.image)
    assert [p.name for p in tmp_path.iterdir()] == ['reference.json']


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'none\.json: .*No such file.*stain_reference'):
        load_state(tmp_path / 'none.json', 'macenko')


@pytest.mark.parametrize(
    'damage',
    [
        lambda c: '{',
        lambda c: '[]',
        lambda c: json.dumps({**c, 'format': 'other'}),
        lambda c: json.dumps({**c, 'states': {}}),
        lambda c: json.dumps({**c, 'states': {'macenko': {'white': [1, 2, 3]}}}),
        lambda c: json.dumps(c).replace('"spread": ', '"spread": NaN, "_": '),
        lambda c: json.dumps(c).replace('"contrast": ', '"contrast": null, "_": '),
    ],
)
def test_damaged_file_is_named(states: dict, tmp_path: Path, damage: Any) -> None:
    file = tmp_path / 'reference.json'
    save_states(file, states)
    file.write_text(damage(json.loads(file.read_text())))
    with pytest.raises(UserError, match=r'reference\.json: holds no macenko state'):
        load_state(file, 'macenko')


def test_unknown_method(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'khan' is unknown"):
        load_state(tmp_path / 'reference.json', 'khan')
