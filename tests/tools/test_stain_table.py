"""The table and the figure of stain normalisation, and what the project promises in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from cellkit.stain import METHODS, StainNormalizer, StainResult
from data_prep.stain_reference import choose_reference
from tools import stain_figure, stain_table
from tools.marked_page import write_between_marks

BEGIN, END = '<!-- stain-table:begin -->', '<!-- stain-table:end -->'


def figures(lab: list[tuple[float, float, float]]) -> list[stain_table.Figures]:
    return [stain_table.Figures(1.0, 1.0, np.array(c), True) for c in lab]


def test_spread_is_the_distance_from_the_mean() -> None:
    found = figures([(50, 3, 4), (60, -3, -4)])
    assert stain_table.spread(found) == pytest.approx(5)
    assert stain_table.spread(found, slice(0, 3)) == pytest.approx(np.sqrt(25 + 25))
    assert stain_table.spread(figures([(1, 2, 3)])) == 0


def test_row_counts_what_lies_beyond_a_fifth() -> None:
    rows = [
        stain_table.Figures(s, c, np.zeros(3), a)
        for s, c, a in ((0.9, 1.19, True), (0.8, 1.21, True), (1.0, 0.82, False))
    ]
    cells = stain_table.as_row('name', rows, figures([(0, 3, 4), (0, -3, -4)])).split('|')
    assert [c.strip() for c in cells[2:6]] == ['0.900', '0.800', '0.82 to 1.21', '2']
    assert cells[-2].strip() == '1'


def test_unchanged_image_measures_as_one(tiny_data: Path) -> None:
    name, rles = stain_table.read_annotations(tiny_data)[0]
    smear = stain_table.load_smear(tiny_data, name, rles)
    found = stain_table.measure(smear, StainResult(smear.image, applied=False))
    assert found.ssim == pytest.approx(1, abs=1e-6)
    assert found.contrast == 1
    assert not (smear.cells & smear.background).any()
    darker = smear.image // 2
    assert stain_table.measure(smear, StainResult(darker, True)).contrast == pytest.approx(
        0.5, abs=0.05
    )


@pytest.fixture(scope='module')
def data_root(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that the stain reference may be written to."""
    root = tmp_path_factory.mktemp('table') / 'bccd'
    shutil.copytree(tiny_data, root)
    return root


def test_table_goes_between_the_marks(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stain_table, 'BY_INDEX', (0, 1))
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n')
    command = ['--data-root', str(data_root), '--workers', '1', '--write', str(page)]
    assert stain_table.main(command) == 0
    text = page.read_text()
    assert text.startswith('before\n')
    assert text.endswith('\nafter\n')
    assert 'old' not in text
    rows = [line for line in text.splitlines() if '| guarded |' in line]
    assert len(rows) == 3 * len(METHODS)
    assert '6 images' in text


def test_errors_are_one_sentence(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for main in (stain_table.main, stain_figure.main):
        assert main(['--data-root', str(data_root)]) == 2
        assert 'are too few for a reference with index 42' in capsys.readouterr().err
        assert main(['--data-root', str(tmp_path)]) == 2
        assert 'make prepare' in capsys.readouterr().err
    page = tmp_path / 'page.md'
    page.write_text('no marks')
    with pytest.raises(stain_table.UserError, match='lacks the lines'):
        write_between_marks(page, 'table', stain_table.MARKS)
    assert page.read_text() == 'no marks'


def test_figure_is_drawn(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stain_table, 'BY_INDEX', (0, 1))
    monkeypatch.setattr(stain_figure, 'SHOWN', (0, 2))
    out = tmp_path / 'new' / 'figure.png'
    assert stain_figure.main(['--data-root', str(data_root), '--out', str(out)]) == 0
    figure = cv2.imread(str(out))
    assert figure.shape[0] > 2000
    assert figure.shape[1] > 2500
    assert figure.std() > 20
    assert [p.name for p in out.parent.iterdir()] == ['figure.png']


@pytest.mark.slow
def test_no_over_normalisation_on_the_real_sample(sample: Path) -> None:
    """All 60 images, references 0, 42 and the chosen one; every fourth pixel either way."""
    step = slice(None, None, 4)
    training = sorted(p.name for p in (sample / 'train' / 'original').iterdir())
    smears = []
    for part in ('train', 'test'):
        for file in sorted((sample / part / 'original').iterdir()):
            mask = cv2.imread(str(sample / part / 'mask' / f'{file.stem}.png'), 0)
            mask = (mask > 127).astype(np.uint8)
            cells = cv2.erode(mask, np.ones((7, 7), np.uint8)) > 0
            background = cv2.dilate(mask, np.ones((15, 15), np.uint8)) == 0
            image = np.ascontiguousarray(cv2.imread(str(file))[step, step, ::-1])
            smears.append(
                stain_table.Smear(file.name, image, cells[step, step], background[step, step])
            )
    by_name = {s.name: s for s in smears}
    chosen = choose_reference(sample / 'train' / 'original', training).image
    before = [stain_table.measure(s, StainResult(s.image, applied=False)) for s in smears]
    assert len(smears) == 60
    for reference in (training[0], training[42], chosen):
        for method in METHODS:
            normalizer = StainNormalizer(method)
            normalizer.fit(by_name[reference].image)
            after = [stain_table.measure(s, normalizer.transform(s.image)) for s in smears]
            ssim = [f.ssim for f in after]
            assert np.median(ssim) >= 0.95
            assert min(ssim) >= 0.85
            assert all(1 / 1.2 <= f.contrast <= 1.2 for f in after)
            assert stain_table.spread(after) <= 0.5 * stain_table.spread(before)
            assert all(f.applied for f in after)
