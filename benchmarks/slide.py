"""One large slide against its parts: the count, and the memory that all formats take.

The slide is laid out of synthetic fields in which no cell is cut, so that they meet on background:
whole, parts and drawings have the same cells.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile

from benchmarks.harness import ROOT, machine, markdown_table
from cellkit.smears.looks import REFERENCE_SIZE
from cellkit.smears.smear import draw_smear

HEIGHT, WIDTH = REFERENCE_SIZE
TILE = 400
"""Sides of the file's tiles, pixels: they divide a field's."""

BEYOND = -1.8
"""Radii that a cell's centre keeps from the border of its field."""

PROGRAM = """
import resource, sys
from tools.predict.__main__ import main
status = main(sys.argv[1:])
print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, status)
"""


def fields_of(number: int, seed: int = 8) -> list[tuple[np.ndarray, int]]:
    """Pictures (1200, 1600, 3) uint8 BGR of one look, and how many cells were drawn in each."""
    found = []
    for k in range(number):
        rng = np.random.default_rng([seed, k])
        picture, labels = draw_smear(rng, (HEIGHT, WIDTH), look='lilac', beyond=BEYOND)
        found.append((np.ascontiguousarray(picture[..., ::-1]), int(labels.max())))
    return found


def write_slide(file: Path, fields: list[np.ndarray], rows: int, columns: int) -> None:
    """A pyramidal BigTIFF, in tiles, of fields laid side by side one after another."""

    def tiles(step: int) -> Iterator[np.ndarray]:
        small = [
            cv2.resize(field, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            for field in fields
        ]
        for row in range(rows):
            band = np.hstack([small[(row * columns + k) % len(small)] for k in range(columns)])
            for y in range(0, band.shape[0], TILE // step):
                for x in range(0, band.shape[1], TILE // step):
                    part = band[y : y + TILE // step, x : x + TILE // step, ::-1]
                    yield np.ascontiguousarray(part)

    with tifffile.TiffWriter(file, bigtiff=True) as tif:
        for step in (1, 5):
            shape = (rows * HEIGHT // step, columns * WIDTH // step, 3)
            form = dict(tile=(TILE // step,) * 2, photometric='rgb', compression='zlib')
            more = dict(subifds=1) if step == 1 else dict(subfiletype=1)
            tif.write(tiles(step), shape=shape, dtype=np.uint8, metadata=None, **form, **more)


def run(run: Path | None = None, side: int = 8000, fields: int = 6, device: str = 'cpu') -> str:
    """Count the cells of a slide and of its parts.

    Args:
        run: Training run; the model in the box by default.
        side: Pixels of the slide, about; at least 64 megapixels are read by regions.
        fields: Different ones, which are laid out again and again.
        device: Where the network runs.
    """
    rows, columns = max(round(side / HEIGHT), 1), max(round(side / WIDTH), 1)
    drawn = fields_of(fields)
    order = [k % fields for k in range(rows * columns)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_slide(folder / 'slide.tif', [picture for picture, _ in drawn], rows, columns)
        (folder / 'parts').mkdir()
        for k, (picture, _) in enumerate(drawn):
            cv2.imwrite(str(folder / 'parts' / f'{k:02d}.png'), picture)
        options = ['--run', str(run or 'box'), '--device', device, '--formats', 'all']
        counts, memory = {}, {}
        for name, images in (('slide', 'slide.tif'), ('parts', 'parts')):
            out = str(folder / name)
            memory[name] = _peak([str(folder / images), '--out', out, *options])
            counts[name] = _counts(folder / name)
    true = sum(drawn[k][1] for k in order)
    parts = sum(counts['parts'][k] for k in order)
    whole = sum(counts['slide'])
    table = [
        ['drawn', str(true), ''],
        ['sum of the parts', str(parts), f'{parts / true - 1:+.2%}'],
        ['the slide', str(whole), f'{whole / true - 1:+.2%}'],
    ]
    about = (
        f'Machine: {machine("torch", "mmdet", device=device)}. Model: `{run or "box"}`. A slide of '
        f'{columns * WIDTH}x{rows * HEIGHT} pixels, {rows * columns} fields, with all formats: '
        f'{memory["slide"]:.0f} MiB at most; the fields one by one: {memory["parts"]:.0f} MiB. The '
        f'slide has {whole / parts - 1:+.2%} cells against its parts.'
    )
    return f'{about}\n\n{markdown_table(["cells", "number", "of those drawn"], table)}'


def _peak(arguments: list[str]) -> float:
    """MiB that the program takes at most."""
    command = [sys.executable, '-c', PROGRAM, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    peak, status = done.stdout.rsplit('PEAK', 1)[1].split()
    if int(status):
        raise RuntimeError(done.stderr)
    return int(peak) / 1024


def _counts(out: Path) -> list[int]:
    with (out / 'counts.csv').open(encoding='utf-8-sig') as file:
        return [int(row['cells']) for row in csv.DictReader(file)]
