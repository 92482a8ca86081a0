"""Read a config that a person named."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from cellkit.errors import UserError
from cellkit.files.program import quiet


def read_config(file: Path) -> Config:
    """A config with all that it inherits.

    Raises:
        UserError: It isn't there or can't be read.
    """
    if not file.is_file():
        raise UserError(f'{file}: there is no such config{beside(file)}')
    try:
        with quiet():
            return Config.fromfile(file)
    except (OSError, SyntaxError, NameError, KeyError, AttributeError, TypeError) as error:
        reason = ' '.join(str(error).split())
        raise UserError(
            f"{file} can't be read ({type(error).__name__}: {reason}); correct it or a file that "
            'it inherits'
        ) from error


def beside(file: Path) -> str:
    """The end of a sentence on a Python file that is not there: those that are."""
    near = ', '.join(sorted(other.name for other in file.parent.glob('*.py')))
    return f'; {file.parent} has {near}' if near else '; give the path of a .py file'
