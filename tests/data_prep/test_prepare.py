"""The whole command on small sets: what it writes, when it runs again, what it leaves alone."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from cellkit.errors import UserError
from cellkit.files.prepared import STAIN_REFERENCE
from data_prep import output, prepare, stain_reference
from data_prep.demo import write_demo_set
from data_prep.pairs import find_pairs

OURS = ['annotations', 'images', 'report', 'split.json', 'stain']


def run(data: Path, out: Path, *options: str) -> int:
    return prepare.main(['--data', str(data), '--out', str(out), '--workers', '1', *options])


def content(out: Path) -> dict[str, bytes]:
    """All files that a run writes, but the stamp, which holds times."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob('*'))
        if path.is_file() and not path.is_symlink() and path.name != output.STAMP
    }


def read(out: Path, name: str) -> dict:
    return json.loads((out / name).read_text())


def file_names(out: Path, part: str) -> list[str]:
    images = read(out, f'annotations/{part}.json')['images']
    return [image['file_name'] for image in images]


def only_entry(out: Path) -> bool:
    """Whether nothing was left beside the output."""
    return [p.name for p in out.parent.iterdir() if p.name.startswith(f'.{out.name}')] == []


def test_what_is_written(make_set, tmp_path, capsys):
    data, out = make_set(train=10, test=3), tmp_path / 'prepared' / 'bccd'
    assert run(data, out) == 0
    assert sorted(p.name for p in out.iterdir() if p.name[0] != '.') == OURS
    assert (out / 'images').resolve() == data
    assert sorted(p.name for p in (out / 'report').iterdir()) == [
        'contact_sheet.png',
        'report.json',
        'report.md',
    ]
    assert 'images 7 train, 3 val, 3 test; cells 21, 9, 9' in capsys.readouterr().out

    split = read(out, 'split.json')
    assert split['demo'] is False
    assert split['seed'] == 0
    assert split['instance_rule'] == {
        'threshold': 127,
        'connectivity': 8,
        'min_area': 100,
        'split_touching': False,
    }
    seen = set()
    for part in ('train', 'val', 'test'):
        coco = COCO(str(out / 'annotations' / f'{part}.json'))
        assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == ['cell']
        assert coco.getCatIds(supNms=['cell']) == [1]
        assert coco.getCatIds() == [1]
        assert split[part] == file_names(out, part)
        assert coco.dataset['info']['fingerprint'] == split['fingerprint']
        assert min(coco.anns) == 1
        assert not seen & set(coco.imgs)
        seen |= set(coco.imgs)
        for image in coco.imgs.values():
            mask = cv2.imread(str(data / image['file_name'].replace('original', 'mask')), 0)
            assert (image['height'], image['width']) == mask.shape
            annotations = coco.imgToAnns[image['id']]
            bitmaps = [coco.annToMask(a) for a in annotations]
            np.testing.assert_array_equal(np.sum(bitmaps, axis=0), mask > 127)
            for annotation, bitmap in zip(annotations, bitmaps, strict=True):
                assert annotation['area'] == bitmap.sum()
                assert annotation['bbox'] == list(cv2.boundingRect(bitmap))
                assert annotation['iscrowd'] == 0
                assert isinstance(annotation['segmentation']['counts'], str)
            assert (out / 'images' / image['file_name']).is_file()
    assert len(seen) == 13


