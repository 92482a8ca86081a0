"""One result of the shards of a run, the same bytes as of a run of all pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from cellkit.metrics.calibrated import Calibration
from tools.predict.earlier import Earlier
from tools.predict.results import write_all
from tools.predict.shards import SHARDS, read_shards
from tools.predict.tables import Micrometres, Record, Tables


class Merged(NamedTuple):
    """What a merge wrote, as of :class:`tools.predict.results.Results`."""

    out: Path
    tables: Tables
    slides: list[str]
    formats: tuple[str, ...]
    problems: list[str]
    notes: list[str]
    stopped: bool = False

    @property
    def counts(self) -> list[dict[str, Any]]:
        """Rows of ``counts.csv``."""
        return self.tables.counts

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Rows of ``cells.csv``."""
        return self.tables.cells

    @property
    def interval(self) -> tuple[int, int] | None:
        """95 % interval for the number of cells in all pictures, if one is known."""
        return self.tables.interval


def merge(out: str | Path) -> Merged:
    """Write the tables of all shards in a folder, and remove what the shards kept for it.

    Raises:
        UserError: A shard is missing, or they are not of one run.
    """
    out = Path(out)
    shards = read_shards(out)
    about = shards[0]['about']
    settings = {**about['settings'], 'started': min(str(shard['started']) for shard in shards)}
    calibration = settings.get('calibration') and Calibration.from_dict(settings['calibration'])
    tables = Tables(out, Micrometres(*about['pixel_sizes']), calibration)
    records = [Record(**record) for shard in shards for record in shard['records']]
    for record in sorted(records, key=lambda record: record.number):
        tables.add(record)
    numbered = [
        pair
        for shard in shards
        for pair in zip(shard['of_problems'], shard['problems'], strict=True)
    ]
    problems = [problem for _, problem in sorted(numbered)]
    notes = write_all(tables, Earlier(out), settings, problems)
    shutil.rmtree(out / SHARDS)
    return Merged(out, tables, about['listing'], tuple(settings['formats']), problems, notes)
