"""One HTML page of a training run: curves, values, errors, pictures, and what made them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

# Parts of earlier reports that are removed when they are no longer made.
MADE = ('figure_*.png', 'image_*.jpg', 'table_*.csv', 'table_*.md', 'errors.csv', 'config.py')


class Report(NamedTuple):
    """What was written.

    Attributes:
        page: The HTML page.
        parts: The files beside it.
        missing: What isn't there yet and which command makes it, a sentence each.
    """

    page: Path
    parts: list[Path]
    missing: list[str]


def report(
    run: Path | str | None = None,
    part: Literal['train', 'val', 'test'] | None = None,
    data: Path | str | None = None,
    out: Path | str | None = None,
) -> Report:
    """Report on what training and ``tools.evaluate`` left in a run folder; predicts nothing.

    Args:
        run: The run folder; the newest one in ``work_dirs`` when None.
        part: Which evaluation; the first there is of test, val and train when None.
        data: Prepared data folder; the one that was evaluated when None.
        out: Folder of the report; ``RUN/report`` when None.

    Raises:
        UserError: There is no such run, or nothing in it.
        OSError: The report can't be written.
    """
    from cellkit.files.writing import write_whole  # late: --help is quick
    from tools.report.content import beside, gather, page
    from tools.report.findings import find
    from tools.runs.run import Run

    opened = Run(run)
    if opened.is_newest:
        print(f'run: {opened.folder} (the newest)', flush=True)
    content = gather(find(opened, part), data and Path(data))
    folder = Path(out or opened.folder / 'report')
    files = beside(content)
    for name, file in files.items():
        write_whole(folder / name, file)
    write_whole(folder / 'report.html', page(content))  # last: where it is, its parts are too
    parts = [folder / name for name in files]
    for pattern in MADE:
        for left in set(folder.glob(pattern)).difference(parts):
            left.unlink()
    return Report(folder / 'report.html', parts, content.findings.missing)
