"""A set of synthetic smears: in the real set's layout, the same pixels each time, whole or not."""

import errno
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cellkit.errors import UserError
from cellkit.files.prepared import DEMO_MANIFEST
from data_prep.demo import write_demo_set


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope='module')
def demo_set(tmp_path_factory):
    return write_demo_set(
        tmp_path_factory.mktemp('demo') / 'smears',
        train=8,
        test=3,
        seed=4,
        size=(150, 200),
        workers=1,
    )


def test_layout_pairs_and_masks(demo_set):
    for part, count in (('train', 8), ('test', 3)):
        images = {p.stem: p for p in (demo_set / part / 'original').iterdir()}
        masks = {p.stem: p for p in (demo_set / part / 'mask').iterdir()}
        assert len(images) == count
        assert images.keys() == masks.keys()
        for stem, path in images.items():
            mask = cv2.imread(str(masks[stem]), cv2.IMREAD_UNCHANGED)
            assert masks[stem].suffix == '.png'
            assert mask.ndim == 3
            assert set(np.unique(mask)) == {0, 255}
            assert cv2.imread(str(path)).shape == mask.shape
            assert mask.shape[:2] == ((150, 200) if path.suffix == '.png' else (173, 243))


def test_some_images_are_jpg_of_another_size(demo_set):
    assert len(list(demo_set.rglob('*.jpg'))) == 1


def test_no_temporary_folder_is_left(demo_set):
    assert [p.name for p in demo_set.parent.iterdir()] == ['smears']


def test_number_of_processes_changes_nothing(demo_set, tmp_path):
    again = write_demo_set(tmp_path / 'two', 8, 3, seed=4, size=(150, 200), workers=2)
    assert _digests(again) == _digests(demo_set)


def test_seeds_and_parts_differ(demo_set, tmp_path):
    other = write_demo_set(tmp_path / 'other', 1, 1, seed=5, size=(150, 200), workers=1)
    name = 'train/original/demo_train_0000.png'
    first = (demo_set / name).read_bytes()
    assert (other / name).read_bytes() != first
    assert (demo_set / 'test/original/demo_test_0000.png').read_bytes() != first


def test_a_larger_set_begins_with_the_smaller_one(demo_set, tmp_path):
    less = write_demo_set(tmp_path / 'less', 2, 1, seed=4, size=(150, 200), workers=1)
    few, many = _digests(less), _digests(demo_set)
    del few[DEMO_MANIFEST]
    assert few.items() <= many.items()


def test_the_same_call_writes_nothing_other_arguments_replace(tmp_path):
    folder = write_demo_set(tmp_path / 'set', 2, 1, size=(120, 160), workers=1)
    (folder / 'train' / 'kept').touch()
    write_demo_set(folder, 2, 1, size=(120, 160), workers=1)
    assert (folder / 'train' / 'kept').exists()
    write_demo_set(folder, 1, 1, size=(120, 160), workers=1)
    assert not (folder / 'train' / 'kept').exists()
    assert len(list((folder / 'train/mask').iterdir())) == 1
    assert json.loads((folder / DEMO_MANIFEST).read_text())['train'] == 1


def test_a_failure_leaves_the_old_set_as_it_was(tmp_path, monkeypatch):
    folder = write_demo_set(tmp_path / 'set', 2, 1, size=(120, 160), workers=1)
    before = _digests(folder)

    def full_disk(path, content):
        raise OSError(errno.ENOSPC, 'No space left on device', str(path))

    monkeypatch.setattr(Path, 'write_bytes', full_disk)
    with pytest.raises(UserError, match=r"set: can't be written \(No space left on device: "):
        write_demo_set(folder, 3, 1, size=(120, 160), workers=1)
    assert _digests(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == ['set']


def test_a_damaged_manifest_is_made_anew(tmp_path):
    folder = write_demo_set(tmp_path / 'set', 1, 1, size=(120, 160), workers=1)
    whole = (folder / DEMO_MANIFEST).read_bytes()
    (folder / DEMO_MANIFEST).write_bytes(whole[:20])
    write_demo_set(folder, 1, 1, size=(120, 160), workers=1)
    assert (folder / DEMO_MANIFEST).read_bytes() == whole


@pytest.mark.parametrize('wrong', [{'train': 0}, {'test': -1}, {'workers': 0}])
def test_impossible_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(UserError, match=f'--{next(iter(wrong))} is .*: it must be at least 1'):
        write_demo_set(tmp_path / 'set', **wrong)
    assert not (tmp_path / 'set').exists()
