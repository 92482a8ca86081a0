"""What predictions depend on beside the model: the images of a data set, by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellkit.files.writing import sha256_of_each


def images_sha256(dataset: Mapping[str, Any], annotations: Path) -> str:
    """SHA-256 over the images that an annotation file lists, names and contents.

    Args:
        dataset: The data set's config.
        annotations: Its annotation file; one that can't be read has no images, which whoever loads
            the data tells.
    """
    root = Path(dataset.get('data_root') or '.')
    folder = root / (dataset.get('data_prefix') or {}).get('img', '')
    found = hashlib.sha256()
    try:
        names = sorted(
            image['file_name'] for image in json.loads(annotations.read_bytes())['images']
        )
    except (ValueError, KeyError, TypeError):
        names = []
    for name, content in zip(names, sha256_of_each(folder / name for name in names), strict=True):
        found.update(f'{name}:{content}\n'.encode())
    return found.hexdigest()
