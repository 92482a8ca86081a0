"""One way to run every program: the same exit statuses, one sentence for what a user can mend."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import io
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType

from cellkit.errors import UserError

DONE, PARTLY, UNUSABLE, STOPPED, UNREAD = 0, 1, 2, 130, 141
"""Exit statuses: all done; some items could not be; nothing could be used; Ctrl-C; the program that
reads what this one prints has ended, as ``head`` does."""


def run_program(name: str, action: Callable[[], int | None], stopped: str = 'stopped') -> int:
    """Run a program's work; returns its exit status, :data:`DONE` if ``action`` gives None.

    What a user can mend is said in one sentence on stderr, after the program's name; ``stopped``
    says what Ctrl-C left behind.
    """
    drop_absent_backend()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that is no text ends no program
            stream.reconfigure(errors='backslashreplace')
    atexit.register(gc.freeze)  # else the interpreter looks for garbage before it ends, for 1.5 s
    try:
        status = action() or DONE
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's end says it
        return UNREAD
    except UserError as error:
        for detail in error.details:
            print(f'{detail}.', file=sys.stderr)
        print(f'{name}: {str(error).rstrip(".")}.', file=sys.stderr)
    except OSError as error:
        print(
            f"{name}: {error.filename}: can't be written or read ({error.strerror}); check the "
            "disk's space and your rights.",
            file=sys.stderr,
        )
    except KeyboardInterrupt as error:
        print(f'{name}: {str(error) or stopped}.', file=sys.stderr)
        return STOPPED
    return UNUSABLE


def words(text: str | None) -> list[str]:
    """A list that make hands on in one string: blanks part it, quotation marks keep them.

    Raises:
        UserError: A quotation mark stands alone.
    """
    try:
        return shlex.split(text or '')
    except ValueError as error:
        raise UserError(f'{text}: a quotation mark stands alone; close or remove it') from error


def hand_on_signals() -> list[int]:
    """Have SIGTERM and SIGUSR1 go to the programs that this one has started and waits for.

    Returns:
        A list that takes the signals that come.
    """
    received: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        import psutil  # late: set-up runs without it

        received.append(number)
        for child in psutil.Process().children():
            child.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    signal.signal(signal.SIGUSR1, hand_on)
    return received


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what libraries print and warn of while they are imported.

    The garbage collector rests: what is imported stays, and to look through it again and again
    takes a fifth of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        if collects:
            gc.enable()


def drop_absent_backend() -> None:
    """Have Matplotlib draw without a screen where MPLBACKEND names a module that isn't installed.

    A notebook hands its own backend on to the programs it starts, in whatever environment they
    run; importing Matplotlib would fail there.
    """
    kind, _, module = os.environ.get('MPLBACKEND', '').partition('://')
    if kind == 'module' and importlib.util.find_spec(module.partition('.')[0]) is None:
        os.environ['MPLBACKEND'] = 'agg'
