"""A program in a process of its own that ends with the one that started it, however that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

END = 20.0  # seconds that a child has to end by itself


def start(
    command: Sequence[Any],
    said: IO[bytes] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen:
    """Start a program that calls :func:`end_with_the_starter`, in a group of its own.

    Args:
        command: Its words.
        said: Takes what it says; this program's own output does when None.
        cwd: Its folder.
        env: Its environment.
    """
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,  # never written to: its end tells the child that we are gone
        stdout=said,
        stderr=said and subprocess.STDOUT,
        start_new_session=True,
    )


def run(
    command: Sequence[Any], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> int:
    """Start such a program and wait for it; Ctrl-C here ends it first. Returns its exit status."""
    process = start(command, cwd=cwd, env=env)
    try:
        return process.wait()
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    """End a child and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            _signal_group(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END)
    _signal_group(process.pid, signal.SIGKILL)  # loader processes may outlive it
    if process.stdin:
        process.stdin.close()


def end_with_the_starter() -> None:
    """In the child: end this process and those it started when the starter's end of stdin closes.

    A kill of the starter, or of its machine's session, closes it too.
    """

    def watch() -> None:
        while os.read(0, 1):  # the starter writes nothing: this returns when that is gone
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
