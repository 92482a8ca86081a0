"""What a user can mend: one class of errors for all programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class UserError(Exception):
    """Something a user can mend.

    Args:
        message: One sentence without its full stop: it names the file or setting, what is wrong
            and what to do.
        details: Sentences of the same kind that are told before it, such as a line a bad file.
    """

    def __init__(self, message: str, details: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class BadSetting(UserError, ValueError):
    """A setting's value that can't be; names the setting.

    Other ValueErrors are faults of a program, and keep their traceback.
    """


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong with one file, and what the user can do about it."""

    file: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f'{self.file}: {self.what}; {self.remedy}'


class BadFile(UserError):
    """A file that can't be used; carries the :class:`Problem` to report."""

    def __init__(self, file: str, what: str, remedy: str) -> None:
        self.problem = Problem(file, what, remedy)
        super().__init__(str(self.problem))
