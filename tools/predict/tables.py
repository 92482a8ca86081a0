"""The tables, the page and the COCO data set of the pictures that were done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cellkit.files.formats import coco
from cellkit.files.writing import csv_text, write_whole
from cellkit.metrics.calibrated import Calibration
from cellkit.metrics.count_interval import Evidence
from tools.predict.magnification import Choice
from tools.predict.outcome import Outcome
from tools.predict.page import page

BOX = ('x', 'y', 'width', 'height')

# Columns of the tables after the image's name: the name, the value's key, the decimals to which it
# is rounded (None for words), and the power of the pixel size in µm that it is multiplied by; where
# the pixel size isn't known, a column with a power is left out.
Column = tuple[str, str, int | None, int]
COUNT_COLUMNS: tuple[Column, ...] = (
    ('cells', 'cells', 0, 0),
    ('cells_low', 'cells_low', 0, 0),
    ('cells_high', 'cells_high', 0, 0),
    ('touching_border', 'touching_border', 0, 0),
    ('mean_area_px', 'mean_area', 1, 0),
    ('median_area_px', 'median_area', 1, 0),
    ('mean_area_um2', 'mean_area', 3, 2),
    ('median_area_um2', 'median_area', 3, 2),
    ('foreground_fraction', 'foreground_fraction', 5, 0),
    ('width', 'width', 0, 0),
    ('height', 'height', 0, 0),
    ('scale', 'scale', 3, 0),
    ('scale_from', 'scale_from', None, 0),
    ('image_id', 'image_id', 0, 0),
)
CELL_COLUMNS: tuple[Column, ...] = (
    ('cell', 'label', 0, 0),
    ('score', 'score', 4, 0),
    ('probability', 'probability', 4, 0),
    *((side, side, 0, 0) for side in BOX),
    ('centroid_x', 'centroid_x', 2, 0),
    ('centroid_y', 'centroid_y', 2, 0),
    ('area_px', 'area', 0, 0),
    ('equivalent_diameter_px', 'equivalent_diameter', 2, 0),
    ('area_um2', 'area', 4, 2),
    ('equivalent_diameter_um', 'equivalent_diameter', 4, 1),
    ('eccentricity', 'eccentricity', 4, 0),
    ('circularity', 'circularity', 4, 0),
    ('touches_border', 'touches_border', 0, 0),
)


class Micrometres(NamedTuple):
    """What the tables are to know of pixel sizes: whether any is known, and the common one."""

    known: bool
    common: float | None


class Record(NamedTuple):
    """What goes into the tables of one picture; plain enough for JSON.

    Attributes:
        number: In the listing, from 1 on; its id in the COCO data set.
        path: The picture's file, as :func:`cellkit.files.names.shown` writes it.
        count: Its row of ``counts.csv``.
        cells: Its rows of ``cells.csv``.
        annotations: COCO annotations of the cells, but for their numbers.
        files: Those that were written of it, by format, below the folder of results.
        remarks: What is to be known of it; they go on after its name.
        evidence: What the scores say of the number of cells, as of ``Evidence``.
    """

    number: int
    path: str
    count: dict[str, Any]
    cells: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    files: dict[str, str]
    remarks: list[str]
    evidence: list[float] | None


class OfTables:
    """What is read of tables, for whoever has them."""

    tables: Tables

    @property
    def counts(self) -> list[dict[str, Any]]:
        """Rows of ``counts.csv``, a dict for each picture that was done."""
        return self.tables.counts

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Rows of ``cells.csv``, a dict for each cell."""
        return self.tables.cells

    @property
    def interval(self) -> tuple[int, int] | None:
        """95 % interval for the number of cells in all pictures that were done, if one is known."""
        return self.tables.interval


