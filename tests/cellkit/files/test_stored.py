"""From stored values to 8 bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.errors import BadFile
from cellkit.files.stored import UNKNOWN, Stored, Whites, named, to_picture, white_for


@given(bits=st.sampled_from([8, 10, 12, 14, 16]), share=st.floats(0.26, 1))
def test_the_smallest_depth_that_holds_the_greatest_value(bits: int, share: float) -> None:
    """A camera is known by any picture in which something is brighter than a quarter."""
    greatest = np.ceil(share * (2**bits - 1))
    assert white_for(float(greatest), floats=False) == 2**bits - 1
    assert named(2.0**bits - 1) == f'{bits} bits'


@pytest.mark.parametrize(
    ('greatest', 'white'),
    [(0.3, 1), (1, 1), (1.02, 1), (200, 255), (256.5, 255), (4000, 4095), (65535, 65535),
     (100_000, 100_000)],
)  # fmt: skip
def test_floats(greatest: float, white: float) -> None:
    assert white_for(greatest, floats=True) == white


@given(st.data())
def test_a_table_and_arithmetic_give_the_same(data: st.DataObject) -> None:
    white = data.draw(st.sampled_from([255, 1023, 4095, 65535]))
    values = np.array(data.draw(st.lists(st.integers(white // 2, white), min_size=4, max_size=4)))
    values = values.reshape(2, 2)
    for dtype in (np.uint16, np.uint32, np.float32):
        found = to_picture(Stored(values.astype(dtype)), Whites.of(white), 'a').pixels
        np.testing.assert_allclose(found[..., 0], values * 255 / white, atol=0.51)


def test_full_depth_is_exact() -> None:
    """A picture of 8 bits that was saved with 16 comes back to the byte."""
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for stored in (grey * 257, (grey / 255).astype(np.float32)):
        pixels = to_picture(Stored(stored), UNKNOWN, 'a').pixels
        np.testing.assert_array_equal(pixels[..., 1], grey)


def test_mostly_transparent_is_told() -> None:
    colour = np.full((10, 10, 3), 90, np.uint8)
    alpha = np.zeros((10, 10), np.uint8)
    alpha[:3] = 255
    picture = to_picture(Stored(colour, 255, alpha), UNKNOWN, 'a')
    assert picture.remarks == ('is transparent in 70% of its pixels, which were read as white',)
    assert picture.pixels[2, 0, 0] == 90
    assert picture.pixels[3, 0, 0] == 255


def test_one_alpha_all_over_is_undone_where_colours_were_multiplied() -> None:
    colour = np.full((4, 4, 3), 50, np.uint8)
    stored = Stored(colour, 255, np.full((4, 4), 128, np.uint8), premultiplied=True)
    assert (to_picture(stored, UNKNOWN, 'a').pixels == 100).all()


def test_black_is_no_smear_where_white_is_a_guess() -> None:
    dark = np.full((4, 4), 1000, np.uint16)
    assert to_picture(Stored(dark, white=65535), UNKNOWN, 'a').pixels.max() == 4  # its tag says so
    with pytest.raises(BadFile, match=r'^a: is nearly black'):
        to_picture(Stored(dark), Whites.of(65535), 'a')
