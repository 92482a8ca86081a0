"""Where things lie in a prepared data set."""

from pathlib import Path

import pytest

from cellkit.errors import UserError
from cellkit.files.prepared import (
    DEFAULT_ROOT,
    annotation_file,
    data_root,
    is_demo,
    training_images,
)
from cellkit.files.writing import write_json


def test_the_environment_names_the_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('DATA_ROOT', raising=False)
    assert data_root() == DEFAULT_ROOT
    monkeypatch.setenv('DATA_ROOT', '')  # as make hands on what is not given
    assert data_root() == DEFAULT_ROOT
    monkeypatch.setenv('DATA_ROOT', '/my data')
    assert data_root() == Path('/my data')


def test_a_set_says_whether_it_is_the_demo(tmp_path: Path) -> None:
    assert is_demo(tmp_path) is None
    write_json(annotation_file(tmp_path, 'train'), {})
    assert is_demo(tmp_path) is False
    for demo in (True, False):
        write_json(tmp_path / 'split.json', {'demo': demo})
        assert is_demo(tmp_path) is demo
    (tmp_path / 'split.json').write_text('[')
    with pytest.raises(UserError, match=r"split\.json: can't be read .* run `make prepare`"):
        is_demo(tmp_path)


def test_a_set_says_how_many_images_train(tmp_path: Path) -> None:
    file = annotation_file(tmp_path, 'train')
    write_json(file, {'images': [{'id': 1}, {'id': 2}]})
    assert training_images(tmp_path) == 2  # no split.json: made elsewhere
    write_json(tmp_path / 'split.json', {'train': ['a.png', 'b.png', 'c.png']})
    assert training_images(tmp_path) == 3
    (tmp_path / 'split.json').unlink()
    file.write_text('{}')
    with pytest.raises(UserError, match=r"train\.json: can't be read as COCO JSON"):
        training_images(tmp_path)
