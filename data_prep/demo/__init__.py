"""Synthetic blood smears for the first try where no data are at hand, for tests and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ['DEMO_SET', 'write_demo_set']

DEMO_SET = Path('data/demo_smears')
"""Where the set goes by default."""


def __getattr__(name: str) -> Any:
    """Import late: OpenCV and SciPy are slow."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from data_prep.demo import smears

    return getattr(smears, name)
