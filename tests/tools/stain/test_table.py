"""The table of stain normalisation, and what the project promises in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cellkit.stain import METHODS, StainNormalizer, StainResult
from data_prep.stain_reference import choose_reference
from tools.stain import table
from tools.stain.__main__ import main

BEGIN, END = '<!-- stain-table:begin -->', '<!-- stain-table:end -->'


def effects(lab: list[tuple[float, float, float]]) -> list[table.Effect]:
    return [table.Effect(1.0, 1.0, np.array(c), True) for c in lab]


def test_spread_is_the_distance_from_the_mean() -> None:
    found = effects([(50, 3, 4), (60, -3, -4)])
    assert table.spread(found) == pytest.approx(5)
    assert table.spread(found, slice(0, 3)) == pytest.approx(np.sqrt(25 + 25))
    assert table.spread(effects([(1, 2, 3)])) == 0


def test_row_counts_what_lies_beyond_a_fifth() -> None:
    rows = [
        table.Effect(s, c, np.zeros(3), a)
        for s, c, a in ((0.9, 1.19, True), (0.8, 1.21, True), (1.0, 0.82, False))
    ]
    cells = table.as_row('name', rows, effects([(0, 3, 4), (0, -3, -4)])).split('|')
    assert [c.strip() for c in cells[2:6]] == ['0.900', '0.800', '0.82 to 1.21', '2']
    assert cells[-2].strip() == '1'


def test_unchanged_image_measures_as_one(tiny_data: Path) -> None:
    true = table.true_images(tiny_data)[0]
    smear = table.Smear.of(table.read_rgb(tiny_data, true), true.label_map())
    found = table.measure(smear, StainResult(smear.image, applied=False))
    assert found.ssim == pytest.approx(1, abs=1e-6)
    assert found.contrast == 1
    assert not (smear.cells & smear.background).any()
    darker = smear.image // 2
    assert table.measure(smear, StainResult(darker, True)).contrast == pytest.approx(0.5, abs=0.05)


def test_table_goes_between_the_marks(
    writable_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, 'BY_INDEX', (0, 1))
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n')
    command = ['table', '--data-root', str(writable_data), '--workers', '1', '--write', str(page)]
    assert main(command) == 0
    text = page.read_text()
    assert text.startswith('before\n')
    assert text.endswith('\nafter\n')
    assert 'old' not in text
    rows = [line for line in text.splitlines() if '| guarded |' in line]
    assert len(rows) == 3 * len(METHODS)
    assert '6 images' in text


def test_errors_are_one_sentence(
    writable_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for program in ('table', 'figure'):
        assert main([program, '--data-root', str(writable_data)]) == 2
        assert 'are too few for a reference with index 42' in capsys.readouterr().err
        assert main([program, '--data-root', str(tmp_path)]) == 2
        assert 'make prepare' in capsys.readouterr().err
    page = tmp_path / 'page.md'
    page.write_text('no marks')
    monkeypatch.setattr(table, 'BY_INDEX', (0, 1))
    assert main(['table', '--data-root', str(writable_data), '--write', str(page)]) == 2
    assert 'lacks the lines' in capsys.readouterr().err
    assert page.read_text() == 'no marks'


@pytest.mark.slow
def test_no_over_normalisation_on_the_real_sample(sample: Path) -> None:
    """All 60 images, references 0, 42 and the chosen one; every fourth pixel either way."""
    training = sorted(p.name for p in (sample / 'train' / 'original').iterdir())
    smears: dict[str, table.Smear] = {}
    for part in ('train', 'test'):
        for file in sorted((sample / part / 'original').iterdir()):
            mask = cv2.imread(str(sample / part / 'mask' / f'{file.stem}.png'), 0)
            smears[file.name] = table.Smear.of(cv2.imread(str(file))[..., ::-1], mask > 127, 4)
    chosen = choose_reference(sample / 'train' / 'original', training).image
    before = [table.measure(s, StainResult(s.image, applied=False)) for s in smears.values()]
    assert len(smears) == 60
    for reference in (training[0], training[42], chosen):
        for method in METHODS:
            normalizer = StainNormalizer(method)
            normalizer.fit(smears[reference].image)
            after = [table.measure(s, normalizer.transform(s.image)) for s in smears.values()]
            ssim = [f.ssim for f in after]
            assert np.median(ssim) >= 0.95
            assert min(ssim) >= 0.85
            assert all(1 / 1.2 <= f.contrast <= 1.2 for f in after)
            assert table.spread(after) <= 0.5 * table.spread(before)
            assert all(f.applied for f in after)
