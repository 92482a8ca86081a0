"""One result of the shards of a run, the same bytes as of a run of all pictures."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cellkit.metrics.calibrated import Calibration
from tools.predict.earlier import Earlier
from tools.predict.results import write_all
from tools.predict.shards import SHARDS, read_shards
from tools.predict.tables import Micrometres, OfTables, Record, Tables


@dataclass(frozen=True)
class Merged(OfTables):
    """What a merge wrote, as of :class:`tools.predict.results.Results`."""

    out: Path
    tables: Tables
    slides: list[str]
    formats: tuple[str, ...]
    problems: list[str]
    notes: list[str]
    stopped: bool = False


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