def test_all_suffixes_in_any_case_make_pairs(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    folder = data / 'train' / 'original'
    for stem, suffix in (('a00', '.JPG'), ('a01', '.tiff'), ('a02', '.BMP'), ('a03', '.jpeg')):
        picture = cv2.imread(str(folder / f'{stem}.png'))
        (folder / f'{stem}.png').unlink()
        (folder / f'{stem}{suffix}').write_bytes(cv2.imencode(suffix.lower(), picture)[1].tobytes())
    mask = data / 'train' / 'mask' / 'a01.png'
    mask.with_suffix('.TIF').write_bytes(
        cv2.imencode('.tif', cv2.imread(str(mask), 0))[1].tobytes()
    )
    mask.unlink()
    assert run(data, out) == 0
    names = file_names(out, 'train') + file_names(out, 'val')
    assert sorted(Path(n).name for n in names) == ['a00.JPG', 'a01.tiff', 'a02.BMP', 'a03.jpeg']


def test_hidden_files_and_other_files_are_left_alone(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    (data / 'train' / 'original' / '._a00.png').write_bytes(b'resource fork')
    (data / 'train' / 'mask' / 'notes.txt').write_text('hello')
    (data / 'train' / 'mask' / 'folder.png').mkdir()
    assert run(data, out) == 0
    assert read(out, 'report/report.json')['ignored_files'] == [
        'train/mask/folder.png',
        'train/mask/notes.txt',
        'train/original/._a00.png',
    ]


def test_symbolic_links_are_followed(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    linked = tmp_path / 'linked'
    linked.mkdir()
    (linked / 'test').symlink_to(data / 'test')
    for kind in ('original', 'mask'):
        (linked / 'train' / kind).mkdir(parents=True)
        for path in (data / 'train' / kind).iterdir():
            (linked / 'train' / kind / path.name).symlink_to(path)
    assert run(linked, out) == 0
    plain = tmp_path / 'plain'
    assert run(data, plain) == 0
    assert (out / 'split.json').read_bytes() == (plain / 'split.json').read_bytes()


def test_same_bytes_whatever_the_file_order_and_the_number_of_processes(
    make_set, tmp_path, monkeypatch
):
    data = make_set(train=9, test=3)
    assert run(data, tmp_path / 'one') == 0
    listdir = os.listdir

    def shuffled(path):
        names = listdir(path)
        random.Random(7).shuffle(names)
        return names

    monkeypatch.setattr(os, 'listdir', shuffled)
    assert run(data, tmp_path / 'two') == 0
    monkeypatch.undo()
    assert run(data, tmp_path / 'three', '--workers', '2') == 0
    first = content(tmp_path / 'one')
    assert len(first) == 8
    assert content(tmp_path / 'two') == first
    assert content(tmp_path / 'three') == first


def test_the_split_depends_on_the_seed_and_not_on_the_place(make_set, tmp_path):
    data = make_set(train=12)
    assert run(data, tmp_path / 'zero') == 0
    assert run(data, tmp_path / 'one', '--seed', '1') == 0
    assert file_names(tmp_path / 'zero', 'val') != file_names(tmp_path / 'one', 'val')
    assert run(data, tmp_path / 'half', '--val-fraction', '0.5') == 0
    assert len(file_names(tmp_path / 'half', 'val')) == 6
    assert file_names(tmp_path / 'zero', 'test') == file_names(tmp_path / 'one', 'test')
    moved = shutil.copytree(data, tmp_path / 'elsewhere' / 'smears')
    assert run(moved, tmp_path / 'two') == 0
    assert content(tmp_path / 'two') == content(tmp_path / 'zero')


def test_a_second_run_returns_at_once(make_set, tmp_path, capsys, monkeypatch):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out) == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob('*') if p.is_file()}
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(prepare, 'in_processes', lambda *_, **__: pytest.fail('converted again'))
        patch.setattr(
            stain_reference, 'choose_reference', lambda *_: pytest.fail('looked for a reference')
        )
        assert run(data, out) == 0
    assert 'is up to date: neither the data nor the options have changed' in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in out.rglob('*') if p.is_file()} == before


def test_the_stain_reference_is_chosen_once(tiny_data, monkeypatch, capsys):
    about = read(tiny_data, 'stain/reference.json')
    assert about['image'] in file_names(tiny_data, 'train')
    assert (tiny_data / 'stain' / 'reference.png').is_file()
    monkeypatch.setattr(prepare, 'write_stain_reference', lambda *_: pytest.fail('chosen again'))
    assert run(tiny_data.parent / 'smears', tiny_data) == 0
    assert 'is up to date' in capsys.readouterr().out


def test_images_without_stain_leave_no_reference_and_a_sentence(make_set, tmp_path, capsys):
    assert run(make_set(), tmp_path / 'bccd') == 0
    said = capsys.readouterr().out
    assert "No stain reference, so configs that normalise stain can't be used" in said
    assert 'none of 3 training images' in said
    assert not (tmp_path / 'bccd' / STAIN_REFERENCE).exists()


