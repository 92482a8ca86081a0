"""Write files whole or not at all, and tell whether a file is the one that was there before."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cellkit.errors import UserError
from cellkit.files.cores import usable_cores

CHUNK = 1 << 20


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file beside and rename it; folders are made, text is UTF-8 with ``\\n``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.part')
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write JSON, the same byte for byte for the same content; what is not finite becomes null."""
    text = json.dumps(_finite(content), indent=indent, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + '\n')


def read_object(file: Path) -> dict[str, Any]:
    """A JSON object that was written before; empty where it isn't there or can't be read."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Comma separated values after a byte-order mark, without which spreadsheets misread umlauts.

    Readers open such a file as ``utf-8-sig``.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows([header, *rows])
    return f'\ufeff{text.getvalue()}'


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, without a line break at its end."""
    lines = [header, ['---'] * len(header), *rows]
    cells = [[cell.replace('|', '\\|') for cell in line] for line in lines]
    return '\n'.join(f'| {" | ".join(line)} |' for line in cells)


def write_between_marks(file: Path, text: str, name: str) -> None:
    """Replace what stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->`` of a page.

    Raises:
        UserError: The page is not there or lacks the marks.
    """
    begin, end = f'<!-- {name}:begin -->', f'<!-- {name}:end -->'
    page = file.read_text(encoding='utf-8') if file.is_file() else ''
    head, found, rest = page.partition(begin)
    _, found_too, tail = rest.partition(end)
    if not found or not found_too:
        raise UserError(f'{file} lacks the lines {begin} and {end}: add them where the text goes')
    write_whole(file, f'{head}{begin}\n{text}\n{end}{tail}')


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits; the file is never whole in memory."""
    digest = hashlib.sha256()
    with file.open('rb') as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_settings(content: Any) -> str:
    """SHA-256 of values for JSON, in whatever order their keys are."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def sha256_of_each(files: Iterable[Path]) -> Iterator[str]:
    """SHA-256 of files, or 'none' for what is no file or can't be read; some 3 GB a second."""

    def digest(file: Path) -> str:
        try:
            return sha256_of(file) if file.is_file() else 'none'
        except OSError:
            return 'none'

    with ThreadPoolExecutor(usable_cores()) as pool:  # hashing and reading both let others run
        yield from pool.map(digest, files)


def sha256_of_code(*files: str) -> str:
    """SHA-256 of modules' source files; a package's ``__init__.py`` stands for all below it."""
    digest = hashlib.sha256()
    for file in map(Path, files):
        package = file.name == '__init__.py'
        for source in sorted(file.parent.rglob('*.py')) if package else [file]:
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _finite(value: Any) -> Any:
    """The same with None for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
