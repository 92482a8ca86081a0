"""The stain reference is chosen by statistics and written with its states."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellkit.errors import UserError
from cellkit.files.stain_states import load_state
from cellkit.stain import METHODS, StainNormalizer
from data_prep import stain_reference as module


@given(arrays(np.float64, st.tuples(st.integers(1, 9), st.just(3)), elements=st.floats(-99, 99)))
def test_medoid_has_the_least_sum_of_distances(rows: np.ndarray) -> None:
    best, distances = module.medoid(rows)
    sums = [sum(np.linalg.norm(a - b) for b in rows) for a in rows]
    assert sums[best] == pytest.approx(min(sums))
    assert distances.sum() == pytest.approx(min(sums))
    assert distances[best] == 0


def tinted_smear(colour: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full((200, 260, 3), (228, 229, 226), np.uint8)
    for _ in range(12):
        centre = (int(rng.integers(260)), int(rng.integers(200)))
        cv2.circle(image, centre, 16, colour, -1)
    return np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Four images of one stain, one outlier first in the alphabet, and one without cells."""
    root = tmp_path / 'bccd'
    (root / 'annotations').mkdir(parents=True)
    (root / 'images').mkdir()
    smears = {'a_outlier.png': tinted_smear((60, 30, 160), 0)}
    for k, shade in enumerate((-8, 0, 3, 9)):
        smears[f'b{k}.png'] = tinted_smear((120 + shade, 80 + shade, 85 + shade), k)
    smears['c_blank.png'] = tinted_smear((228, 229, 226), 5)
    for name, image in smears.items():
        cv2.imwrite(str(root / 'images' / name), image)
    images = [{'id': k, 'file_name': name} for k, name in enumerate(smears)]
    (root / 'annotations' / 'train.json').write_text(json.dumps({'images': images}))
    return root


def test_medoid_is_written_with_a_state_for_every_method(data_root: Path) -> None:
    file = module.write_stain_reference(data_root, workers=1)
    about = json.loads(file.read_text())
    assert about['image'] == 'b1.png'  # neither the first nor the outlier
    assert about['images'] == 5
    assert (
        'no foreground' in about['skipped']['c_blank.png']
        or 'one' in about['skipped']['c_blank.png']
    )
    reference = cv2.imread(str(data_root / 'images' / 'b1.png'))
    outlier = cv2.imread(str(data_root / 'images' / 'a_outlier.png'))
    for method in METHODS:
        fitted = StainNormalizer(method)
        fitted.fit(reference, 'bgr')
        loaded = StainNormalizer(method, state=load_state(file, method))
        expected = fitted.transform(outlier, 'bgr')
        assert expected.applied
        assert np.array_equal(loaded.transform(outlier, 'bgr').image, expected.image)
    picture = cv2.imread(str(data_root / module.PICTURE))
    assert picture.shape[0] > 1000


def test_unchanged_training_part_is_not_read_again(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = module.write_stain_reference(data_root, workers=1)
    before = file.stat().st_mtime_ns
    calls = []
    monkeypatch.setattr(module, 'choose_reference', lambda *a: calls.append(a))
    module.write_stain_reference(data_root)
    assert file.stat().st_mtime_ns == before
    assert not calls
    annotations = data_root / 'annotations' / 'train.json'
    monkeypatch.undo()
    names = json.loads(annotations.read_text())['images']
    annotations.write_text(json.dumps({'images': names[:1]}))
    about = json.loads(module.write_stain_reference(data_root, workers=1).read_text())
    assert about['image'] == 'a_outlier.png'


def test_order_of_names_does_not_matter(data_root: Path) -> None:
    names = [p.name for p in (data_root / 'images').iterdir()]
    one = module.choose_reference(data_root / 'images', names, 2)
    other = module.choose_reference(data_root / 'images', names[::-1], 1)
    assert one.image == other.image


def test_command_on_a_prepared_data_set(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = tmp_path / 'bccd'
    shutil.copytree(tiny_data, root, symlinks=False)
    assert module.main(['--data-root', str(root)]) == 0
    assert 'medoid' in capsys.readouterr().out
    assert json.loads((root / module.STAIN_REFERENCE).read_text())['image'].startswith('train/')


def test_missing_data_set_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert module.main(['--data-root', str(tmp_path / 'none')]) == 2
    error = capsys.readouterr().err
    assert 'train.json' in error
    assert 'make prepare' in error
    assert len(error.strip().splitlines()) == 1


def test_no_usable_image_is_one_sentence(data_root: Path, capsys: pytest.CaptureFixture) -> None:
    for file in (data_root / 'images').iterdir():
        cv2.imwrite(str(file), np.full((50, 50, 3), 200, np.uint8))
    assert module.main(['--data-root', str(data_root)]) == 2
    assert 'none of 6 training images' in capsys.readouterr().err
    assert not (data_root / module.STAIN_REFERENCE).exists()
    assert 'none of 6' in json.loads((data_root / module.REFUSED).read_text())['reason']


def test_unreadable_image_is_named_and_not_remembered(data_root: Path) -> None:
    image = data_root / 'images' / 'b1.png'
    whole = image.read_bytes()
    image.write_bytes(b'no picture')
    with pytest.raises(UserError, match=r"b1\.png: can't be decoded"):
        module.write_stain_reference(data_root, workers=1)
    image.write_bytes(whole)
    assert module.chosen_image(module.write_stain_reference(data_root, workers=1)) == 'b1.png'
