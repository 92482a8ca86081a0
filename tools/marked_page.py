"""Put generated text between two marks of a Markdown page."""

from __future__ import annotations

from pathlib import Path

from tools.errors import UserError
from tools.prediction_files import write_beside


def write_between_marks(file: Path, text: str, name: str) -> None:
    """Replace what stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Args:
        file: The page; written whole or not at all.
        text: Markdown.
        name: Of the marks.

    Raises:
        UserError: The page is not there or lacks the marks.
    """
    begin, end = f'<!-- {name}:begin -->', f'<!-- {name}:end -->'
    page = file.read_text(encoding='utf-8') if file.is_file() else ''
    head, found, rest = page.partition(begin)
    _, found_too, tail = rest.partition(end)
    if not found or not found_too:
        raise UserError(f'{file} lacks the lines {begin} and {end}: add them where the text goes')
    write_beside(file, f'{head}{begin}\n{text}\n{end}{tail}'.encode())
