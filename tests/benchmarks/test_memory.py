"""The stored table of GPU memory against the model as it is."""

import re

import pytest
from mmengine.config import Config

from benchmarks import memory
from benchmarks.harness import ROOT
from custom_modules.engine.batch_choice import HEADROOM, LEAST_ROOM
from custom_modules.engine.training_memory import kept_gib, training_size

PAGE = ROOT / 'docs' / 'memory.md'


def rows() -> list[list[str]]:
    """Cells of the page's tables."""
    lines = [x for x in PAGE.read_text(encoding='utf-8').splitlines() if x.startswith('| ')]
    return [line.strip('| ').split(' | ') for line in lines]


@pytest.mark.parametrize('precision', memory.PRECISIONS)
@pytest.mark.parametrize('again', [False, True])
def test_the_table_is_of_the_model_as_it_is(precision: str, again: bool) -> None:
    config = Config.fromfile(memory.CONFIG)
    size = training_size(config)
    kind = [precision, 'recomputed' if again else 'kept']
    (row,) = (row for row in rows() if row[:2] == kind and len(row) == 7)
    for images, stored in zip(memory.IMAGES, row[2:], strict=True):
        if images in (1, 16):
            half = memory.PRECISIONS[precision]
            now = kept_gib(config.model, images, size, half, again)
            assert float(stored) == pytest.approx(now, rel=0.05), 'python -m benchmarks memory'


def test_every_card_has_a_choice_that_fits() -> None:
    chosen = [row for row in rows() if len(row) == 5 and row[2].isdigit()]
    assert [(row[0], int(row[2])) for row in chosen] == [
        (precision, card) for precision in memory.PRECISIONS for card in memory.CARDS
    ]
    kept = {(row[0], row[1]): row[2:] for row in rows() if len(row) == 7 and row[2] != '1'}
    for precision, blocks, card, at_once, gib in chosen:
        stored = float(kept[precision, blocks][memory.IMAGES.index(int(at_once))])
        wanted = max(HEADROOM * stored, stored + LEAST_ROOM)
        assert wanted == pytest.approx(float(gib), abs=0.15)
        assert float(gib) < int(card)


def test_the_page_is_the_benchmarks() -> None:
    text = memory.run()
    stored = re.search(r'<!-- memory:begin -->\n(.*)\n<!-- memory:end -->', PAGE.read_text(), re.S)
    assert [line for line in text.splitlines() if not line.startswith('| ')] == [
        line for line in stored[1].splitlines() if not line.startswith('| ')
    ]
