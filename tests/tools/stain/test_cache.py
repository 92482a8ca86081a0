"""The offline cache of normalised images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from cellkit.files.prepared import PARTS, STAIN_REFERENCE
from cellkit.files.stain_states import load_state
from cellkit.stain import StainNormalizer
from data_prep.stain_reference import write_stain_reference
from tools.stain import cache as module
from tools.stain.__main__ import main


@pytest.fixture(scope='module')
def data_root(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set with its stain reference; one image is black."""
    root = tmp_path_factory.mktemp('stain') / 'bccd'
    shutil.copytree(tiny_data, root)
    write_stain_reference(root, workers=1)
    name = json.loads((root / 'annotations' / 'test.json').read_text())['images'][0]['file_name']
    cv2.imwrite(str(root / 'images' / name), np.zeros((240, 320, 3), np.uint8))
    return root


def names(root: Path) -> list[str]:
    files = [root / 'annotations' / f'{part}.json' for part in PARTS]
    return [i['file_name'] for f in files for i in json.loads(f.read_text())['images']]


def test_cache_is_a_data_set_of_normalised_images(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / 'cache'
    command = ['cache', '--method', 'macenko', '--data-root', str(data_root), '--out', str(out)]
    assert main([*command, '--workers', '2']) == 0
    printed = capsys.readouterr().out
    assert '5 of 6 images normalised by macenko' in printed
    assert 'unchanged: 1, the image has one brightness only' in printed
    state = load_state(data_root / STAIN_REFERENCE, 'macenko')
    notes = json.loads((out / module.MANIFEST).read_text())['images']
    for old, new in zip(names(data_root), names(out), strict=True):
        assert new == str(Path(old).with_suffix('.png'))
        image = cv2.imread(str(data_root / 'images' / old))
        expected = StainNormalizer('macenko', state=state).transform(image, 'bgr')
        assert np.array_equal(cv2.imread(str(out / 'images' / new)), expected.image)
        assert notes[new]['applied'] == expected.applied
    for part in PARTS:
        before, after = (
            json.loads((root / 'annotations' / f'{part}.json').read_text())
            for root in (data_root, out)
        )
        assert after['annotations'] == before['annotations']
    assert not list(out.rglob('*.part'))


def test_stopped_run_goes_on(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / 'cache'
    normalise, calls = module._normalise, []

    def interrupted(*args: object) -> dict:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return normalise(*args)

    command = ['cache', '--method', 'reinhard', '--data-root', str(data_root), '--out', str(out)]
    monkeypatch.setattr(module, '_normalise', interrupted)
    assert main([*command, '--workers', '1']) == 130
    kept = json.loads((out / module.MANIFEST).read_text())['images']
    assert 1 <= len(kept) <= 5
    assert not (out / 'annotations' / 'train.json').exists()
    again = []
    monkeypatch.setattr(module, '_normalise', lambda *a: again.append(a) or normalise(*a))
    assert main([*command, '--workers', '1']) == 0
    assert len(again) == 6 - len(kept)
    assert len(names(out)) == 6


def test_other_settings_or_files_are_refused(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / 'cache'
    command = ['cache', '--data-root', str(data_root), '--out', str(out), '--workers', '1']
    assert main([*command, '--method', 'reinhard']) == 0
    capsys.readouterr()
    assert main([*command, '--method', 'macenko']) == 2
    assert 'another method' in capsys.readouterr().err
    other = tmp_path / 'photos'
    other.mkdir()
    (other / 'holiday.png').write_bytes(b'')
    assert main([*command[:4], str(other), '--method', 'macenko']) == 2
    assert 'is no stain cache' in capsys.readouterr().err
    assert [p.name for p in other.iterdir()] == ['holiday.png']


def test_missing_reference_is_one_sentence(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = [
        'cache',
        '--method',
        'macenko',
        '--data-root',
        str(tiny_data),
        '--out',
        str(tmp_path / 'c'),
    ]
    command += ['--reference', str(tmp_path / 'reference.json')]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert 'reference.json: ' in error
    assert 'data_prep.stain_reference' in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / 'c').exists()


def test_a_changed_image_is_normalised_anew(data_root: Path, tmp_path: Path) -> None:
    """With a reference of one's own nothing else tells that the images are others now."""
    root = shutil.copytree(data_root, tmp_path / 'bccd')
    reference = tmp_path / 'own.json'
    shutil.copy(root / STAIN_REFERENCE, reference)
    out = tmp_path / 'cache'

    def run() -> dict[str, bytes]:
        module.cache_stain(root, out, 'reinhard', reference, workers=1)
        return {name: (out / 'images' / name).read_bytes() for name in names(out)}

    before = run()
    changed, lost, *_ = [name for name in names(root) if name.startswith('train/')]
    path = root / 'images' / changed
    cv2.imwrite(str(path), cv2.imread(str(path))[::-1])
    new = {old: str(Path(old).with_suffix('.png')) for old in (changed, lost)}
    (out / 'images' / new[lost]).write_bytes(b'half')
    after = run()
    assert after[new[changed]] != before[new[changed]]
    expected = StainNormalizer('reinhard', state=load_state(reference, 'reinhard')).transform(
        cv2.imread(str(path)), 'bgr'
    )
    written = cv2.imdecode(np.frombuffer(after[new[changed]], np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(written, expected.image)
    assert {name for name in after if after[name] != before[name]} == {new[changed]}


def test_an_image_that_the_set_has_no_more_goes(data_root: Path, tmp_path: Path) -> None:
    root, out = shutil.copytree(data_root, tmp_path / 'bccd'), tmp_path / 'cache'
    module.cache_stain(root, out, 'reinhard', workers=1)
    file = root / 'annotations' / 'val.json'
    content = json.loads(file.read_text())
    gone = content['images'].pop()['file_name']
    file.write_text(json.dumps(content))
    notes = module.cache_stain(root, out, 'reinhard', workers=1)
    new = str(Path(gone).with_suffix('.png'))
    assert new not in notes
    assert not (out / 'images' / new).exists()
