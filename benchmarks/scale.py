"""Pictures of another magnification or field than the training's: are all cells found?

Fields at the model's scale are the yardstick: pictures are made of them in which cells have another
share of the width, and the cells found there are held against those found in the fields. Cells
that a seam or a border cuts are left out on both sides. Synthetic smears are drawn at other scales
as well, and held against their label maps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.harness import SAMPLE, machine, markdown_table
from cellkit.files.pictures import read_picture
from cellkit.smears.looks import REFERENCE_SIZE
from cellkit.smears.smear import draw_smear
from tools.predict import predict
from tools.predict.slides import find_slides

HEIGHT, WIDTH = REFERENCE_SIZE
NEAR = 3
"""Pixels from a seam or border within which a cell counts as cut, and one more for each pixel by
which the network's picture is enlarged."""

FIELDS = 16
DRAWN = (1 / 4, 1 / 2, 1, 2, 3)
CROPS = (2, 3)
MOSAICS = (2, 3, 4)
FEW = 2
"""Pictures of each kind, if there are fields enough; of small ones double."""


class Case(NamedTuple):
    """A picture made of fields.

    Attributes:
        name: Of the kind of picture.
        file: Its file's name.
        pixels: (H, W, 3) uint8 BGR.
        factor: Pixels a pixel of the fields.
        fields: Names of the fields and where their upper left corners lie, in pixels of fields;
            none where the truth is known.
        true: Number of cells drawn.
    """

    name: str
    file: str
    pixels: np.ndarray
    factor: float = 1.0
    fields: Sequence[tuple[str, int, int]] = ()
    true: int | None = None


def fields_of(folder: Path | None, seed: int = 5) -> dict[str, np.ndarray]:
    """Pictures of 1600x1200: real ones, or synthetic ones where there is no folder."""
    if folder is None:
        rng = np.random.default_rng(seed)
        return {f'field_{k:02d}.png': draw_smear(rng)[0][..., ::-1] for k in range(FIELDS)}
    found = {}
    for slide in find_slides([str(folder)])[1]:
        pixels = read_picture(slide.path).pixels
        if pixels.shape[:2] == (HEIGHT, WIDTH):
            found[f'field_{len(found):02d}.png'] = pixels
        if len(found) == FIELDS:
            break
    return found


def mosaic(fields: dict[str, np.ndarray], names: Sequence[str], side: int) -> np.ndarray:
    """``side`` x ``side`` fields, row by row."""
    rows = [names[k : k + side] for k in range(0, side * side, side)]
    return np.vstack([np.hstack([fields[name] for name in row]) for row in rows])


def cases_of(fields: dict[str, np.ndarray]) -> Iterator[Case]:
    """Mosaics, mosaics reduced to the size of a field, and parts of fields, also enlarged to it."""
    names, size = list(fields), (WIDTH, HEIGHT)
    for side in MOSAICS:
        for k in range(0, len(names) - side * side + 1, side * side)[:FEW]:
            some = names[k : k + side * side]
            places = [(name, i % side * WIDTH, i // side * HEIGHT) for i, name in enumerate(some)]
            whole = mosaic(fields, some, side)
            kind = f'{side}x{side} fields'
            yield Case(kind, f'mosaic_{side}_{k:02d}.png', whole, 1.0, places)
            small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
            name = f'reduced_{side}_{k:02d}.png'
            yield Case(f'{kind}, reduced to one', name, small, 1 / side, places)
    for part, name in product(CROPS, names[: 2 * FEW]):
        height, width = HEIGHT // part, WIDTH // part
        y, x = (HEIGHT - height) // 2, (WIDTH - width) // 2
        crop = np.ascontiguousarray(fields[name][y : y + height, x : x + width])
        place = [(name, -x, -y)]
        kind = f'middle of a field, 1/{part} as wide'
        yield Case(kind, f'crop_{part}_{name}', crop, 1.0, place)
        large = cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)
        yield Case(f'{kind}, enlarged', f'enlarged_{part}_{name}', large, part, place)


def drawn(number: int = FEW, seed: int = 6) -> Iterator[Case]:
    """Synthetic smears of the usual size with cells of other sizes, up to 400 of them."""
    for scale, k in product(DRAWN, range(number)):
        rng = np.random.default_rng([seed, k])
        pixels, labels = draw_smear(rng, (HEIGHT, WIDTH), scale=scale)
        name = f'drawn at {scale:g} of the scale'
        yield Case(name, f'drawn_{scale:g}_{k}.png', pixels[..., ::-1], true=int(labels.max()))


def whole_cells(
    cells: Sequence[dict[str, Any]],
    factor: float,
    edges: Sequence[tuple[float, float, float, float]],
) -> int:
    """Number of cells that lie in one of the rectangles, clear of its edges.

    Args:
        cells: Rows of ``cells.csv``.
        factor: Pixels of the picture a pixel of the rectangles.
        edges: x1, y1, x2, y2 of each.
    """
    near, count = NEAR, 0
    for cell in cells:
        x1, y1 = cell['x'] / factor, cell['y'] / factor
        x2, y2 = x1 + cell['width'] / factor, y1 + cell['height'] / factor
        count += any(
            x1 >= left + near and y1 >= top + near and x2 <= right - near and y2 <= bottom - near
            for left, top, right, bottom in edges
        )
    return count


def held(case: Case, cells: Sequence[dict], of_fields: dict[str, list[dict]]) -> tuple[int, int]:
    """Cells expected in a picture and found."""
    if case.true is not None:
        return case.true, len(cells)
    height, width = (side / case.factor for side in case.pixels.shape[:2])
    expected, edges = 0, []
    for name, x, y in case.fields:
        # The part of the field that the picture shows, in pixels of the picture's fields.
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + WIDTH, width), min(y + HEIGHT, height)
        edges.append((left, top, right, bottom))
        expected += whole_cells(of_fields[name], 1, [(left - x, top - y, right - x, bottom - y)])
    return expected, whole_cells(cells, case.factor, edges)


