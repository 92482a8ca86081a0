"""The sheet of samples, as a function and as a command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks

from cellkit.contours import CELL_COLOUR, OTHER_COLOUR
from custom_modules.structures.label_map_masks import LabelMapMasks
from tools.browse import browse
from tools.browse.__main__ import main
from tools.browse.samples import Sample
from tools.browse.tiles import tile

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / 'configs' / 'augment' / 'bccd_hybrid_mask_rcnn_cpu_all.py'
SMALL = ['train_dataloader.dataset.pipeline.2.scale=(320,240)']


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small data set, named as a user would."""
    root = tmp_path / 'data'
    shutil.copytree(tiny_data, root)
    monkeypatch.setenv('DATA_ROOT', str(root))
    monkeypatch.chdir(tmp_path)
    return root


def failure(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    """The one sentence that a failing command says."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out
    (line,) = said.err.strip().splitlines()
    assert line.startswith('browse: ')
    return line


def test_the_sheet_follows_from_the_seed(data: Path, tmp_path: Path) -> None:
    sheets = [
        browse(CONFIG, SMALL, number=2, draws=2, seed=seed, out=tmp_path / f'{k}.png').read_bytes()
        for k, seed in enumerate((1, 1, 2))
    ]
    assert sheets[0] == sheets[1] != sheets[2]
    page = cv2.imdecode(np.frombuffer(sheets[0], np.uint8), cv2.IMREAD_COLOR)
    assert 3 * 400 < page.shape[1] < 4 * 400
    assert 2 * 300 < page.shape[0] < 3 * 300
    assert ((page[..., ::-1].astype(int) - CELL_COLOUR) ** 2).sum(-1).min() < 300


def test_the_command_says_where_and_other_parts_have_names_of_their_own(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([str(CONFIG), '--number', '1', '--draws', '1', '--part', 'val']) == 0
    written = Path('work_dirs/browse/bccd_hybrid_mask_rcnn_cpu_all_val.png')
    assert capsys.readouterr().out == f'Written: {written}\n'
    assert written.is_file()


def test_what_a_user_can_mend_is_one_sentence(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    given = [str(CONFIG), '--out', str(tmp_path / 'sheet.png')]
    step = 'train_dataloader.dataset.pipeline.10.steps.2'
    wrong = [*given, '--opts', f'{step}.mean_rang=1']
    assert f'the nearest is `{step}.mean_range`' in failure(wrong, capsys)
    assert 'at least 1' in failure([*given, '--number', '0'], capsys)
    assert 'no such config' in failure([str(ROOT / 'configs/augment/x.py')], capsys)
    assert 'ends in .png' in failure([str(CONFIG), '--out', 'sheet.gif'], capsys)
    bent = f'_base_ = {str(CONFIG)!r}\nval_dataloader = None\nval_cfg = val_evaluator = None\n'
    (tmp_path / 'own.py').write_text(bent)
    own = [str(tmp_path / 'own.py'), '--part', 'val']
    assert 'browse another part' in failure(own, capsys)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'none'))
    assert 'make prepare' in failure(given, capsys)
    assert not (tmp_path / 'sheet.png').exists()


def test_an_ignored_cell_looks_different(data: Path, tmp_path: Path) -> None:
    file = data / 'annotations/train.json'
    coco = json.loads(file.read_text())
    plain = browse(CONFIG, SMALL, number=1, draws=1, out=tmp_path / 'a.png').read_bytes()
    for annotation in coco['annotations']:
        annotation['iscrowd'] = int(annotation['id'] % 2)
    file.write_text(json.dumps(coco))
    marked = browse(CONFIG, SMALL, number=1, draws=1, out=tmp_path / 'b.png').read_bytes()
    for content, there in ((plain, False), (marked, True)):
        page = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        near = ((page.astype(int) - OTHER_COLOUR) ** 2).sum(-1) < 100
        assert (near.sum() > 20) == there


@pytest.mark.parametrize('kind', [LabelMapMasks, BitmapMasks])
def test_a_tile_tells_what_it_shows(kind: type) -> None:
    masks = np.zeros((3, 120, 200), np.uint8)
    masks[0, 10:40, 20:60] = masks[1, 50:90, 100:150] = masks[2, 100:119, 5:30] = 1
    image = np.full((120, 200, 3), 128, np.uint8)
    both = [kind(part, 120, 200) for part in (masks[:2], masks[2:])]
    shown = tile('sample 1', Sample(image, *both, 'a' * 60 + '.png'))
    assert shown.words.splitlines()[0] == 'sample 1: 2 cells, 1 ignored, 200x120'
    assert len(shown.words.splitlines()[1]) <= 45
    assert shown.picture.shape == (240, 400, 3)
    assert near(shown.picture[18:24, 45:115], CELL_COLOUR)
    assert not near(shown.picture[18:24, 45:115], OTHER_COLOUR)
    assert near(shown.picture[198:240, 8:62], OTHER_COLOUR)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Whether a pixel has nearly a colour: lines between pixels are blended."""
    return bool((np.abs(picture.astype(int) - colour).max(-1) < 60).any())
