"""What a resume finds after trouble, and what it refuses."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch

from custom_modules.engine.last_checkpoint import newest_whole
from tests.custom_modules.engine.small_run import start

LONGER = {'train_cfg.max_epochs': 4, 'default_hooks.checkpoint.max_keep_ckpts': 3}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Three epochs, all kept."""
    start(tmp_path, f'{request.node.name}0', **(LONGER | {'train_cfg.max_epochs': 3})).train()
    return tmp_path / 'run'


@pytest.mark.parametrize('content', ['', '\0\0', 'gone.pth', 'elsewhere/epoch_3.pth'])
def test_whatever_last_checkpoint_says_the_newest_is_found(run: Path, content: str) -> None:
    (run / 'last_checkpoint').write_text(content)
    found = newest_whole(run)
    assert found.file == run / 'epoch_3.pth'
    assert found.meta['iter'] == 9
    (run / 'last_checkpoint').unlink()
    assert newest_whole(run).file == run / 'epoch_3.pth'


def test_a_file_that_is_cut_off_is_told_and_left_out(run: Path, tmp_path: Path) -> None:
    cut(run / 'epoch_3.pth')
    again = start(tmp_path, 'cut', resume=True, **LONGER)
    again.train()
    assert again.epoch == 4
    assert torch.load(run / 'epoch_3.pth', weights_only=False)['meta']['iter'] == 9
    starts = json.loads((run / 'run.json').read_text())['starts']
    assert [s['resumed_from'] for s in starts] == [None, str(run / 'epoch_2.pth')]


def test_a_later_one_that_was_not_named_yet_counts(run: Path) -> None:
    (run / 'last_checkpoint').write_text('epoch_2.pth')
    assert newest_whole(run).file == run / 'epoch_3.pth'


def test_an_earlier_one_that_was_gone_on_from_on_purpose_counts(run: Path) -> None:
    (run / 'last_checkpoint').write_text('epoch_2.pth')
    (run / 'epoch_2.pth').touch()
    assert newest_whole(run).file == run / 'epoch_2.pth'


def test_nothing_that_can_be_read_is_one_sentence(run: Path, tmp_path: Path) -> None:
    for file in run.glob('epoch_*.pth'):
        cut(file)
    with pytest.raises(SystemExit, match=r'no checkpoint of the run can be .* load_from=.*/best'):
        start(tmp_path, 'nothing', resume=True, **LONGER).train()


def test_a_best_checkpoint_is_no_state_of_training(run: Path, tmp_path: Path) -> None:
    best = next(run.glob('best_*.pth'))
    with pytest.raises(SystemExit, match=r'holds weights alone, .* start from these weights'):
        start(tmp_path, 'bestone', resume=True, load_from=str(best), **LONGER).train()


def test_another_model_is_refused(run: Path, tmp_path: Path) -> None:
    file = run / 'epoch_3.pth'
    content = torch.load(file, weights_only=False)
    content['state_dict'] = {'net.weight': torch.zeros(1), **content['state_dict']}
    torch.save(content, file)
    with pytest.raises(SystemExit, match=r'epoch_3.pth: is of another model, 2 of 2'):
        start(tmp_path, 'othermodel', resume=True, **LONGER).train()


def test_other_data_are_refused(run: Path, tmp_path: Path) -> None:
    file = run / 'epoch_3.pth'
    content = torch.load(file, weights_only=False)
    content['meta']['dataset_meta'] = {'annotations_sha256': 'a' * 64}
    torch.save(content, file)
    again = start(tmp_path, 'otherdata', resume=True, **LONGER)
    again._train_loop = again.build_train_loop(again._train_loop)
    dataset = again.train_dataloader.dataset
    dataset._metainfo['annotations_sha256'], dataset.ann_file = 'b' * 64, 'train.json'
    with pytest.raises(SystemExit, match=r'trained on other annotations than .*train.json holds'):
        again.train()


def test_a_second_fresh_run_into_the_folder_is_refused(run: Path, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in run.rglob('*') if file.is_file()}
    time.sleep(1)  # logs are named after the second
    with pytest.raises(SystemExit, match=r'run holds another run: go on .*WORK_DIR=.*run_2'):
        start(tmp_path, 'second', **LONGER).train()
    assert {file: file.read_bytes() for file in run.rglob('*') if file.is_file()} == before
    shutil.copy(run / 'epoch_3.pth', tmp_path / 'elsewhere.pth')
    elsewhere = str(tmp_path / 'elsewhere.pth')
    with pytest.raises(SystemExit, match='holds another run'):
        start(tmp_path, 'third', resume=True, load_from=elsewhere, **LONGER).train()


def test_a_run_says_what_it_takes_to_do_it_again(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / 'run.json').read_text())
    (first,) = record['starts']
    assert record['seed'] == first['seed'] == newest_whole(run).meta['seed']
    assert first['versions']['torch'] == torch.__version__.partition('+')[0]
    assert first['data'] == {'images': 3}
    assert set(first['git'] or {}) in (set(), {'commit', 'changed'})