def test_a_reference_of_other_data_does_not_stay(make_set, tmp_path):
    out = tmp_path / 'bccd'
    assert run(make_set(name='first'), out) == 0
    (out / 'stain' / 'reference.json').write_text('{"train_json_sha256": "of other data"}')
    assert run(make_set(train=6, name='second'), out) == 0
    assert not (out / 'stain' / 'reference.json').exists()


def test_the_demo_set_does_not_replace_real_data(make_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / 'bccd'
    assert run(make_set(), out) == 0
    before = content(out)
    assert prepare.main(['--out', str(out)]) == 0
    assert 'holds a prepared data set, which is kept' in capsys.readouterr().out
    assert content(out) == before
    assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError(errno.ENOSPC, 'No space left')])
def test_a_swap_that_is_stopped_puts_everything_back(error, make_set, tmp_path, monkeypatch):
    out = tmp_path / 'bccd'
    assert run(make_set(name='first'), out) == 0
    (out / 'notes').mkdir()
    before, replace = content(out), os.replace

    def stopped(source, target):
        if (
            Path(target) == out
            and Path(source).name.startswith('.bccd')
            and Path(source).suffix != '.old'
        ):
            raise error
        replace(source, target)

    second = make_set(train=6, name='second')
    monkeypatch.setattr(os, 'replace', stopped)
    assert run(second, out) in (2, 130)
    assert content(out) == before
    assert (out / 'notes').is_dir()
    assert only_entry(out)


def test_copied_images_that_are_gone_are_copied_again(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out, '--copy-images') == 0
    lost = next((out / 'images' / 'train' / 'original').iterdir())
    lost.unlink()
    assert run(data, out, '--copy-images') == 0
    assert lost.is_file()


def _redraw(data: Path, out: Path) -> None:
    file = data / 'train' / 'mask' / 'a00.png'
    state = file.stat()
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    _, pieces = cv2.connectedComponents(mask)
    mask[pieces == 1] = 0
    assert cv2.imwrite(str(file), mask)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def _alter(data: Path, out: Path) -> None:
    file = out / 'annotations' / 'val.json'
    state = file.stat()
    file.write_bytes(file.read_bytes().replace(b'"iscrowd": 0', b'"iscrowd": 1'))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # of one size and time


def _add(data: Path, out: Path) -> None:
    for kind in ('original', 'mask'):
        folder = data / 'train' / kind
        shutil.copy(folder / 'a00.png', folder / 'z.png')


def _tamper(data: Path, out: Path) -> None:
    (out / 'annotations' / 'val.json').write_text('{}')


def _lose(data: Path, out: Path) -> None:
    (out / 'report' / 'report.md').unlink()


def _unlink(data: Path, out: Path) -> None:
    (out / 'images').unlink()


@pytest.mark.parametrize('change', [_redraw, _alter, _add, _tamper, _lose, _unlink])
def test_a_change_is_noticed(make_set, tmp_path, capsys, change: Callable):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out) == 0
    change(data, out)
    capsys.readouterr()
    assert run(data, out) == 0
    assert 'up to date' not in capsys.readouterr().out
    assert (out / 'images' / 'train').is_dir()
    assert read(out, 'annotations/val.json')['images']
    assert (out / 'report' / 'report.md').is_file()


@pytest.mark.parametrize('option', [['--seed', '3'], ['--min-area', '99'], ['--split-touching']])
def test_another_option_is_noticed(make_set, tmp_path, capsys, option: list[str]):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out) == 0
    capsys.readouterr()
    assert run(data, out, *option) == 0
    assert 'up to date' not in capsys.readouterr().out


def test_copied_images_stand_alone(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out, '--copy-images') == 0
    names = [n for part in ('train', 'val', 'test') for n in file_names(out, part)]
    copied = [p for p in (out / 'images').rglob('*') if p.is_file()]
    assert sorted(p.relative_to(out / 'images').as_posix() for p in copied) == sorted(names)
    for name in names:
        assert (out / 'images' / name).read_bytes() == (data / name).read_bytes()


