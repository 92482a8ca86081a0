"""Download with a fake kagglehub: what is placed, what is said, what is left when it fails."""

import builtins
import sys
import types
from pathlib import Path

import pytest

from data_prep import download


def _dataset(folder: Path) -> Path:
    for part in ('train', 'test'):
        for kind in ('original', 'mask'):
            (folder / part / kind).mkdir(parents=True)
            (folder / part / kind / 'a.png').write_bytes(b'pixels')
    return folder


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """A kagglehub whose cache holds the data set some levels down; calls are counted."""
    cache = tmp_path / 'cache' / 'versions' / '1'
    _dataset(cache / 'BCCD Dataset with mask')
    module = types.ModuleType('kagglehub')
    module.calls = []

    def dataset_download(handle):
        module.calls.append(handle)
        return str(cache)

    module.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, 'kagglehub', module)
    return module


def _run(*arguments: str, capsys) -> tuple[int, str, str]:
    status = download.main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def _left_over(out: Path) -> list[str]:
    return sorted(p.name for p in out.parent.iterdir()) if out.parent.exists() else []


@pytest.mark.parametrize('copy', [False, True])
def test_places_the_folder_that_holds_train_and_test(kaggle, tmp_path, capsys, copy):
    out = tmp_path / 'raw' / 'BCCD Dataset with mask'
    status, said, _ = _run('--out', str(out), *(['--copy'] if copy else []), capsys=capsys)
    assert status == 0
    assert 'make prepare' in said
    assert kaggle.calls == ['jeetblahiri/bccd-dataset-with-mask']
    assert (out / 'train/original/a.png').read_bytes() == b'pixels'
    assert out.is_symlink() != copy
    assert _left_over(out) == [out.name]


def test_second_run_fetches_nothing(kaggle, tmp_path, capsys):
    out = tmp_path / 'raw'
    assert _run('--out', str(out), capsys=capsys)[0] == 0
    status, said, _ = _run('--out', str(out), capsys=capsys)
    assert status == 0
    assert 'already' in said
    assert len(kaggle.calls) == 1


def test_a_set_put_there_by_hand_is_found_without_kagglehub(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, 'kagglehub', None)
    out = _dataset(tmp_path / 'raw')
    assert _run('--out', str(out), capsys=capsys)[0] == 0


def test_no_kagglehub_says_how_to_do_it_by_hand(monkeypatch, tmp_path, capsys):
    real_import = builtins.__import__

    def no_kagglehub(name, *args, **kwargs):
        if name == 'kagglehub':
            raise ModuleNotFoundError("No module named 'kagglehub'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', no_kagglehub)
    out = tmp_path / 'raw' / 'set'
    status, said, error = _run('--out', str(out), capsys=capsys)
    assert status == 2
    assert said == ''
    assert error.count('\n') == 1  # one plain message
    for part in ('.[download]', download.PAGE, str(out), 'make prepare'):
        assert part in error
    assert not out.parent.exists()


@pytest.mark.parametrize('failure', [ConnectionError('no route\nlong trace'), ValueError('403')])
def test_no_network_says_why_and_leaves_nothing(kaggle, tmp_path, capsys, failure):
    def dataset_download(handle):
        raise failure

    kaggle.dataset_download = dataset_download
    out = tmp_path / 'raw' / 'set'
    status, _, error = _run('--out', str(out), capsys=capsys)
    assert status == 2
    assert str(failure).splitlines()[0] in error
    assert error.count('\n') == 1
    assert download.PAGE in error
    assert not out.parent.exists()


def test_something_else_from_kaggle_is_refused(kaggle, tmp_path, capsys):
    (tmp_path / 'other' / 'train').mkdir(parents=True)
    kaggle.dataset_download = lambda handle: str(tmp_path / 'other')
    out = tmp_path / 'raw' / 'set'
    status, _, error = _run('--out', str(out), capsys=capsys)
    assert status == 2
    assert 'test/mask' in error
    assert not out.exists()


def test_a_half_folder_is_kept_and_named(kaggle, tmp_path, capsys):
    out = tmp_path / 'raw'
    (out / 'train/original').mkdir(parents=True)
    (out / 'train/original/mine.png').write_bytes(b'mine')
    status, _, error = _run('--out', str(out), capsys=capsys)
    assert status == 2
    assert str(out) in error
    assert (out / 'train/original/mine.png').read_bytes() == b'mine'
    assert kaggle.calls == []


@pytest.mark.parametrize('before', ['empty folder', 'dangling link'])
def test_an_empty_place_is_filled(kaggle, tmp_path, capsys, before):
    out = tmp_path / 'raw'
    if before == 'empty folder':
        out.mkdir()
    else:
        out.symlink_to(tmp_path / 'emptied cache')
    assert _run('--out', str(out), capsys=capsys)[0] == 0
    assert download.is_dataset(out)


def test_a_copy_that_fails_leaves_nothing(kaggle, tmp_path, capsys, monkeypatch):
    def full_disk(source, target):
        Path(target).mkdir()
        (Path(target) / 'half').touch()
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(download.shutil, 'copytree', full_disk)
    out = tmp_path / 'raw' / 'set'
    status, _, error = _run('--out', str(out), '--copy', capsys=capsys)
    assert status == 2
    assert 'No space left' in error
    assert _left_over(out) == []


def test_default_place_matches_the_layout_of_make_prepare():
    assert Path('data/raw/BCCD Dataset with mask') == download.DOWNLOADED
    assert '`make prepare`' in download.by_hand(download.DOWNLOADED)
    assert 'DATA=' in download.by_hand(Path('elsewhere'))
