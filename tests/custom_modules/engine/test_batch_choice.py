"""The choice for cards from 6 to 80 GB; what memory suffices for, and in which order."""

from itertools import pairwise

import pytest

from cellkit.errors import UserError
from custom_modules.engine.batch_choice import (
    Choice,
    choose,
    in_order,
    in_words,
    kept,
    next_smaller,
    share_of,
    smallest,
    wanted,
)
from custom_modules.engine.training_memory import Memory

HALF = {False: Memory(1.8, 2.0), True: Memory(1.7, 0.75)}
FULL = {False: Memory(1.6, 3.5), True: Memory(1.6, 1.1)}


def test_the_fastest_first() -> None:
    fast = [(16, False), (8, False), (4, False), (2, False)]
    assert list(in_order(16, HALF)) == [*fast, *((n, True) for n in (16, 8, 4, 2, 1))]
    assert [c.at_once for c in in_order(5, {False: Memory(1, 1)})] == [5, 3, 2, 1]
    assert list(in_order(1, HALF)) == [(1, False), (1, True)]


@pytest.mark.parametrize('memories', [HALF, FULL], ids=['half', 'float32'])
@pytest.mark.parametrize('card', [6, 8, 11, 16, 24, 40, 80])
def test_every_card_gets_the_fastest_that_fits(card: int, memories: dict) -> None:
    gib = 0.9 * card
    found = choose(16, memories, gib)
    assert 1.25 * memories[found.recompute].of(found.at_once) <= gib
    faster = list(in_order(16, memories))
    assert all(wanted(c, memories) > gib for c in faster[: faster.index(found)])


def test_settings_decide() -> None:
    assert choose(16, HALF, 80, at_once=4) == (4, False)
    assert choose(16, HALF, 7, at_once=4) == (4, True)
    assert choose(16, HALF, 80, recompute=True) == (16, True)
    assert choose(16, HALF, 5.5, recompute=False) == (1, False)


def test_none_fits() -> None:
    assert choose(16, HALF, 2.9) is None
    assert smallest(16, HALF) == (1, True)


def test_each_smaller_choice_keeps_a_fifth_less_until_none_is_left() -> None:
    choice, seen = Choice(16, False), []
    while choice:
        seen.append(choice)
        choice = next_smaller(choice, 16, HALF)
    assert seen[0] == (16, False)
    assert seen[-1].recompute
    assert seen[-1].at_once <= 2
    takes = [kept(choice, HALF) for choice in seen]
    assert all(b <= 0.8 * a for a, b in pairwise(takes))


@pytest.mark.parametrize(('batch', 'processes', 'each'), [(16, 1, 16), (16, 8, 2), (4, 4, 1)])
def test_processes_share_the_batch(batch: int, processes: int, each: int) -> None:
    assert share_of(batch, processes) == each


@pytest.mark.parametrize(
    ('batch', 'processes', 'near'), [(16, 3, 'give 15 or 18'), (4, 8, 'give 8')]
)
def test_a_batch_that_can_not_be_shared_is_told(batch: int, processes: int, near: str) -> None:
    with pytest.raises(UserError, match=f'batch_size={batch} .*{near}, or'):
        share_of(batch, processes)


def test_in_words() -> None:
    line = 'Batch of 16 as 4 x 4 accumulated, blocks recomputed: the GPU has 15.6 GiB.'
    assert in_words(16, Choice(4, True), 15.61) == line
    assert in_words(5, Choice(3, False), None) == 'Batch of 5 as 3 + 2 accumulated.'
    assert in_words(16, Choice(16, False), 79) == 'Batch of 16 at once: the GPU has 79.0 GiB.'
    assert Choice(4, True).options() == 'micro_batch.size=4 model.backbone.with_cp=True'
    assert Choice(4, False).options() == 'micro_batch.size=4'
