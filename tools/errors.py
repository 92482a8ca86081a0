"""What the programs say to a person."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something a user can mend: the message is one sentence, without its full stop."""


def run_command(name: str, action: Callable[[], int | None], stopped: str = 'stopped') -> int:
    """Run a program's work; what a user can mend is said in one sentence on stderr.

    Args:
        name: Of the program, before the sentence.
        action: The work; returns an exit status, None for success.
        stopped: What Ctrl-C left behind.

    Returns:
        The exit status: that of the work, 2 if something could not be used, 130 after Ctrl-C.
    """
    try:
        return action() or 0
    except UserError as error:
        print(f'{name}: {error}.', file=sys.stderr)
    except OSError as error:
        print(
            f"{name}: {error.filename}: can't be written or read ({error.strerror}); check the "
            "disk's space and your rights.",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print(f'{name}: {stopped}.', file=sys.stderr)
        return 130
    return 2
