"""Changes of a config, from texts and from a notebook."""

import pytest
from mmengine.config import Config

from cellkit.errors import UserError
from cellkit.files.program import words
from tools.runs.overrides import apply_overrides, parse_overrides


def test_texts_are_read() -> None:
    texts = ['a.b=5e-4', 'c=(3,4)', 'd=[1,2]', 'e=None', 'f=text', 'g=True']
    assert parse_overrides(texts) == {
        'a.b': 5e-4, 'c': (3, 4), 'd': [1, 2], 'e': None, 'f': 'text', 'g': True,
    }  # fmt: skip


def test_values_by_key_stay_what_they_are() -> None:
    assert parse_overrides({'work_dir': 'my runs/x'}) == {'work_dir': 'my runs/x'}


def test_a_quoted_value_keeps_its_blanks() -> None:
    """make hands OPTS on in one string."""
    assert parse_overrides(words('work_dir="my runs/x" a=1')) == {'work_dir': 'my runs/x', 'a': 1}


def test_an_override_without_a_value_is_told() -> None:
    with pytest.raises(UserError, match='the setting lr has no value'):
        parse_overrides(['lr'])
    with pytest.raises(UserError, match='a quotation mark stands alone'):
        words('a="b')


def test_an_override_that_nothing_reads_is_told() -> None:
    config = Config({'train_cfg': {'type': 'EpochBasedTrainLoop', 'max_epochs': 3}})
    apply_overrides(config, ['train_cfg.max_epochs=4'])
    assert config.train_cfg.max_epochs == 4
    with pytest.raises(UserError, match=r'train_cfg\.max_epoch'):
        apply_overrides(config, ['train_cfg.max_epoch=4'])
