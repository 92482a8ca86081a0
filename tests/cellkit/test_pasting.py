"""Lifting a cell and laying it down."""

from __future__ import annotations

import numpy as np

from cellkit.pasting import RING, lay, lift

BOX = np.array([10, 12, 22, 20])


def smear(light: tuple[int, int, int] = (200, 180, 160)) -> tuple[np.ndarray, np.ndarray]:
    """A cell that lets through half the light, on an even ground."""
    image = np.full((60, 80, 3), light, np.uint8)
    label_map = np.zeros((60, 80), np.uint8)
    label_map[12:20, 10:22] = 3
    image[label_map == 3] //= 2
    return image, label_map


def test_a_cell_lets_the_same_share_of_light_through_anywhere() -> None:
    patch = lift(*smear(), 3, BOX)
    assert patch.mask.sum() == 8 * 12
    darker, empty = np.full((60, 80, 3), (100, 90, 80), np.uint8), np.zeros((60, 80), np.uint8)
    lay(darker, empty, patch, 30, 40, 1)
    middle = darker[30 + RING + 4, 40 + RING + 6]
    assert np.abs(middle.astype(int) - (50, 45, 40)).max() <= 1
    outside = np.ones((60, 80), bool)
    outside[30 : 30 + patch.mask.shape[0], 40 : 40 + patch.mask.shape[1]] = False
    assert (darker[outside] == (100, 90, 80)).all()  # no seam, no frame
    assert (darker[30, 40:50] == (100, 90, 80)).all()


def test_what_lies_below_shines_through_and_its_label_is_cut() -> None:
    image, label_map = smear()
    patch = lift(image, label_map, 3, BOX)
    covered = lay(image, label_map, patch, 12 - RING, 16 - RING, 4)
    assert (covered == 3).sum() == 8 * 6
    assert (label_map == 4).sum() == 8 * 12
    assert (label_map == 3).sum() == 8 * 6
    assert image[16, 19, 0] < 75  # a quarter of 200, and the edges' blur


def test_turned_patches_keep_their_area() -> None:
    patch = lift(*smear(), 3, BOX)
    for turns in range(4):
        for mirrored in (False, True):
            turned = patch.turned(turns, mirrored)
            assert turned.mask.sum() == patch.mask.sum()
            assert turned.light.shape[:2] == turned.mask.shape


def test_what_may_not_be_whole_or_stands_in_no_light_is_left() -> None:
    image, label_map = smear()
    assert lift(image[12:], label_map[12:], 3, BOX - [0, 12, 0, 12]) is None
    crowded = np.where(label_map == 0, 9, label_map).astype(np.uint8)
    assert lift(image, crowded, 3, BOX) is None
    image[label_map == 0] //= 4  # now it would be a hole that is lit
    assert lift(image, label_map, 3, BOX) is None
