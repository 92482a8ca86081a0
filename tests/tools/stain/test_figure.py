"""The figure of stain normalisation."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from tools.stain import figure, table
from tools.stain.__main__ import main


def test_figure_is_drawn(
    writable_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, 'BY_INDEX', (0, 1))
    monkeypatch.setattr(figure, 'SHOWN', (0, 2))
    out = tmp_path / 'new' / 'figure.png'
    assert main(['figure', '--data-root', str(writable_data), '--out', str(out)]) == 0
    drawn = cv2.imread(str(out))
    assert drawn.shape[0] > 2000
    assert drawn.shape[1] > 6 * 400
    assert drawn.std() > 20
    assert [p.name for p in out.parent.iterdir()] == ['figure.png']
