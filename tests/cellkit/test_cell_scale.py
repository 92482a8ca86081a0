"""How large the cells of a data set are."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellkit.cell_scale import CellScale, cell_scale_of


def image(number: int, width: int = 160, height: int = 120, **more: float) -> dict:
    return {'id': number, 'width': width, 'height': height, **more}


def cell(image_id: int, diameter: float, at: tuple[int, int] = (10, 10), **more: int) -> dict:
    side = round(diameter)
    area = np.pi / 4 * diameter**2
    return {'image_id': image_id, 'bbox': [*at, side, side], 'area': area, **more}


def content(images: list[dict], cells: list[dict]) -> dict:
    return {'images': images, 'annotations': cells}


def test_the_most_common_size_speaks_and_cut_cells_do_not() -> None:
    images = [image(1), image(2), image(3, 640, 480)]
    cells = [
        cell(1, 20), cell(1, 24), cell(2, 28),
        cell(1, 90, (0, 10)), cell(1, 90, (10, 0)), cell(2, 90, (70, 10)), cell(2, 90, (10, 30)),
        cell(1, 90, iscrowd=1), cell(3, 90), cell(3, 90), cell(3, 90), cell(3, 90),
    ]  # fmt: skip
    assert cell_scale_of(content(images, cells)) == CellScale(24.0, 160, 120)


def test_none_without_a_whole_cell() -> None:
    assert cell_scale_of(content([image(1)], [cell(1, 20, (0, 5))])) is None
    # Images without cells don't hide the size of those that have some.
    images = [image(1), image(2), image(3, 640, 480)]
    assert cell_scale_of(content(images, [cell(3, 20)])).size == (480, 640)


def test_micrometres_of_images_of_several_pixel_sizes() -> None:
    images = [image(1, pixel_size_um=0.25), image(2, pixel_size_um=0.125), image(3)]
    found = cell_scale_of(content(images, [cell(1, 24), cell(2, 48), cell(3, 30)]))
    assert found.diameter_um == pytest.approx(6.0)


@given(st.lists(st.floats(5, 100), min_size=1, max_size=9))
def test_the_median_comes_back_from_json(diameters: list[float]) -> None:
    found = cell_scale_of(content([image(1)], [cell(1, d, (1, 1)) for d in diameters]))
    assert found.diameter == pytest.approx(np.median(diameters), abs=0.006)
    assert CellScale.from_dict(json.loads(json.dumps(found.as_dict()))) == found
