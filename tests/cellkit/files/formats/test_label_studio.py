"""Label Studio's export: the brush's packing, and regions in percent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellkit.drawn import cells_of
from cellkit.errors import BadFile
from cellkit.files.formats import label_studio

WIDTHS = (3, 4, 8, 16)  # those that Label Studio's editor writes


def pack(values: np.ndarray, same_only: bool) -> list[int]:
    """The other direction of the packing, straight from its description."""
    bits = f'{len(values):032b}{7:05b}' + ''.join(f'{width - 1:04b}' for width in WIDTHS)
    edges = np.flatnonzero(np.diff(values)) + 1
    for run in np.split(values, edges) if len(values) else []:
        for start in range(0, len(run), 1 << 16):
            part = run[start : start + (1 << 16)]
            kind = next(k for k, width in enumerate(WIDTHS) if len(part) <= 1 << width)
            same = same_only or len(part) > 1
            bits += f'{int(same)}{kind:02b}{len(part) - 1:0{WIDTHS[kind]}b}'
            bits += ''.join(f'{value:08b}' for value in (part[:1] if same else part))
    bits += '0' * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


@settings(max_examples=100, deadline=None)
@given(arrays(np.uint8, st.integers(0, 300), elements=st.sampled_from([0, 255, 7])), st.booleans())
def test_the_brush_is_unpacked(values, same_only) -> None:
    packed = bytes(pack(values, same_only))
    np.testing.assert_array_equal(label_studio.unpack(packed), values)


def region(kind: str, **value) -> dict:
    return {'type': kind, 'original_width': 50, 'original_height': 20, 'value': value}


def task(*regions: dict, name: str = '/data/upload/3/0a1b2c3d-slide.png', **more) -> dict:
    return {'data': {'image': name}, 'annotations': [{'result': list(regions)}], **more}


def test_regions_in_percent() -> None:
    mask = np.zeros((20, 50), np.uint8)
    mask[2:7, 30:40] = 255
    content = [
        task(
            region('polygonlabels', points=[[10, 10], [30, 10], [30, 50], [10, 50]], closed=True),
            region('rectanglelabels', x=40, y=50, width=10, height=25, rotation=0),
            region('ellipselabels', x=80, y=75, radiusX=8, radiusY=20, rotation=0),
            region('brushlabels', format='rle', rle=pack(np.repeat(mask.ravel(), 4), True)),
            region('choices', choices=['good']),
            {'type': 'relation', 'from_id': 1},
        )
    ]
    assert label_studio.is_label_studio(content)
    ((name, regions),) = label_studio.by_image(content, 'a.json').items()
    assert name == 'slide.png'
    drawn, sizes = label_studio.read(regions, 'a.json')
    assert sizes == {(20, 50)}
    cells = cells_of(drawn, (20, 50))
    assert not cells.left_out
    areas = np.bincount(cells.label_map.ravel())[1:]
    assert areas[[0, 1, 3]].tolist() == [10 * 8, 5 * 5, 50]
    assert areas[2] == pytest.approx(np.pi * 16, rel=0.08)
    np.testing.assert_array_equal(cells.label_map == 4, mask > 0)


def test_names_and_annotations_of_tasks() -> None:
    first = task(region('polygonlabels', points=[]), name='/data/local-files/?d=lab/x.jpg')
    skipped = task(name='s3://bucket/y.png')
    skipped['annotations'][0]['was_cancelled'] = True
    again = task(name='https://server/z.png')
    again['annotations'].append({'result': [region('polygonlabels', points=[])]})
    found = label_studio.by_image([first, skipped, again], 'a.json')
    assert {name: len(regions) for name, regions in found.items()} == {'x.jpg': 1, 'z.png': 1}


@pytest.mark.parametrize(
    'wrong',
    [
        region('brushlabels', rle=[1, 2, 3]),
        region('brushlabels', rle=10**30),
        region('brushlabels', rle=pack(np.zeros(7, np.uint8), True)),
        region('brushlabels', rle=pack(np.zeros(4000, np.uint8), True)[:8]),
        region('polygonlabels', points=[[1, 2, 3]]),
        {'type': 'polygonlabels', 'value': {'points': []}},
    ],
)
def test_bad_files_are_told(wrong: dict) -> None:
    with pytest.raises(BadFile, match=r"^a.json: is not Label Studio's JSON export"):
        label_studio.read(label_studio.by_image([task(wrong)], 'a.json')['slide.png'], 'a.json')
