"""The seeded split of groups."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.split import split_groups

names = st.sets(st.text('abcdef0123456789-', min_size=1, max_size=8), min_size=2, max_size=60)


def singles(words: set[str]) -> list[list[str]]:
    return [[word] for word in sorted(words)]


@given(names, st.floats(0.05, 0.95), st.integers(0, 5), st.randoms())
@settings(deadline=None)
def test_single_images_are_split_to_the_fraction_in_any_order(words, fraction, seed, rng):
    groups = singles(words)
    first, second = split_groups(groups, fraction, seed)
    assert sorted(first + second) == sorted(words)
    assert first
    assert second
    wanted = min(max(fraction * len(words), 1), len(words) - 1)
    assert abs(len(second) - wanted) <= 0.5 + 1e-9
    rng.shuffle(groups)
    assert split_groups(groups, fraction, seed) == (first, second)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=20), st.floats(0.1, 0.9), st.randoms())
@settings(deadline=None)
def test_groups_are_not_torn_apart(sizes, fraction, rng):
    groups = [[f'{g}-{k}' for k in range(size)] for g, size in enumerate(sizes)]
    first, second = split_groups(groups, fraction, 0)
    assert sorted(first + second) == sorted(name for group in groups for name in group)
    assert first
    assert second
    for group in groups:
        assert set(group) <= set(first) or set(group) <= set(second)
    shuffled = [rng.sample(group, len(group)) for group in groups]
    assert split_groups(shuffled, fraction, 0) == (first, second)


@given(st.integers(0, 30))
def test_a_large_group_does_not_make_the_second_side_large(seed):
    groups = [[f'same-{k}' for k in range(55)], *([f'{k}'] for k in range(45))]
    assert len(split_groups(groups, 0.3, seed)[1]) == 30


def test_the_seed_matters_and_adding_an_image_moves_few():
    words = {f'{random.Random(k).random():.12f}' for k in range(200)}
    _, second = split_groups(singles(words), 0.3, 0)
    _, other = split_groups(singles(words), 0.3, 1)
    assert len(set(second) & set(other)) < 45
    _, more = split_groups(singles(words | {'new'}), 0.3, 0)
    assert len(set(second) ^ set(more)) <= 3


@pytest.mark.parametrize(('seed', 'expected'), [(0, ['f', 'g', 'h']), (1, ['d', 'g', 'i'])])
def test_the_split_is_the_same_on_every_machine(seed, expected):
    assert split_groups([[c] for c in 'abcdefghij'], 0.3, seed)[1] == expected
