"""Tables that grow while a run goes on, for one that is killed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

UNFINISHED = '.unfinished.csv'


class Journal:
    """Appends rows as they come to ``NAME.unfinished.csv``; gone when the whole tables are there.

    Args:
        folder: Where the tables are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begun: set[Path] = set()

    def add(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append rows to a table, which is begun anew by the first ones."""
        file = self.folder / f'{name}{UNFINISHED}'
        new = file not in self._begun
        self.folder.mkdir(parents=True, exist_ok=True)
        # A byte-order mark, once: without it spreadsheets misread umlauts.
        with file.open('w' if new else 'a', encoding='utf-8-sig' if new else 'utf-8') as table:
            csv.writer(table, lineterminator='\n').writerows([header, *rows] if new else rows)
        self._begun.add(file)

    def close(self) -> None:
        """Remove the tables, an earlier run's too."""
        for file in self.folder.glob(f'*{UNFINISHED}'):
            file.unlink()
