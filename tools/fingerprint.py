"""Tell whether a file is the one that was used before."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK = 1 << 20


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits; the file is never whole in memory."""
    digest = hashlib.sha256()
    with file.open('rb') as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