def test_the_link_is_relative_inside_one_folder(make_set, tmp_path):
    data = make_set(name='home/raw/smears')
    assert run(data, tmp_path / 'home' / 'bccd') == 0
    (tmp_path / 'home').rename(tmp_path / 'moved')
    assert (tmp_path / 'moved' / 'bccd' / 'images' / 'train').is_dir()


def test_entries_of_others_are_kept(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out) == 0
    (out / 'folds').mkdir()
    (out / 'folds' / 'mine.json').write_text('[]')
    (out / 'annotations' / 'old.json').write_text('[]')
    assert run(data, out, '--seed', '1') == 0
    assert (out / 'folds' / 'mine.json').read_text() == '[]'
    assert not (out / 'annotations' / 'old.json').exists()
    assert only_entry(out)


def test_touching_cells_are_cut_on_request(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    mask = np.zeros((96, 128), np.uint8)
    for x, y in ((30, 25), (55, 25), (100, 25), (30, 75), (70, 75), (105, 75)):
        cv2.circle(mask, (x, y), 14, 255, -1)
    cv2.imwrite(str(data / 'test' / 'mask' / 'b00.png'), mask)
    assert run(data, out) == 0
    assert len(read(out, 'annotations/test.json')['annotations']) == 5 + 3
    suspects = {
        r['file']: r['merged_cell_suspects'] for r in read(out, 'report/report.json')['images']
    }
    (suspect,) = suspects['test/original/b00.png']
    assert suspect['pieces'] == 2
    assert run(data, out, '--split-touching') == 0
    coco = read(out, 'annotations/test.json')
    assert len(coco['annotations']) == 6 + 3
    assert coco['info']['instance_rule']['split_touching'] is True
    rles = [
        a['segmentation'] for a in coco['annotations'] if a['image_id'] == coco['images'][0]['id']
    ]
    np.testing.assert_array_equal(coco_mask.decode(rles).sum(2), mask > 0)
    assert 'were cut by `--split-touching`' in (out / 'report' / 'report.md').read_text()


def test_the_instance_rule_follows_the_options(make_set, tmp_path):
    data, out = make_set(), tmp_path / 'bccd'
    mask = np.zeros((96, 128), np.uint8)
    mask[10:20, 10:20] = 90
    mask[20:30, 20:30] = 90
    mask[50:55, 50:55] = 90
    cv2.imwrite(str(data / 'test' / 'mask' / 'b00.png'), mask)
    assert run(data, out, '--threshold', '60') == 0
    assert len(read(out, 'annotations/test.json')['annotations']) == 1 + 3
    assert read(out, 'report/report.json')['parts']['test']['dropped_specks'] == 1
    options = ['--threshold', '60', '--connectivity', '4', '--min-area', '20']
    assert run(data, out, *options) == 0
    assert len(read(out, 'annotations/test.json')['annotations']) == 3 + 3


def test_near_duplicates_stay_on_one_side_and_leaks_are_listed(make_set, tmp_path, capsys):
    data, out = make_set(train=6, test=2), tmp_path / 'bccd'
    pairs, _, _ = find_pairs(data)
    for k in range(6, 12):  # each training image again, brighter and as JPEG
        for kind in ('original', 'mask'):
            picture = cv2.imread(str(data / 'train' / kind / f'a{k - 6:02d}.png'))
            if kind == 'original':
                cv2.imwrite(str(data / 'train' / kind / f'c{k}.jpg'), cv2.add(picture, 12))
            else:
                cv2.imwrite(str(data / 'train' / kind / f'c{k}.png'), picture)
    shutil.copy(data / 'train' / 'original' / 'a03.png', data / 'test' / 'original' / 'b01.png')
    shutil.copy(data / 'train' / 'mask' / 'a03.png', data / 'test' / 'mask' / 'b01.png')
    assert len(pairs) == 8
    for seed in range(4):
        assert run(data, out, '--seed', str(seed)) == 0
        val = {Path(n).stem for n in file_names(out, 'val')}
        assert len(val) == 4
        assert all((f'a{k:02d}' in val) == (f'c{k + 6}' in val) for k in range(6))
    report = read(out, 'report/report.json')
    assert len(report['near_duplicates']) == 8
    assert report['near_duplicates_between_train_and_test'] == 2
    assert '8 near-duplicate pairs (2 between train and test)' in capsys.readouterr().out
    assert '`test/original/b01.png`' in (out / 'report' / 'report.md').read_text()


def test_without_data_a_demo_set_is_made_and_named_as_such(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = partial(write_demo_set, train=3, test=2, size=(240, 320))
    monkeypatch.setattr(prepare, 'write_demo_set', small)
    assert prepare.main(['--workers', '1']) == 0
    text = capsys.readouterr().out
    assert text.startswith('There is no data at data/raw/BCCD Dataset with mask')
    assert 'make download' in text
    out = tmp_path / 'data' / 'bccd'
    assert read(out, 'split.json')['demo'] is True
    assert read(out, 'annotations/train.json')['info']['demo'] is True
    assert read(out, 'report/report.json')['demo'] is True
    assert 'Synthetic demo' in (out / 'report' / 'report.md').read_text()
    assert os.readlink(out / 'images') == '../demo_smears'


def test_as_a_function_it_returns_what_it_found(make_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data, out = make_set(), tmp_path / 'bccd'
    new = prepare.prepare(data, out, workers=1)
    assert new.out == out
    assert new.state == 'new'
    assert new.report == read(out, 'report/report.json')
    assert new.stain_reference is None
    assert 'none of 3 training images' in new.remark
    again = prepare.prepare(str(data), str(out), workers=1)
    assert again == new._replace(state='up to date')
    kept = prepare.prepare(out=out)
    assert kept == new._replace(state='kept', remark='')
    assert capsys.readouterr().out == ''  # what it found is told by the command


def test_as_a_function_it_raises_with_all_problems(make_set, tmp_path):
    data = make_set()
    for name in ('train/mask/a00.png', 'test/original/b00.png'):
        (data / name).unlink()
    with pytest.raises(UserError, match='2 problems with the files in') as error:
        prepare.prepare(data, tmp_path / 'bccd', workers=1)
    assert [detail.file for detail in error.value.details] == [
        'test/mask/b00.png',
        'train/original/a00.png',
    ]


def test_data_root_in_the_environment_is_where_it_writes(make_set, tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'elsewhere'))
    assert prepare.prepare(make_set(), workers=1).out == tmp_path / 'elsewhere'
    assert (tmp_path / 'elsewhere' / 'split.json').is_file()


def test_without_an_option_the_downloaded_set_is_taken(make_set, tmp_path, monkeypatch, capsys):
    make_set(name='data/raw/BCCD Dataset with mask')
    monkeypatch.chdir(tmp_path)
    assert prepare.main([]) == 0
    assert read(tmp_path / 'data' / 'bccd', 'split.json')['demo'] is False
    assert 'no data' not in capsys.readouterr().out


class Interruption:
    """Fails in the middle of a run."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *_: object, **__: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    ('place', 'error', 'status', 'message'),
    [
        ('contact_sheet', KeyboardInterrupt(), 130, 'prepare: stopped; nothing was changed.'),
        ('coco_dict', OSError(errno.ENOSPC, 'No space left on device'), 2, 'No space left'),
    ],
)
def test_a_run_that_breaks_off_changes_nothing(
    make_set, tmp_path, monkeypatch, capsys, place, error, status, message
):
    data, out = make_set(), tmp_path / 'bccd'
    assert run(data, out) == 0
    before = content(out)
    monkeypatch.setattr(prepare, place, Interruption(error))
    assert run(data, out, '--seed', '1') == status
    assert message in capsys.readouterr().err
    assert content(out) == before
    assert only_entry(out)


def test_stopped_at_the_stain_reference_the_rest_is_ready(make_set, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'bccd'
    monkeypatch.setattr(prepare, 'write_stain_reference', Interruption(KeyboardInterrupt()))
    assert run(make_set(), out) == 130
    said = capsys.readouterr().err
    assert 'prepare: stopped before it chose a stain reference; the rest is ready.' in said
    assert read(out, 'split.json')['train']