class Tables:
    """Grow by a picture at a time, in the order of the listing.

    Args:
        out: Folder that they are written to.
        sizes: Of pixels.
        calibration: Says how sure a score is, or None.
    """

    def __init__(self, out: Path, sizes: Micrometres, calibration: Calibration | None) -> None:
        self.out, self.sizes, self.calibration = out, sizes, calibration
        self.records: list[Record] = []

    @property
    def counts(self) -> list[dict[str, Any]]:
        """Rows of ``counts.csv``, a dict for each picture that was done."""
        return [record.count for record in self.records]

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Rows of ``cells.csv``, a dict for each cell."""
        return [cell for record in self.records for cell in record.cells]

    def add(self, record: Record) -> None:
        """Keep a picture's rows."""
        self.records.append(record)

    @property
    def interval(self) -> tuple[int, int] | None:
        """95 % interval for the number of cells in all pictures that were done, if one is known."""
        found = [Evidence(*record.evidence) for record in self.records if record.evidence]
        return self.calibration and self.calibration.interval(found)

    @property
    def scales(self) -> dict[str, Any]:
        """Scales of pictures that are not as they are, for ``settings.json``."""
        scales = {
            row['image']: {'scale': row['scale'], 'from': row['scale_from']}
            for row in self.counts
            if row['scale_from'] != Choice().source
        }
        return {'scales': scales} if scales else {}

    def write(self, settings: Mapping[str, Any], problems: Sequence[str]) -> None:
        """Write all.

        Args:
            settings: As in ``settings.json``.
            problems: A sentence for each picture that could not be done.
        """
        for name, rows in (('counts', self.counts), ('cells', self.cells)):
            text = csv_text(self.header(name), [row.values() for row in rows])
            write_whole(self.out / f'{name}.csv', text)
        images, annotations = [], []
        for record in self.records:
            size = {side: record.count[side] for side in ('width', 'height')}
            name = record.count['image']
            images.append({'id': record.number, 'file_name': name, **size})
            for item in record.annotations:
                ids = {'id': len(annotations) + 1, 'image_id': record.number}
                annotations.append(ids | item)
        # In ASCII, since pycocotools opens it in the system's encoding.
        write_whole(
            self.out / 'predictions.json', json.dumps(coco.data_set(images, annotations)) + '\n'
        )
        write_whole(self.out / 'index.html', self._page(settings, problems))

    def _page(self, settings: Mapping[str, Any], problems: Sequence[str]) -> str:
        problems = [f'{problem.rstrip(".")}.' for problem in problems]
        model, threshold = settings.get('checkpoint', ''), settings.get('score_threshold', 0.0)
        lead = f'Model: {model}; score threshold {threshold:g}.'
        seen = [
            record.count
            | dict(overlay=record.files.get('overlay'), remarks=record.remarks, rows=record.cells)
            for record in self.records
        ]
        title = f'Cells in {self.out.name}'
        return page(title, lead, seen, problems, self.sizes.common, self.interval)

    def header(self, name: str) -> list[str]:
        """Names of the columns of ``counts`` or ``cells``."""
        columns = self._known(COUNT_COLUMNS if name == 'counts' else CELL_COLUMNS)
        return ['image', *(column[0] for column in columns), *['labels'] * (name == 'counts')]

    def record(
        self,
        number: int,
        image: tuple[str, str],
        outcome: Outcome,
        files: Mapping[str, str],
        pixel_size: float | None,
        remarks: Sequence[str] = (),
    ) -> Record:
        """What goes into the tables of a picture.

        Args:
            number: In the listing, from 1 on.
            image: Its name in the tables, and its path.
            outcome: What was found.
            files: That are written of it, by format.
            pixel_size: Micrometres a pixel, or None.
            remarks: What is to be known of it.
        """
        name, path = image
        count = self._row(COUNT_COLUMNS, name, outcome.values | {'image_id': number}, pixel_size)
        count['labels'] = files.get('labels') or files.get('ome')
        cells = [self._row(CELL_COLUMNS, name, cell, pixel_size) for cell in outcome.cells]
        annotations = []
        for cell, rle in zip(outcome.cells, outcome.rles, strict=True):
            item = coco.annotation(0, 0, rle, cell['area'], [cell[side] for side in BOX])
            del item['id'], item['image_id']
            annotations.append(item | {'score': round(cell['score'], 5)})
        evidence = outcome.evidence and list(outcome.evidence)
        kept = (annotations, dict(files), list(remarks), evidence)
        return Record(number, path, count, cells, *kept)

    def _known(self, columns: Sequence[Column]) -> list[Column]:
        return [column for column in columns if self.sizes.known or not column[-1]]

    def _row(
        self,
        columns: Sequence[Column],
        image: str,
        values: Mapping[str, Any],
        size: float | None,
    ) -> dict[str, Any]:
        row: dict[str, Any] = {'image': image}
        for name, key, decimals, power in self._known(columns):
            factor = 1 if not power else size and size**power
            known = values[key] is not None and factor is not None
            if decimals is None:
                row[name] = values[key]
            else:
                row[name] = round(values[key] * factor, decimals) if known else None
        return row
