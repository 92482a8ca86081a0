"""Runs a long command with its output in a log and its progress on one line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

SECONDS_BETWEEN_LINES = 30.0  # where the output is no terminal, such as in CI


class SetupError(RuntimeError):
    """Set-up cannot go on; the message says what to do."""


def last_line(text: str) -> str:
    return (text.strip() or 'no output').splitlines()[-1]


def cause(log: Path) -> str:
    """The line of a log that tells best why a command failed."""
    lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r'\berror\b', line, re.IGNORECASE)]
    return (errors or lines or ['no output'])[-1].strip()[:200]


def run(
    command: Sequence[str | Path],
    label: str,
    log: Path,
    progress: Callable[[], str] = str,
    env: Mapping[str, str] | None = None,
) -> None:
    """Runs a command, with its output in a log and how far it is on the terminal.

    Args:
        command: Program and arguments.
        label: What the user is told is going on.
        log: File that takes the output, overwritten.
        progress: Says in a few words how far it is.
        env: Additions to the environment.

    Raises:
        SetupError: It failed; the message names the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    live = sys.stdout.isatty()
    start = shown = time.monotonic()
    print(f'{label} …', end='' if live else '\n', flush=True)
    with log.open('wb') as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                now = time.monotonic()
                if now - shown >= (1.0 if live else SECONDS_BETWEEN_LINES):
                    shown = now
                    line = f'{label} … {int(now - start)} s {progress()}'
                    if live:
                        line = f'\r{line[: shutil.get_terminal_size().columns - 1]}\x1b[K'
                    print(line, end='' if live else '\n', flush=True)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if live:
        print('\r\x1b[K', end='')
    if process.returncode:
        raise SetupError(f'{label} failed ({cause(log)}): the whole log is {log}.')
    print(f'{label}: done in {int(time.monotonic() - start)} s', flush=True)