def by_image(results: Any) -> dict[str, list[dict]]:
    """Rows of the cells of each picture."""
    found: dict[str, list[dict]] = {row['image']: [] for row in results.counts}
    for cell in results.cells:
        found[cell['image']].append(cell)
    return found


def run(run: Path | None = None, images: Path | None = None, device: str = 'cpu') -> str:
    """Count cells in pictures of other magnifications.

    Args:
        run: Training run; the model in the box by default.
        images: Folder of pictures of 1600x1200; the real test images where they lie beside
            the repository.
        device: Where the network runs.
    """
    real = SAMPLE / 'test' / 'original'
    folder = images or (real if real.is_dir() else None)
    rows = []
    for what, place in (('synthetic', None), ('real', folder)):
        if what == 'synthetic' or place is not None:
            rows += _rows(what, fields_of(place), run or Path('box'), device)
    header = ['fields', 'picture', 'pictures', 'cells', 'found with `--scale 1`', 'found', 'scale']
    about = f'Machine: {machine("torch", "mmdet", device=device)}. Model: `{run or "box"}`.'
    return f'{about}\n\n{markdown_table(header, rows)}'


def _rows(what: str, fields: dict[str, np.ndarray], run: Path, device: str) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        options = dict(run=run, device=device, formats='labels')
        cases = [*cases_of(fields), *(drawn() if what == 'synthetic' else ())]
        for name, pixels in fields.items():
            _write(folder / 'fields' / name, pixels)
        for case in cases:
            _write(folder / 'cases' / case.file, case.pixels)
        usual = predict(folder / 'fields', out=folder / 'usual', scale=1, **options)
        before = predict(folder / 'cases', out=folder / 'before', scale=1, **options)
        now = predict(folder / 'cases', out=folder / 'now', **options)
    of_fields, at_one, chosen = map(by_image, (usual, before, now))
    scales = {row['image']: row['scale'] for row in now.counts}
    rows = []
    for name in dict.fromkeys(case.name for case in cases):
        some = [case for case in cases if case.name == name]
        expected = sum(held(case, chosen[case.file], of_fields)[0] for case in some)
        found = [
            sum(held(case, cells[case.file], of_fields)[1] for case in some)
            for cells in (at_one, chosen)
        ]
        used = sorted(scales[case.file] for case in some)
        between = f'{used[0]:.2g}' + (f' to {used[-1]:.2g}' if len(used) > 1 else '')
        rows.append(
            [what, name, str(len(some)), str(expected)]
            + [f'{n} ({n / max(expected, 1) - 1:+.1%})' for n in found]
            + [between]
        )
    return rows


def _write(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise OSError(f"{file} can't be written")
