"""Kills at every moment of a save: what was there stays until what is new is complete."""

import errno
import os
from pathlib import Path

import pytest
import torch

from custom_modules.engine.whole_checkpoint import bytes_of, whole_file
from tests.custom_modules.engine.small_run import Killed, start


def readable(folder: Path) -> dict[str, int]:
    """Names of the checkpoints and their iterations; all of them can be read."""
    files = sorted(folder.glob('*.pth'))
    return {f.name: torch.load(f, weights_only=False)['meta']['iter'] for f in files}


@pytest.mark.parametrize('count', range(1, 12))
def test_a_kill_at_any_replacement_leaves_a_best_and_a_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Every file that a run replaces or removes is a moment: after each of them comes a kill."""
    folder, moments = tmp_path / 'run', [0]

    def then_killed(function):
        def wrapped(path, *args, **kwargs):
            result = function(path, *args, **kwargs)
            name = Path(path).name
            if Path(path).parent == folder and ('.pth' in name or 'last_checkpoint' in name):
                moments[0] += 1
                if moments[0] == count:
                    raise Killed
            return result

        return wrapped

    runner = start(tmp_path, f'moment{count}')
    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', then_killed(os.replace))
        patch.setattr(os, 'remove', then_killed(os.remove))
        with pytest.raises(Killed):
            runner.train()
    before = readable(folder)
    assert before, 'no checkpoint at all'
    if count > 3:  # the first best one is there
        assert any(name.startswith('best_') for name in before)
    again = start(tmp_path, f'again{count}', resume=True)
    again.train()
    assert readable(folder).keys() == {'epoch_3.pth', 'best_rising_epoch_3.pth'}
    assert (folder / 'last_checkpoint').read_text().endswith('epoch_3.pth')


def test_a_full_disk_keeps_the_old_checkpoint_and_says_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = start(tmp_path, 'full')
    runner.train()
    before = readable(tmp_path / 'run')

    def full(checkpoint: dict, filename: str, **_: object) -> None:
        Path(filename).write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device', filename)

    monkeypatch.setattr('mmengine.runner.runner.save_checkpoint', full)
    again = start(tmp_path, 'full_again', resume=True, **{'train_cfg.max_epochs': 4})
    with pytest.raises(SystemExit, match=r'epoch_4.pth: the disk is full, .* takes .* MiB'):
        again.train()
    assert readable(tmp_path / 'run') == before
    assert not list((tmp_path / 'run').glob('*.part'))


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / 'a.pth'
    file.write_text('old')
    with pytest.raises(FileNotFoundError), whole_file(file, 1) as part:
        part.with_name('nowhere').rename(part)
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']
    with whole_file(file, 1) as part:
        part.write_text('new')
    assert file.read_text() == 'new'


def test_bytes_of_nested_tensors() -> None:
    assert bytes_of({'a': torch.zeros(3), 'b': [torch.zeros(2, dtype=torch.int64), 5]}) == 28
