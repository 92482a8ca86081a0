"""Which kind a file of drawings is, and which of its pictures is meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cellkit.errors import BadFile
from cellkit.files.drawings import names, read_drawings, stem_of
from cellkit.files.formats import coco, geojson, imagej
from cellkit.rle import encode_label_map

LABELS = np.array([[0, 1, 1], [2, 0, 0]])


def write(folder: Path, file: str, content: object) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / file).write_bytes(raw)


def data_set(*files: str) -> dict:
    images = [{'id': k, 'file_name': file, 'width': 3, 'height': 2} for k, file in enumerate(files)]
    rles = encode_label_map(LABELS)
    # The first picture has one cell, the second two …
    cells = [
        coco.annotation(1, k, rle, 1, [0, 0, 1, 1])
        for k in range(len(files))
        for rle in (rles * 2)[: k + 1]
    ]
    return coco.data_set(images, cells)


@pytest.mark.parametrize(
    ('name', 'stem'),
    [
        ('a.png', 'a'), ('a.b.jpg', 'a.b'), ('a.ome.tif', 'a'), ('a.png.geojson', 'a'),
        ('a.geojson', 'a'), ('a.v2.json', 'a.v2'), ('a.TIF.zip', 'a'), ('a.png.png', 'a.png'),
    ],
)  # fmt: skip
def test_stems(name: str, stem: str) -> None:
    assert stem_of(name) == stem


def test_every_kind(tmp_path: Path) -> None:
    write(tmp_path, 'a.geojson', geojson.write(LABELS, 'a'))
    write(tmp_path, 'b.json', geojson.write(LABELS, 'a'))
    write(tmp_path, 'c.ZIP', imagej.write(LABELS))
    write(tmp_path, 'd.json', data_set('x.png', 'a.png'))
    for file in ('a.geojson', 'b.json', 'c.ZIP', 'd.json'):
        assert len(read_drawings(tmp_path, file, 'train/original/a.jpg').drawn) == 2
    assert read_drawings(tmp_path, 'd.json', 'a.png').sizes == {(2, 3)}
    write(tmp_path, 'e.geojson', [])
    assert read_drawings(tmp_path, 'e.geojson', 'a.png') == ([], set())


def test_the_picture_is_found_by_its_path_or_its_stem(tmp_path: Path) -> None:
    write(tmp_path, 'c.json', data_set('test/original/a.png', 'original/a.png', 'b.tif'))

    def cells(image: str) -> int:
        return len(read_drawings(tmp_path, 'c.json', image).drawn)

    assert cells('test/original/a.png') == 1
    assert cells('train/original/a.png') == 2
    assert cells('train/original/b.jpg') == 3
    with pytest.raises(BadFile, match=r'c.json: has several pictures a \(test/original/a.png'):
        cells('a.jpg')
    with pytest.raises(BadFile, match=r'c.json: names no picture c.png'):
        cells('c.png')
    assert names(tmp_path, 'c.json', ['b.png', 'c.png']) == {'b.png': True, 'c.png': False}


def test_a_file_that_was_changed_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, 'c.json', data_set('a.png'))
    assert len(read_drawings(tmp_path, 'c.json', 'a.png').drawn) == 1
    write(tmp_path, 'c.json', data_set('x.png', 'a.png'))
    assert len(read_drawings(tmp_path, 'c.json', 'a.png').drawn) == 2


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'{"type": ', 'is no JSON'),
        (b'\xff\xfe\x00', 'is no JSON'),
        ({'a': 1}, 'is JSON, but neither GeoJSON'),
        ([1, 2], 'is JSON, but neither GeoJSON'),
        (b'', 'is empty'),
    ],
)
def test_what_is_none_of_them(tmp_path: Path, content: object, said: str) -> None:
    write(tmp_path, 'a.json', content)
    with pytest.raises(BadFile, match=f'^a.json: {said}'):
        read_drawings(tmp_path, 'a.json', 'a.png')


def test_a_file_of_one_picture_does_not_name_it(tmp_path: Path) -> None:
    write(tmp_path, 'annotations.json', geojson.write(LABELS, 'a'))
    with pytest.raises(BadFile, match=r'annotations.json: does not say which pictures it is of'):
        names(tmp_path, 'annotations.json', ['a.png'])
    with pytest.raises(BadFile, match=r"gone.json: can't be read"):
        names(tmp_path, 'gone.json', ['a.png'])
